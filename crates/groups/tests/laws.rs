//! Laws of the machine, over histories of clients that work with what they were really answered: they list what
//! they really hold, give up what they are told to (or do not), die, come back, and fall silent; and they finish partitions
//! that were split or merged.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod lineage;
mod stored;

use std::collections::{BTreeMap, BTreeSet};

use lineage::Lineage;
use proptest::prelude::*;
use stored::Stored;
use weir_groups::limits::SESSION_MS_MIN;
use weir_groups::{Assignment, Command, Coordinator, Epoch, Group, GroupState, MemberId, Owner, Reply, Slot};
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
    /// A partition is split, or two are merged.
    Reshape {
        topic: u32,
        pick: u8,
        merge: bool,
    },
    /// A sealed partition is removed.
    Retire {
        topic: u32,
        pick: u8,
    },
    /// A client has read a sealed partition to its end. `stale`: it says so under an epoch that it does not have.
    Finish {
        client: u8,
        pick: u8,
        stale: bool,
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
        2 => (0..3u32, any::<u8>(), any::<bool>()).prop_map(|(topic, pick, merge)| {
            Wish::Reshape { topic, pick, merge }
        }),
        1 => (0..3u32, any::<u8>()).prop_map(|(topic, pick)| Wish::Retire { topic, pick }),
        6 => (client(), any::<u8>(), prop::bool::weighted(0.1)).prop_map(|(client, pick, stale)| {
            Wish::Finish { client, pick, stale }
        }),
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
    /// What the registry knows of each topic that there is.
    topics: BTreeMap<u32, Lineage>,
    /// What each group was told that it has finished.
    finished: BTreeMap<&'static str, BTreeSet<GroupId>>,
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
                self.topics.insert(topic, Lineage::of((0..count).map(|n| GroupId(100 * topic + n))));
                self.report(topic);
            }
            Wish::Delete { group } => {
                let group = GROUPS[usize::from(group)].to_owned();
                self.apply(&Command::DeleteGroup { group });
            }
            Wish::Reshape { topic, pick, merge } => {
                let known = self.topics.get_mut(&topic);
                if known.is_some_and(|known| known.reshape(10_000 * (topic + 1), pick.into(), merge)) {
                    self.report(topic);
                }
            }
            Wish::Retire { topic, pick } => {
                if self.topics.get_mut(&topic).is_some_and(|known| known.retire(pick.into())) {
                    self.report(topic);
                }
            }
            Wish::Finish { client, pick, stale } => self.finish(client, pick.into(), stale),
        }
    }

    /// The registry's word on a topic comes to the coordinator.
    fn report(&mut self, topic: u32) {
        let Lineage { partitions, parents, .. } = self.topics[&topic].clone();
        let (topic, version) = (TopicId(topic), self.index);
        let command = if parents.is_empty() {
            Command::SetPartitions { topic, partitions, version }
        } else {
            Command::SetLineage { topic, partitions, parents, version }
        };
        self.apply(&command);
    }

    /// The partitions that a client holds and that are sealed, with its grants' epochs.
    fn sealed_of(&self, client: u8) -> Vec<(GroupId, Epoch)> {
        let Some(known) = self.clients.get(&client) else { return Vec::new() };
        let is_sealed = |partition: GroupId| self.topics.values().any(|topic| topic.is_sealed(partition));
        let holds = known.holds.iter().map(|(partition, epoch)| (*partition, *epoch));
        holds.filter(|(partition, _)| is_sealed(*partition)).collect()
    }

    fn finish(&mut self, client: u8, pick: usize, stale: bool) {
        let sealed = self.sealed_of(client);
        if sealed.is_empty() {
            return;
        }
        let (partition, held) = sealed[pick % sealed.len()];
        let epoch = if stale { Epoch(held.0 - 1) } else { held };
        let (name, member) = (group_of(client), member(client));
        let before = self.coordinator.clone();
        let is_owner = before.owner(name, partition) == Some(&Owner { member: member.clone(), epoch });
        let command = Command::Finish { group: name.to_owned(), member, partition, epoch };
        let Some(Reply::Alive { assignment }) = self.apply(&command) else {
            assert!(!is_owner, "an owner may say that it has finished {partition}");
            return;
        };
        let group = self.coordinator.group(name).unwrap();
        let known_before = before.group(name).unwrap().finished.get(&partition) == Some(&epoch);
        assert!(is_owner || known_before, "a stranger has finished {partition}");
        assert!(is_owner || self.coordinator == before, "a repetition changes nothing");
        check_finish(partition, before.group(name).unwrap(), group);
        let held: BTreeSet<GroupId> =
            assignment.partitions.iter().map(|assigned| assigned.partition).collect();
        assert!(!held.contains(&partition), "what is finished is not read again");
        // Whether it hears the answer or not, it may say so again.
        if pick.is_multiple_of(3) {
            let after = self.coordinator.clone();
            assert!(self.apply(&command).is_some());
            assert_eq!(self.coordinator, after, "a repetition changes nothing");
        }
        if !pick.is_multiple_of(5) {
            self.clients.get_mut(&client).unwrap().hear(&assignment);
        }
    }

    /// Follows what the groups have been told, and compares the partitions that are given out with those that may be: none
    /// before all that came before it is finished (P15), and none left out.
    fn check_order(&mut self, command: &Command, answered: bool) {
        if let Command::Finish { group, partition, .. } = command
            && answered
        {
            let name = GROUPS.iter().find(|name| *name == group).unwrap();
            self.finished.entry(name).or_default().insert(*partition);
        }
        for name in GROUPS {
            let group = self.coordinator.group(name).cloned().unwrap_or_default();
            let topics = group.topics();
            let known: Vec<&Lineage> = topics.iter().filter_map(|topic| self.topics.get(&topic.0)).collect();
            let finished = self.finished.entry(name).or_default();
            finished.retain(|partition| known.iter().any(|topic| topic.partitions.contains(partition)));
            assert_eq!(group.finished.keys().copied().collect::<BTreeSet<_>>(), *finished, "of {name}");
            let may_be_read: BTreeSet<GroupId> =
                known.iter().flat_map(|topic| topic.may_be_read(finished)).collect();
            let given: BTreeSet<GroupId> = group.slots.keys().copied().collect();
            assert_eq!(given, may_be_read, "partitions of {name} that are given out");
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
        self.check_order(command, answer.is_ok());
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

    /// Everybody does as told, and reads all that is sealed.
    fn read_all(&mut self, living: &[u8]) {
        for _ in 0..100 {
            // One that is told to give a partition up does so at its next beat, and another hears of it at its next.
            for client in [living, living, living].concat() {
                self.beat(client, false);
            }
            if living.iter().all(|client| self.sealed_of(*client).is_empty()) {
                return;
            }
            for client in living {
                for _ in self.sealed_of(*client) {
                    self.finish(*client, 1, false);
                }
            }
        }
        panic!("there is always another sealed partition");
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
        self.read_all(&living);
        for name in GROUPS {
            let Some(group) = self.coordinator.group(name) else { continue };
            assert_ne!(group.state(), GroupState::Rebalancing);
            for topic in group.topics() {
                let open = self.topics.get(&topic.0).map(Lineage::open).unwrap_or_default();
                let read = |partition: &GroupId| {
                    group.slots.contains_key(partition) || self.finished[name].contains(partition)
                };
                assert!(open.iter().all(read), "a partition is never given out to {name}");
            }
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

/// With equal subscriptions, members keep what they have when one finishes a partition. Only when no child comes, another may
/// have to give one up, for one that has too few now.
fn check_finish(finished: GroupId, before: &Group, after: &Group) {
    if !uniform(after) {
        return;
    }
    let stays = |(partition, slot): &(&GroupId, &Slot)| {
        **partition != finished && before.slots.get(*partition).is_some_and(|old| old.target != slot.target)
    };
    let moved = after.slots.iter().filter(stays).count();
    let come = after.slots.keys().filter(|partition| !before.slots.contains_key(partition)).count();
    assert!(moved <= usize::from(come == 0), "{moved} partitions move, {come} come");
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
