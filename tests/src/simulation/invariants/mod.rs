//! What must hold at every moment of a run, whatever fails. One file, one property:
//!
//! | property | source | module |
//! |---|---|---|
//! | at most one leader per group and term | Raft §5.2, Election Safety | [`election_safety`] |
//! | entries of one index and term are the same, and so are those before them | Raft §5.3, Log Matching | [`log_matching`] |
//! | a leader has every entry that was committed in an earlier term | Raft §5.4, Leader Completeness | [`leader_completeness`] |
//! | what is committed is synced on a majority of the voters | `architecture.md` §6: a majority has it on disk | [`durable_majority`] |
//! | replicas that applied the same index hold the same rows | Raft §5.4.3, State Machine Safety | [`equal_states`] |
//! | term, vote, commit and applied position never fall | Raft §5.1, §8 | [`never_back`] |
//! | lease ids rise with the log | `semantics.md`: a later grant has a higher id | [`lease_ids_rise`] |
//! | every message is ready, waiting, leased, parked or gone | P1: nothing is lost | [`messages_add_up`] |
//! | no machine contradicts itself | `check_invariants` of queue, stream, groups, metadata | [`sound_machines`] |
//!
//! Leaders are looked at after every step, the rest every so many steps: it reads disks and machines from end to end.

mod durable_majority;
mod election_safety;
mod equal_states;
mod leader_completeness;
mod lease_ids_rise;
mod log_matching;
mod messages_add_up;
mod never_back;
mod sound_machines;

use std::collections::BTreeMap;
use std::fmt;

use weir_broker::{Broker, Inspection};
use weir_storage::{GroupPicture, Picture};
use weir_types::{GroupId, LogIndex, NodeId, Term};

pub(super) use election_safety::Leaders;

use super::cluster::Cluster;

/// Entries before the end of a log that are looked at.
const TAIL_ENTRIES: u64 = 48;

/// One property.
trait Invariant {
    /// Looks at everything, and says what is broken.
    fn look(&mut self, world: &World, broken: &mut Vec<String>);
}

/// Everything at one moment.
struct World {
    nodes: Vec<Node>,
    /// The node that forgot what it had acknowledged, if one did.
    forgetful: Option<usize>,
    /// On which machine each node of the registry runs.
    machines: BTreeMap<NodeId, usize>,
}

/// One node at one moment.
struct Node {
    number: usize,
    /// How often it went down.
    life: u64,
    broker: Option<Broker>,
    replicas: BTreeMap<GroupId, Inspection>,
    disk: Picture,
}

impl Node {
    fn on_disk(&self, group: GroupId) -> Option<GroupPicture<'_>> {
        self.disk.groups().find(|picture| picture.id() == group)
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&super::cluster::name(self.number))
    }
}

/// Where a group's rows on a disk stand.
fn applied(picture: &GroupPicture<'_>) -> Option<(Term, LogIndex)> {
    let rows = picture.rows(weir_consensus::RESERVED_PREFIX).ok()?;
    weir_consensus::stored_applied(rows).ok()?
}

/// All of them, over one run.
pub(super) struct Invariants {
    all: Vec<Box<dyn Invariant>>,
    machines: BTreeMap<NodeId, usize>,
    lives: Vec<u64>,
    broken: Vec<String>,
}

impl Invariants {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            all: vec![
                Box::new(log_matching::LogMatching::default()),
                Box::new(leader_completeness::LeaderCompleteness::default()),
                Box::new(durable_majority::DurableMajority::default()),
                Box::new(equal_states::EqualStates::default()),
                Box::new(never_back::NeverBack::default()),
                Box::new(lease_ids_rise::LeaseIdsRise::default()),
                Box::new(messages_add_up::MessagesAddUp),
                Box::new(sound_machines::SoundMachines),
            ],
            machines: BTreeMap::new(),
            lives: vec![0; nodes],
            broken: Vec::new(),
        }
    }

    /// A node went down.
    pub(super) fn went_down(&mut self, node: usize) {
        self.lives[node] += 1;
    }

    /// Looks at everything.
    pub(super) fn look(&mut self, cluster: &Cluster, forgetful: Option<usize>) {
        let mut nodes = Vec::new();
        for number in 0..cluster.size() {
            let disk = match cluster.disk(number).picture() {
                Ok(disk) => disk,
                Err(error) => {
                    self.broken.push(format!("the disk of {}: {error}", super::cluster::name(number)));
                    return;
                }
            };
            let broker = cluster.broker(number);
            if let Some(broker) = &broker {
                self.machines.insert(broker.node(), number);
            }
            let replicas = broker.as_ref().map(Broker::inspect).unwrap_or_default();
            nodes.push(Node { number, life: self.lives[number], broker, replicas, disk });
        }
        let world = World { nodes, forgetful, machines: self.machines.clone() };
        for invariant in &mut self.all {
            invariant.look(&world, &mut self.broken);
        }
    }

    /// What was broken so far.
    pub(super) fn violations(&self) -> &[String] {
        &self.broken
    }

    /// Whether every group has one leader, all of its voters and equal states on them; else what is missing.
    pub(super) fn converged(&self, cluster: &Cluster) -> Result<(), String> {
        equal_states::converged(cluster, &self.machines)
    }
}
