//! A registry, leaders and clients in a nutshell, around partitions that are split and merged.

mod partition;

use std::collections::{BTreeMap, BTreeSet};

use weir_queue::{
    Action, Attributes, Command, Enqueue, Inherit, Lease, MessageState, Rejection, Reply, Run, Select,
    Settle, SettleItem,
};
use weir_types::{At, KeyHash, KeyRange, LeaseId, MessageId, QueuePolicy, RequestId, Term, WallClock};

use partition::{Partition, Stage};

const PARTITIONS_MAX: usize = 9;

/// What somebody does next; partitions, grants and letters are picked from those that are there.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    Enqueue(Vec<u32>),
    Lease {
        partition: u8,
        max: u32,
        lease_ms: u64,
    },
    Settle {
        back: u8,
        action: u8,
    },
    Pause(u64),
    Discard(u8),
    Redrive(u8),
    Purge(u8),
    Split(u8),
    Merge(u8),
    /// The leader of a partition that is to be sealed does it.
    Seal(u8),
    /// It hands its children what they inherit: not for the first time, perhaps.
    Hand(u8),
    /// It tells them what is drained.
    Tell(u8),
    /// What is under way arrives, and may arrive again.
    Deliver {
        letter: u8,
        again: bool,
    },
    /// All that is under way arrives, in order.
    DeliverAll,
    Restart(u8),
}

/// A command on its way to another partition.
#[derive(Clone)]
struct Letter {
    to: usize,
    command: Command,
    heard: Heard,
}

/// What its sender does when it has the answer.
#[derive(Clone)]
enum Heard {
    Nothing,
    /// One step fewer of this inheritance is to be answered.
    Inherited {
        parent: usize,
        inheritance: usize,
        step: usize,
    },
    Told {
        parent: usize,
        keys: Vec<KeyHash>,
    },
}

pub(crate) struct World {
    policy: QueuePolicy,
    now: At,
    partitions: Vec<Partition>,
    letters: Vec<Letter>,
    /// Steps that are not answered, of each inheritance that was handed over.
    unanswered: Vec<BTreeSet<usize>>,
    /// Live messages, with their keys, in order of arrival.
    arrived: Vec<(usize, MessageId, KeyHash)>,
    grants: Vec<(usize, MessageId, LeaseId)>,
    last_lease: BTreeMap<KeyHash, LeaseId>,
    requests: u64,
}

impl World {
    pub(crate) fn new(policy: QueuePolicy) -> Self {
        let now = At { term: Term(1), wall_clock: WallClock(1_000_000), ..At::default() };
        let first = Partition::new(policy.clone(), 1, KeyRange::ALL, Vec::new(), Stage::Open);
        Self {
            policy,
            now,
            partitions: vec![first],
            letters: Vec::new(),
            unanswered: Vec::new(),
            arrived: Vec::new(),
            grants: Vec::new(),
            last_lease: BTreeMap::new(),
            requests: 0,
        }
    }

    pub(crate) fn act(&mut self, act: &Act) {
        match act {
            Act::Enqueue(keys) => keys.iter().for_each(|key| self.enqueue(KeyHash(key << 29))),
            Act::Lease { partition, max, lease_ms } => {
                self.lease(usize::from(*partition) % self.partitions.len(), *max, *lease_ms);
            }
            Act::Settle { back, action } => self.settle(*back, *action),
            Act::Pause(ms) => self.pause(*ms),
            Act::Discard(pick) => {
                self.ask_one(*pick, Command::Discard { select: Select::All, max: 1 });
            }
            Act::Redrive(pick) => self.ask_one(*pick, Command::Redrive { select: Select::All, max: 1 }),
            Act::Purge(pick) => self.ask_one(*pick, Command::Purge { before: None, max: 1 }),
            Act::Split(pick) => self.split(*pick),
            Act::Merge(pick) => self.merge(*pick),
            Act::Seal(pick) => {
                if let Some(parent) = self.pick(*pick, |partition| partition.stage == Stage::Sealing) {
                    assert_eq!(self.ask(parent, Command::Seal), Ok(Reply::Sealed));
                }
            }
            Act::Hand(pick) => {
                if let Some(parent) = self.pick(*pick, |partition| partition.queue.is_sealed()) {
                    self.hand(parent);
                }
            }
            Act::Tell(pick) => {
                if let Some(parent) = self.pick(*pick, |partition| partition.stage == Stage::Sealed) {
                    self.tell(parent);
                }
            }
            Act::Deliver { letter, again } => {
                if !self.letters.is_empty() {
                    self.deliver(usize::from(*letter) % self.letters.len(), *again);
                }
            }
            Act::DeliverAll => self.deliver_all(),
            Act::Restart(pick) => {
                let picked = usize::from(*pick) % self.partitions.len();
                self.partitions[picked].restart();
            }
        }
        self.check_order();
    }

