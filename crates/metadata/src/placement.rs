//! The planner: which nodes hold the replicas of new partitions, and which of them should lead. Pure and
//! deterministic: it runs inside `apply`, so equal inputs must give equal plans on every replica.
//!
//! Replicas go, one by one, to the rack that the partition uses least, then to the least loaded rack, then to
//! the least loaded node in it. Equal nodes so end within one replica of each other. Leaders are first given to
//! the replica whose node leads least; then, as in a flow problem, leadership is passed along chains of
//! partitions from a node that leads too many to one that leads too few, until no chain helps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_types::{GroupId, NodeId, ReplicaId};

pub use crate::balance::{Balance, Layout, Spread};

/// A node that replicas may be placed on, and what it carries already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: NodeId,
    /// Replicas of one partition keep apart from others in the same rack, where there are racks enough. A node
    /// without one is a rack of its own.
    pub rack: Option<String>,
    /// Replicas on it.
    pub replicas: u64,
    /// Partitions that it should lead.
    pub leaders: u64,
}

/// Where one partition goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    /// The nodes of its replicas, each once.
    pub nodes: Vec<NodeId>,
    /// The one that should lead.
    pub leader: NodeId,
}

/// A transfer of leadership that spreads leaders evenly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The group.
    pub group: GroupId,
    /// Who leads.
    pub from: ReplicaId,
    /// Who should.
    pub to: ReplicaId,
}

/// Places `partitions` partitions of `replicas` replicas each; none when there are fewer nodes than replicas.
///
/// # Panics
/// When `replicas` is 0: a partition without replicas has no leader.
pub fn place(candidates: &[Candidate], partitions: usize, replicas: usize) -> Option<Vec<Placement>> {
    assert!(replicas > 0, "a partition has at least one replica");
    let mut load = Load::of(candidates);
    if load.nodes.len() < replicas {
        return None;
    }
    let mut sets = Vec::with_capacity(partitions);
    for _ in 0..partitions {
        let mut set = BTreeSet::new();
        for _ in 0..replicas {
            let racks = set.iter().map(|node| &load.nodes[node].0);
            let node = load.pick(&set, racks).expect("there are at least as many nodes as replicas");
            load.add(node);
            set.insert(node);
        }
        sets.push(set);
    }
    let leaders = choose_leaders(candidates, &sets);
    let placement =
        |(set, leader): (BTreeSet<NodeId>, NodeId)| Placement { nodes: set.into_iter().collect(), leader };
    Some(sets.into_iter().zip(leaders).map(placement).collect())
}

/// The best node for one more replica beside those in the racks `beside`; none when every candidate is `taken`. A node
/// whose replica is on its way out is taken, and nobody has to keep apart from it.
pub fn place_one(candidates: &[Candidate], taken: &BTreeSet<NodeId>, beside: &[Rack]) -> Option<NodeId> {
    Load::of(candidates).pick(taken, beside.iter())
}

/// What nodes share power or network in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rack {
    /// A rack with a name.
    Named(String),
    /// The node shares with nobody.
    Alone(NodeId),
}

impl Rack {
    /// Where a node is.
    pub fn of(node: NodeId, rack: Option<&str>) -> Self {
        rack.map_or(Self::Alone(node), |name| Self::Named(name.to_owned()))
    }
}

/// What nodes and racks carry while a plan grows.
struct Load {
    nodes: BTreeMap<NodeId, (Rack, u64)>,
    /// Replicas on a rack, and the nodes in it.
    racks: BTreeMap<Rack, (u64, u64)>,
}

impl Load {
    fn of(candidates: &[Candidate]) -> Self {
        let mut load = Self { nodes: BTreeMap::new(), racks: BTreeMap::new() };
        for candidate in candidates {
            let rack = Rack::of(candidate.node, candidate.rack.as_deref());
            let total = load.racks.entry(rack.clone()).or_insert((0, 0));
            total.0 += candidate.replicas;
            total.1 += 1;
            load.nodes.insert(candidate.node, (rack, candidate.replicas));
        }
        load
    }

