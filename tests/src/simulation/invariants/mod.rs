//! What must hold at every moment of a run, whatever fails. One file, one property:
//!
//! | property | source | module |
//! |---|---|---|
//! | at most one leader per group and term | Raft §5.2, Election Safety | [`election_safety`] |
//! | entries of one index and term are the same, and so are those before them | Raft §5.3, Log Matching | [`log_matching`] |
//! | a leader has every entry that was committed in an earlier term | Raft §5.4, Leader Completeness | [`leader_completeness`] |
//! | what is committed is synced on a majority of the voters | `architecture.md` §6: a majority has it on disk | [`durable_majority`] |
//! | replicas that applied the same index hold the same rows | Raft §5.4.3, State Machine Safety | [`equal_states`] |
//! | the terms of a log never fall from entry to entry | Raft §5.3: conflicting entries are deleted, and all that follow | [`log_order`] |
//! | term, commit and applied position never fall | Raft §5.1, §8 | [`never_back`] |
//! | a vote that was cast stays on its disk | Raft §5.2: at most one vote per term | [`durable_votes`] |
//! | lease ids rise with the log | `semantics.md`: a later grant has a higher id | [`lease_ids_rise`] |
//! | no more messages of a partition are leased than its limit | `LIMITS.md` | [`lease_limit`] |
//! | every message is ready, waiting, leased, parked or gone | P1: nothing is lost | [`messages_add_up`] |
//! | no machine contradicts itself | `check_invariants` of queue, stream, groups, metadata | [`sound_machines`] |
//!
//! Leaders are looked at all the time. Logs and votes are looked at every so often, before and after whatever the run
//! does to a node, and closely after each change of leader. Machines and rows, which are read from end to end, less often.

mod durable_majority;
mod durable_votes;
mod election_safety;
mod equal_states;
mod leader_completeness;
mod lease_ids_rise;
mod lease_limit;
mod log_matching;
mod log_order;
mod messages_add_up;
mod never_back;
mod sound_machines;

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use weir_broker::{Broker, Inspection};
use weir_storage::{GroupPicture, Picture};
use weir_types::{GroupId, LogIndex, NodeId, Term};

pub(super) use election_safety::Leaders;

use super::cluster::Cluster;
use super::options::Options;

/// New entries of a log that are looked at.
const TAIL_ENTRIES: u64 = 256;
/// Entries that were looked at before and are looked at again: a suffix may have been overwritten.
const AGAIN_ENTRIES: u64 = 24;

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
    /// The ends of its logs.
    tails: Vec<Tail>,
}

/// The end of a log.
struct Tail {
    group: GroupId,
    entries: Vec<Entry>,
    /// The last entry.
    end: (LogIndex, Term),
    /// The last entry that the rows on the same disk include.
    applied: LogIndex,
}

/// An entry of a log.
#[derive(Clone, Copy)]
struct Entry {
    index: LogIndex,
    term: Term,
    /// A fingerprint of what it holds.
    digest: u64,
}

impl Node {
    fn on_disk(&self, group: GroupId) -> Option<GroupPicture<'_>> {
        self.disk.group(group)
    }

    fn tail(&self, group: GroupId) -> Option<&Tail> {
        self.tails.iter().find(|tail| tail.group == group)
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
    /// Of logs and votes.
    quick: Vec<Box<dyn Invariant>>,
    /// Of machines and rows.
    thorough: Vec<Box<dyn Invariant>>,
    machines: BTreeMap<NodeId, usize>,
    lives: Vec<u64>,
    ends: BTreeMap<(usize, GroupId), (LogIndex, Term)>,
    broken: Vec<String>,
}

impl Invariants {
    /// Of a run with these options.
    pub(super) fn new(options: &Options) -> Self {
        let drops = options.discards || options.rules.drop_messages();
        Self {
            quick: vec![
                Box::new(durable_votes::DurableVotes::default()),
                Box::new(log_order::LogOrder::default()),
                Box::new(log_matching::LogMatching::default()),
                Box::new(leader_completeness::LeaderCompleteness::default()),
                Box::new(durable_majority::DurableMajority::default()),
                Box::new(never_back::NeverBack::default()),
                Box::new(lease_ids_rise::LeaseIdsRise::default()),
                Box::new(messages_add_up::MessagesAddUp { drops }),
                Box::new(lease_limit::LeaseLimit { max: options.rules.leases_max }),
            ],
            thorough: vec![
                Box::new(equal_states::EqualStates::default()),
                Box::new(sound_machines::SoundMachines),
            ],
            machines: BTreeMap::new(),
            lives: vec![0; options.nodes],
            ends: BTreeMap::new(),
            broken: Vec::new(),
        }
    }

    /// A node went down.
    pub(super) fn went_down(&mut self, node: usize) {
        self.lives[node] += 1;
    }

    /// Looks at logs and votes.
    pub(super) fn look(&mut self, cluster: &Cluster, forgetful: Option<usize>) {
        self.look_at(cluster, forgetful, false);
    }

    /// Looks at everything.
    pub(super) fn look_thoroughly(&mut self, cluster: &Cluster, forgetful: Option<usize>) {
        self.look_at(cluster, forgetful, true);
    }

    fn look_at(&mut self, cluster: &Cluster, forgetful: Option<usize>, thorough: bool) {
        let mut nodes = Vec::new();
        for number in 0..cluster.size() {
            match self.node(cluster, number) {
                Ok(node) => nodes.push(node),
                Err(error) => {
                    self.broken.push(format!("the disk of {}: {error}", super::cluster::name(number)));
                    return;
                }
            }
        }
        let world = World { nodes, forgetful, machines: self.machines.clone() };
        let all = self.quick.iter_mut().chain(self.thorough.iter_mut().filter(|_| thorough));
        all.for_each(|invariant| invariant.look(&world, &mut self.broken));
    }

    fn node(&mut self, cluster: &Cluster, number: usize) -> Result<Node, weir_storage::Error> {
        let disk = cluster.disk(number).picture()?;
        let broker = cluster.broker(number);
        if let Some(broker) = &broker {
            self.machines.insert(broker.node(), number);
        }
        let replicas = broker.as_ref().map(Broker::inspect).unwrap_or_default();
        let mut tails = Vec::new();
        for picture in disk.groups() {
            let known = self.ends.get(&(number, picture.id())).copied();
            if let Some(tail) = tail(&picture, known)? {
                self.ends.insert((number, tail.group), tail.end);
                tails.push(tail);
            }
        }
        Ok(Node { number, life: self.lives[number], broker, replicas, disk, tails })
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

/// The end of a log, as far as it was not known.
fn tail(
    picture: &GroupPicture<'_>,
    known: Option<(LogIndex, Term)>,
) -> Result<Option<Tail>, weir_storage::Error> {
    let Some((first, last)) = picture.ends(LogIndex(0))? else { return Ok(None) };
    let again = known.map_or(0, |(end, _)| end.0.min(last.0).saturating_sub(AGAIN_ENTRIES));
    let from = first.0.max(again).max((last.0 + 1).saturating_sub(TAIL_ENTRIES));
    let mut entries = Vec::new();
    for entry in picture.entries(LogIndex(from)..last.next())? {
        let mut hasher = DefaultHasher::new();
        (entry.kind, &entry.payload).hash(&mut hasher);
        entries.push(Entry { index: entry.index, term: entry.term, digest: hasher.finish() });
    }
    let applied = applied(picture).map_or(LogIndex(0), |(_, index)| index);
    let end = entries.last().map(|entry| (entry.index, entry.term));
    Ok(end.map(|end| Tail { group: picture.id(), entries, end, applied }))
}