    /// All that is under way is done, and willing consumers take what is there: then nothing is left anywhere.
    pub(crate) fn finish(&mut self) {
        for _ in 0..80 {
            for partition in 0..self.partitions.len() {
                if self.partitions[partition].stage == Stage::Sealing {
                    self.ask(partition, Command::Seal).unwrap();
                    self.hand(partition);
                }
                if self.partitions[partition].stage == Stage::Sealed {
                    self.tell(partition);
                }
                self.deliver_all();
                self.ask(partition, Command::Discard { select: Select::All, max: 100 }).unwrap();
                let granted = self.grants.len();
                self.lease(partition, 100, 10_000);
                for (partition, message, lease) in self.grants.split_off(granted) {
                    self.settle_one(partition, message, lease, Action::Ack);
                }
                self.check_order();
            }
            self.pause(1_000);
        }
        self.check_order();
        assert!(self.arrived.is_empty(), "P9: stuck: {:?}", self.arrived);
        for partition in &self.partitions {
            let gone = partition.queue.is_retirable();
            assert_eq!(gone, partition.stage == Stage::Sealed, "{} is to go", partition.group);
        }
    }

    fn ask(&mut self, partition: usize, command: Command) -> Result<Reply, Rejection> {
        self.partitions[partition].apply(self.now, command)
    }

    /// Asks any partition; the answer does not matter.
    fn ask_one(&mut self, pick: u8, command: Command) {
        let picked = usize::from(pick) % self.partitions.len();
        drop(self.ask(picked, command));
    }

    fn pick(&self, pick: u8, fits: impl Fn(&Partition) -> bool) -> Option<usize> {
        let all: Vec<usize> = (0..self.partitions.len()).filter(|at| fits(&self.partitions[*at])).collect();
        all.get(usize::from(pick) % all.len().max(1)).copied()
    }

    fn pause(&mut self, ms: u64) {
        self.now.lease_clock = self.now.lease_clock + ms;
        self.now.wall_clock = self.now.wall_clock + ms;
        for partition in 0..self.partitions.len() {
            self.ask(partition, Command::Tick).unwrap();
        }
    }

