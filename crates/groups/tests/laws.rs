//! Laws of the machine, over histories of clients that work with what they were really answered: they list what
//! they really hold, give up what they are told to (or do not), die, come back, and fall silent.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod stored;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use stored::Stored;
use weir_groups::limits::SESSION_MS_MIN;
use weir_groups::{Assignment, Command, Coordinator, Epoch, Group, GroupState, MemberId, Owner, Reply};
use weir_types::{At, GroupId, LeaseClock, LogIndex, Output, RequestId, Term, TopicId, WallClock};

const GROUPS: [&str; 2] = ["readers", "writers"];

/// What somebody does; numbers pick among what there is.
#[derive(Clone, Debug)]
enum Wish {
    /// A process starts: a new member, or an old one that comes back. `topics` is a set of bits.
    Start {
        client: u8,
        topics: u8,
        seconds: u64,
    },
    /// The same join again, as after a lost answer.
    Retry {
        client: u8,
    },
    /// `stubborn`: it goes on with what it was told to give up.
    Beat {
        client: u8,
        stubborn: bool,
    },
    Leave {
        client: u8,
    },
    Wait {
        ms: u64,
    },
    Partitions {
        topic: u32,
        count: u32,
    },
    Delete {
        group: u8,
    },
}

fn wish(topics: u8) -> impl Strategy<Value = Wish> {
    let client = || 0..10u8;
    prop_oneof![
        4 => (client(), 1..=topics, 1..4u64).prop_map(|(client, topics, seconds)| {
            Wish::Start { client, topics, seconds }
        }),
        1 => client().prop_map(|client| Wish::Retry { client }),
        10 => (client(), prop::bool::weighted(0.2)).prop_map(|(client, stubborn)| {
            Wish::Beat { client, stubborn }
        }),
        1 => client().prop_map(|client| Wish::Leave { client }),
        3 => (0..1_500u64).prop_map(|ms| Wish::Wait { ms }),
        1 => (0..3u32, 0..12u32).prop_map(|(topic, count)| Wish::Partitions { topic, count }),
        1 => (0..2u8).prop_map(|group| Wish::Delete { group }),
    ]
}

/// A process as it sees itself.
#[derive(Clone, Debug)]
struct Client {
    join: Command,
    epoch: Epoch,
    holds: BTreeMap<GroupId, Epoch>,
    revoked: BTreeSet<GroupId>,
}

impl Client {
    fn hear(&mut self, assignment: &Assignment) {
        self.holds = assignment.partitions.iter().map(|a| (a.partition, a.epoch)).collect();
        self.revoked = assignment.revoked.iter().copied().collect();
    }
}

#[derive(Clone, Default)]
struct World {
    coordinator: Coordinator,
    stored: Stored,
    index: u64,
    now: u64,
    requests: u64,
    clients: BTreeMap<u8, Client>,
    /// The last grant of each partition, kept also when its group is deleted.
    granted: BTreeMap<(&'static str, GroupId), Owner>,
}

fn group_of(client: u8) -> &'static str {
    GROUPS[usize::from(client > 7)]
}

fn member(client: u8) -> MemberId {
    MemberId::from(u64::from(client))
}

impl World {
    fn act(&mut self, wish: &Wish) {
        match *wish {
            Wish::Start { client, topics, seconds } => self.start(client, topics, seconds),
            Wish::Retry { client } => self.retry(client),
            Wish::Beat { client, stubborn } => self.beat(client, stubborn),
            Wish::Leave { client } => {
                if let Some(left) = self.clients.remove(&client) {
                    let (group, member) = (group_of(client).to_owned(), member(client));
                    self.apply(&Command::Leave { group, member, epoch: left.epoch });
                }
            }
            Wish::Wait { ms } => {
                self.now += ms;
                let due = self.coordinator.next_deadlines().lease.is_some_and(|at| at.0 <= self.now);
                if due {
                    self.apply(&Command::Tick);
                }
                let next = self.coordinator.next_deadlines().lease;
                assert!(next.is_none_or(|at| at.0 > self.now), "a tick leaves nothing that is due");
            }
            Wish::Partitions { topic, count } => {
                // Topic 1 has partitions 100…, and so on.
                let partitions = (0..count).map(|n| GroupId(100 * topic + n)).collect();
                let command =
                    Command::SetPartitions { topic: TopicId(topic), partitions, version: self.index };
                self.apply(&command);
            }
            Wish::Delete { group } => {
                let group = GROUPS[usize::from(group)].to_owned();
                self.apply(&Command::DeleteGroup { group });
            }
        }
    }