    fn pick<'a>(&self, taken: &BTreeSet<NodeId>, beside: impl Iterator<Item = &'a Rack>) -> Option<NodeId> {
        let mut used: BTreeMap<&Rack, u64> = BTreeMap::new();
        for rack in beside {
            *used.entry(rack).or_default() += 1;
        }
        let free = self.nodes.iter().filter(|(node, _)| !taken.contains(node));
        let best = free.min_by_key(|(node, (rack, replicas))| {
            let (total, size) = self.racks[rack];
            // Replicas per node of the rack, in millionths, since floats are not for replicated decisions.
            let rack_load = u128::from(total) * 1_000_000 / u128::from(size);
            (used.get(rack).copied().unwrap_or(0), rack_load, *replicas, **node)
        });
        best.map(|(node, _)| *node)
    }

    fn add(&mut self, node: NodeId) {
        if let Some((rack, replicas)) = self.nodes.get_mut(&node) {
            *replicas += 1;
            if let Some((total, _)) = self.racks.get_mut(rack) {
                *total += 1;
            }
        }
    }
}

/// One leader per set, so that no node leads more than it must.
fn choose_leaders(candidates: &[Candidate], sets: &[BTreeSet<NodeId>]) -> Vec<NodeId> {
    let mut leading: BTreeMap<NodeId, u64> = candidates.iter().map(|c| (c.node, c.leaders)).collect();
    let mut leaders = Vec::with_capacity(sets.len());
    for set in sets {
        let least = set.iter().min_by_key(|node| (leading[node], **node));
        let leader = *least.expect("a partition has at least one replica");
        *leading.get_mut(&leader).expect("every replica is on a candidate") += 1;
        leaders.push(leader);
    }
    while let Some(chain) = improving_chain(&leading, sets, &leaders) {
        for Handover { partition, to } in chain {
            let from = std::mem::replace(&mut leaders[partition], to);
            *leading.get_mut(&from).expect("leaders are candidates") -= 1;
            *leading.get_mut(&to).expect("replicas are on candidates") += 1;
        }
    }
    leaders
}

struct Handover {
    partition: usize,
    to: NodeId,
}

/// A chain of handovers that takes one leadership from a node to another that leads at least two fewer.
fn improving_chain(
    leading: &BTreeMap<NodeId, u64>,
    sets: &[BTreeSet<NodeId>],
    leaders: &[NodeId],
) -> Option<Vec<Handover>> {
    let least = leading.values().min().copied()?;
    let too_many = leading.iter().filter(|(_, count)| **count >= least + 2);
    let mut sources: Vec<NodeId> = too_many.map(|(node, _)| *node).collect();
    sources.sort_by_key(|node| (std::cmp::Reverse(leading[node]), *node));
    sources.into_iter().find_map(|source| chain_from(source, leading, sets, leaders))
}

/// Breadth first, so that the chain is as short as can be.
fn chain_from(
    source: NodeId,
    leading: &BTreeMap<NodeId, u64>,
    sets: &[BTreeSet<NodeId>],
    leaders: &[NodeId],
) -> Option<Vec<Handover>> {
    // How each node was reached: from which node, by handing over which partition.
    let mut reached: BTreeMap<NodeId, (NodeId, usize)> = BTreeMap::new();
    let mut queue = VecDeque::from([source]);
    while let Some(node) = queue.pop_front() {
        if leading[&node] + 2 <= leading[&source] {
            return Some(chain_to(node, source, &reached));
        }
        let led = leaders.iter().enumerate().filter(|(_, leader)| **leader == node);
        for (partition, _) in led {
            for next in &sets[partition] {
                if *next != source && !reached.contains_key(next) {
                    reached.insert(*next, (node, partition));
                    queue.push_back(*next);
                }
            }
        }
    }
    None
}

fn chain_to(end: NodeId, source: NodeId, reached: &BTreeMap<NodeId, (NodeId, usize)>) -> Vec<Handover> {
    let mut chain = Vec::new();
    let mut to = end;
    while to != source {
        let (from, partition) = reached[&to];
        chain.push(Handover { partition, to });
        to = from;
    }
    chain
}