    /// Goes to the owner of the key; a producer that is told `Sealed` asks again when the registry has moved on.
    fn enqueue(&mut self, key: KeyHash) {
        // A sealed one keeps its keys until its children have them, which may wait for another parent.
        let is_coming = |child: &usize| self.partitions[*child].stage == Stage::Coming;
        let owner = |partition: &Partition| {
            let owns = partition.stage == Stage::Open || partition.children.iter().any(is_coming);
            owns && partition.range.contains(key)
        };
        let to = self.pick(0, owner).expect("every key has an owner");
        let attributes = Attributes { key: Some(key), ..Attributes::default() };
        let batch = Enqueue {
            position: 0,
            length: 71,
            count: 1,
            bytes: 10,
            producer: None,
            runs: vec![Run { count: 1, attributes }],
            dedup: Vec::new(),
        };
        match self.ask(to, Command::Enqueue(batch)) {
            Ok(Reply::Enqueued { first, .. }) => self.arrived.push((to, first, key)),
            Err(Rejection::Sealed) => assert!(self.partitions[to].queue.is_sealed()),
            Err(Rejection::KeyBlocked { .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    fn lease(&mut self, partition: usize, max_messages: u32, lease_ms: u64) {
        self.requests += 1;
        let request = RequestId(self.requests);
        let lease =
            Lease { request, session: None, max_messages, max_bytes: 1_000, lease_ms: Some(lease_ms) };
        let answer = self.ask(partition, Command::Lease(lease));
        let Ok(Reply::Leased { messages }) = answer else { panic!("{answer:?}") };
        for granted in messages {
            let key = granted.key.expect("every message has a key");
            let last = self.last_lease.insert(key, granted.lease);
            assert!(last.is_none_or(|last| last < granted.lease), "P5: {granted:?} after lease {last:?}");
            self.grants.push((partition, granted.message, granted.lease));
        }
    }

    fn settle(&mut self, back: u8, action: u8) {
        let back = usize::from(back) % 8;
        let Some(place) = self.grants.len().checked_sub(back + 1) else { return };
        let (partition, message, lease) = self.grants[place];
        let action = match action {
            0 | 1 => Action::Ack,
            2 => Action::Nack { delay_ms: None },
            3 => Action::Extend { lease_ms: 100 },
            4 => Action::Release,
            _ => Action::Reject { reason: "unwilling".to_owned() },
        };
        self.settle_one(partition, message, lease, action);
    }

    fn settle_one(&mut self, partition: usize, message: MessageId, lease: LeaseId, action: Action) {
        let items = vec![SettleItem { message, lease, action }];
        self.ask(partition, Command::Settle(Settle { request: None, items })).unwrap();
    }

    fn split(&mut self, pick: u8) {
        let fits = |partition: &Partition| partition.stage == Stage::Open;
        let Some(parent) = self.pick(pick, fits).filter(|_| self.partitions.len() < PARTITIONS_MAX) else {
            return;
        };
        let (first, last) = (self.partitions[parent].range.first().0, self.partitions[parent].range.last().0);
        let middle = first + (last - first) / 2;
        self.partitions[parent].stage = Stage::Sealing;
        for (first, last) in [(first, middle), (middle + 1, last)] {
            self.add(KeyRange::new(KeyHash(first), KeyHash(last)).unwrap(), vec![parent]);
        }
    }

    fn merge(&mut self, pick: u8) {
        let is_open = |partition: &Partition| partition.stage == Stage::Open;
        let left = self.pick(pick, is_open).filter(|_| self.partitions.len() < PARTITIONS_MAX);
        let Some(left) = left else { return };
        let range = self.partitions[left].range;
        let is_next =
            |partition: &Partition| range.last().0.checked_add(1) == Some(partition.range.first().0);
        let Some(right) = self.pick(0, |partition| is_open(partition) && is_next(partition)) else { return };
        let joint = KeyRange::new(range.first(), self.partitions[right].range.last()).unwrap();
        self.partitions[left].stage = Stage::Sealing;
        self.partitions[right].stage = Stage::Sealing;
        self.add(joint, vec![left, right]);
    }

    fn add(&mut self, range: KeyRange, parents: Vec<usize>) {
        let child = self.partitions.len();
        for parent in &parents {
            self.partitions[*parent].children.push(child);
        }
        let group = child as u32 + 1;
        self.partitions.push(Partition::new(self.policy.clone(), group, range, parents, Stage::Coming));
    }

    /// All steps, cut up as small as they could be.
    fn hand(&mut self, parent: usize) {
        let mut steps = Vec::new();
        for child in &self.partitions[parent].children {
            let (group, range) = (self.partitions[parent].group, self.partitions[*child].range);
            for whole in self.partitions[parent].queue.inheritance(group, range) {
                steps.push((*child, Inherit { keys: Vec::new(), ..whole.clone() }));
                let keys = whole.keys.iter();
                steps.extend(keys.map(|key| (*child, Inherit { keys: vec![*key], ..whole.clone() })));
            }
        }
        let inheritance = self.unanswered.len();
        self.unanswered.push((0..steps.len()).collect());
        let letters = steps.into_iter().enumerate().map(|(step, (to, inherit))| Letter {
            to,
            command: Command::Inherit(inherit),
            heard: Heard::Inherited { parent, inheritance, step },
        });
        self.letters.extend(letters);
    }

    fn tell(&mut self, parent: usize) {
        let of = &self.partitions[parent];
        for to in &of.children {
            let keys = of.queue.drained_in(self.partitions[*to].range);
            if !keys.is_empty() {
                let command = Command::Drained { parent: of.group, keys: keys.clone() };
                self.letters.push(Letter { to: *to, command, heard: Heard::Told { parent, keys } });
            }
        }
    }

    fn deliver(&mut self, letter: usize, again: bool) {
        let Letter { to, command, heard } = self.letters[letter].clone();
        if !again {
            self.letters.remove(letter);
        }
        assert_eq!(self.ask(to, command), Ok(Reply::Done));
        match heard {
            Heard::Nothing => {}
            Heard::Inherited { parent, inheritance, step } => {
                self.unanswered[inheritance].remove(&step);
                if self.unanswered[inheritance].is_empty() {
                    self.partition_sealed(parent);
                }
            }
            Heard::Told { parent, keys } => {
                let command = Command::ConfirmDrained { keys };
                self.letters.push(Letter { to: parent, command, heard: Heard::Nothing });
            }
        }
    }

    fn deliver_all(&mut self) {
        while !self.letters.is_empty() {
            self.deliver(0, false);
        }
    }

    /// The registry: children whose parents are all sealed own their keys from now on.
    fn partition_sealed(&mut self, parent: usize) {
        self.partitions[parent].stage = Stage::Sealed;
        for child in self.partitions[parent].children.clone() {
            let parents = &self.partitions[child].parents;
            let all = parents.iter().all(|parent| self.partitions[*parent].stage == Stage::Sealed);
            if all && self.partitions[child].stage == Stage::Coming {
                self.partitions[child].stage = Stage::Open;
            }
        }
    }

    /// Of what is left of a key the leased messages come first, in one partition; what is parked aside does not count.
    fn check_order(&mut self) {
        let partitions = &self.partitions;
        self.arrived.retain(|(at, message, _)| partitions[*at].queue.message(*message).is_some());
        let mut waiting: BTreeMap<KeyHash, (usize, MessageId)> = BTreeMap::new();
        let mut leased: BTreeMap<KeyHash, usize> = BTreeMap::new();
        for (at, message, key) in &self.arrived {
            match self.partitions[*at].queue.message(*message).unwrap().state {
                MessageState::Parked { holds_key: false, .. } => {}
                MessageState::Leased { .. } => {
                    let before = waiting.get(key);
                    assert!(before.is_none(), "P15: {message} of partition {at} is leased before {before:?}");
                    let other = leased.insert(*key, *at);
                    assert!(other.is_none_or(|other| other == *at), "P15: {key:?} is leased at once");
                }
                _ => {
                    waiting.entry(*key).or_insert((*at, *message));
                }
            }
        }
    }
}