    fn start(&mut self, client: u8, topics: u8, seconds: u64) {
        self.requests += 1;
        let join = Command::Join {
            group: group_of(client).to_owned(),
            member: member(client),
            topics: (0..3).filter(|topic| topics & 1 << topic != 0).map(TopicId).collect(),
            session_timeout_ms: seconds * SESSION_MS_MIN,
            request: RequestId(self.requests),
        };
        let before = self.coordinator.group(group_of(client)).cloned().unwrap_or_default();
        let Some(Reply::Joined { epoch, assignment }) = self.apply(&join) else { panic!("refused") };
        let mut started = Client { join, epoch, holds: BTreeMap::new(), revoked: BTreeSet::new() };
        started.hear(&assignment);
        assert!(started.revoked.is_empty(), "who has just started has nothing to give up");
        self.clients.insert(client, started);
        self.check_join(client, &before);
    }

    fn retry(&mut self, client: u8) {
        let Some(known) = self.clients.get(&client).cloned() else { return };
        let answer = self.apply(&known.join);
        let Some(Reply::Joined { epoch, assignment }) = answer else { panic!("refused") };
        let alive = epoch == known.epoch;
        let known = self.clients.get_mut(&client).unwrap();
        assert!(alive || epoch > known.epoch);
        known.epoch = epoch;
        known.hear(&assignment);
    }

    fn beat(&mut self, client: u8, stubborn: bool) {
        let Some(known) = self.clients.get(&client).cloned() else { return };
        let mut owned: BTreeSet<GroupId> = known.holds.keys().copied().collect();
        if stubborn {
            owned.extend(&known.revoked);
        }
        let (group, id) = (group_of(client), member(client));
        let before = self.coordinator.group(group).cloned().unwrap_or_default();
        let command = Command::Heartbeat {
            group: group.to_owned(),
            member: id.clone(),
            epoch: known.epoch,
            owned: owned.clone(),
        };
        match self.apply(&command) {
            Some(Reply::Alive { assignment }) => {
                self.clients.get_mut(&client).unwrap().hear(&assignment);
                self.check_beat(group, &id, &owned, &before);
            }
            // It expired, and knows it now.
            _ => drop(self.clients.remove(&client)),
        }
    }

    fn apply(&mut self, command: &Command) -> Option<Reply> {
        self.index += 1;
        let at = At {
            term: Term(1),
            index: LogIndex(self.index),
            lease_clock: LeaseClock(self.now),
            wall_clock: WallClock(self.now),
        };
        let before = self.coordinator.clone();
        let mut out = Output::default();
        let answer = self.coordinator.apply(at, command.clone(), &mut out).unwrap();
        self.stored.write(&out.changes);
        if answer.is_err() {
            assert_eq!(self.coordinator, before, "a rejection changes nothing");
            assert!(out.changes.is_empty() && out.effects.is_empty());
        }
        self.coordinator.check_invariants();
        assert_eq!(Coordinator::restore(self.stored.rows()).unwrap(), self.coordinator);
        // A second replica in the same state answers in the same bytes.
        let (mut replica, mut again) = (before.clone(), Output::default());
        assert_eq!(replica.apply(at, command.clone(), &mut again).unwrap(), answer);
        assert_eq!((again.changes, again.effects), (out.changes, out.effects));
        self.check_grants();
        for name in GROUPS {
            check_others_undisturbed(name, &before, &self.coordinator, command);
        }
        answer.ok()
    }

    /// A new owner always has a higher epoch than every owner before, also in a group that was deleted and made
    /// again.
    fn check_grants(&mut self) {
        for name in GROUPS {
            let slots = self.coordinator.group(name).into_iter().flat_map(|group| &group.slots);
            for (partition, slot) in slots {
                let owner = slot.owner.clone().unwrap();
                let last = self.granted.insert((name, *partition), owner.clone());
                if let Some(last) = last.filter(|last| *last != owner) {
                    assert!(owner.epoch > last.epoch, "{partition} went from {last:?} to {owner:?}");
                }
            }
        }
    }

    /// A heartbeat takes from its member what was revoked and is not listed, and nothing else from anyone.
    fn check_beat(&self, name: &str, id: &MemberId, owned: &BTreeSet<GroupId>, before: &Group) {
        for (partition, slot) in &self.coordinator.group(name).unwrap().slots {
            let old = &before.slots[partition];
            let given_up =
                !old.is_settled() && old.owner.as_ref().unwrap().member == *id && !owned.contains(partition);
            assert_eq!(slot.owner != old.owner, given_up, "{partition}: {old:?} became {slot:?}");
            assert_eq!(slot.target, old.target);
        }
    }

    /// With equal subscriptions, a member that comes moves no more than its share.
    fn check_join(&self, client: u8, before: &Group) {
        let group = self.coordinator.group(group_of(client)).unwrap();
        if !uniform(group) || (!before.members.is_empty() && before.topics() != group.topics()) {
            return;
        }
        let moved = group.slots.iter().filter(|(partition, slot)| {
            before.slots.get(partition).is_some_and(|old| old.target != slot.target)
        });
        let share = group.slots.len().div_ceil(group.members.len());
        assert!(moved.count() <= share, "more than {share} partitions move");
        let comes_back = before.members.contains_key(&member(client));
        if comes_back && uniform(before) {
            let unmoved =
                group.slots.iter().all(|(partition, slot)| before.slots[partition].target == slot.target);
            assert!(unmoved, "a member that comes back moves nothing");
        }
    }

    fn check_balance(&self) {
        for group in GROUPS.iter().filter_map(|name| self.coordinator.group(name)).filter(|g| uniform(g)) {
            let share =
                |id: &MemberId| group.slots.values().filter(|s| s.target.as_ref() == Some(id)).count();
            let shares: Vec<usize> = group.members.keys().map(share).collect();
            let most = shares.iter().max().copied().unwrap_or(0);
            let least = shares.iter().min().copied().unwrap_or(0);
            assert!(most - least <= 1, "{shares:?}");
        }
    }

    /// Everybody who lives does as told. Then the groups are at rest, and each partition is held by exactly the one
    /// client that its owner is.
    fn settle(&mut self) {
        // Silence first, so that only members with a living process are left.
        let living: Vec<u8> = self.clients.keys().copied().collect();
        for _ in 0..3 {
            for client in &living {
                self.beat(*client, false);
            }
        }
        self.now += 4 * SESSION_MS_MIN - 1;
        let ids: Vec<u8> = self.clients.keys().copied().collect();
        for client in ids {
            self.beat(client, false);
        }
        self.now += 1;
        self.act(&Wish::Wait { ms: 0 });
        for _ in 0..2 {
            for client in &living {
                self.beat(*client, false);
            }
        }
        for name in GROUPS {
            let Some(group) = self.coordinator.group(name) else { continue };
            assert_ne!(group.state(), GroupState::Rebalancing);
            for (partition, slot) in &group.slots {
                let owner = slot.owner.as_ref().unwrap();
                let of_group = self.clients.iter().filter(|(client, _)| group_of(**client) == name);
                let holders: Vec<_> = of_group.filter(|(_, c)| c.holds.contains_key(partition)).collect();
                assert_eq!(holders.len(), 1, "{partition} of {name} is held by {holders:?}");
                assert_eq!(member(*holders[0].0), owner.member);
                assert_eq!(holders[0].1.holds[partition], owner.epoch);
            }
        }
    }
}

/// Whether all members subscribe to the same.
fn uniform(group: &Group) -> bool {
    group.members.values().all(|member| member.topics == group.topics())
}

/// Who goes or falls silent disturbs only its own partitions: with equal subscriptions nothing else is planned
/// anew.
fn check_others_undisturbed(name: &str, before: &Coordinator, after: &Coordinator, command: &Command) {
    if !matches!(command, Command::Leave { .. } | Command::Tick) {
        return;
    }
    let (Some(before), Some(after)) = (before.group(name), after.group(name)) else { return };
    if !uniform(before) {
        return;
    }
    for (partition, slot) in &after.slots {
        let old = &before.slots[partition];
        let stays = old.target.as_ref().is_some_and(|id| after.members.contains_key(id));
        assert!(!stays || slot.target == old.target, "{partition} of {name} was disturbed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn equal_subscriptions_are_balanced_sticky_and_fenced(
        partitions in 0..20u32,
        wishes in prop::collection::vec(wish(1), 1..80),
    ) {
        let mut world = World::default();
        world.act(&Wish::Partitions { topic: 0, count: partitions });
        for wish in &wishes {
            world.act(wish);
            world.check_balance();
        }
        world.settle();
    }

    #[test]
    fn any_subscriptions_are_served_and_fenced(wishes in prop::collection::vec(wish(7), 1..80)) {
        let mut world = World::default();
        for topic in 0..3 {
            world.act(&Wish::Partitions { topic, count: 3 + topic });
        }
        for wish in &wishes {
            world.act(wish);
            world.check_balance();
        }
        world.settle();
    }

    #[test]
    fn a_replica_restored_anywhere_goes_on_alike(
        wishes in prop::collection::vec(wish(7), 1..60),
        cut in 0..60usize,
    ) {
        let mut world = World::default();
        let mut restored: Option<World> = None;
        for (at, wish) in wishes.iter().enumerate() {
            if at == cut {
                let coordinator = Coordinator::restore(world.stored.rows()).unwrap();
                restored = Some(World { coordinator, ..world.clone() });
            }
            world.act(wish);
            if let Some(restored) = &mut restored {
                restored.act(wish);
                prop_assert_eq!(&restored.stored, &world.stored);
            }
        }
    }
}
