//! The planner: which nodes hold the replicas of new partitions, and which of them should lead. Pure and
//! deterministic: it runs inside `apply`, so equal inputs must give equal plans on every replica.
//!
//! Replicas go, one by one, to the rack that the partition uses least, then to the least loaded rack, then to
//! the least loaded node in it. Equal nodes so end within one replica of each other. Leaders are first given to
//! the replica whose node leads least; then, as in a flow problem, leadership is passed along chains of
//! partitions from a node that leads too many to one that leads too few, until no chain helps.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_types::{GroupId, NodeId, ReplicaId};

use crate::moves::ReplicaMove;

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
            let node = load.pick(&set).expect("there are at least as many nodes as replicas");
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

/// The best node for one more replica beside `others`; none when every candidate is among them.
pub fn place_one(candidates: &[Candidate], others: &BTreeSet<NodeId>) -> Option<NodeId> {
    Load::of(candidates).pick(others)
}

/// Where the replicas of a partition are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The partition's group.
    pub group: GroupId,
    /// The nodes of its replicas.
    pub nodes: BTreeSet<NodeId>,
    /// The one that should lead, which its successor takes over.
    pub leader: Option<NodeId>,
}

/// The moves that bring every partition to as many racks as can be, and then the nodes within one replica of each
/// other, as far as the racks allow. Each move is needed, and where nothing is to gain nothing moves. Replicas on
/// nodes that are not among the candidates stay where they are. Several moves of one partition are to be made one
/// after the other.
pub fn balance(candidates: &[Candidate], partitions: &[Spread]) -> Vec<ReplicaMove> {
    let mut plan = Balance {
        load: Load::of(candidates),
        leading: candidates.iter().map(|candidate| (candidate.node, candidate.leaders)).collect(),
        spreads: partitions.iter().map(|spread| (spread.group, spread.clone())).collect(),
        moves: Vec::new(),
    };
    plan.spread_racks();
    plan.level();
    plan.moves
}

struct Balance {
    load: Load,
    leading: BTreeMap<NodeId, u64>,
    /// The partitions as they are after the moves so far.
    spreads: BTreeMap<GroupId, Spread>,
    moves: Vec<ReplicaMove>,
}

impl Balance {
    /// Moves that take a partition to one more rack.
    fn spread_racks(&mut self) {
        let groups: Vec<GroupId> = self.spreads.keys().copied().collect();
        for group in groups {
            while let Some(next) = self.next_spreading(&self.spreads[&group]) {
                self.carry_out(next);
            }
        }
    }

    fn next_spreading(&self, spread: &Spread) -> Option<ReplicaMove> {
        let before = self.load.racks_of(&spread.nodes);
        let to = self.load.pick(&spread.nodes)?;
        let sources = spread.nodes.iter().filter(|node| self.load.nodes.contains_key(node));
        let gains = sources.filter(|from| {
            let others = spread.nodes.iter().filter(|node| node != from).copied();
            self.load.racks_of(&others.chain([to]).collect()) > before
        });
        // From the fullest of them.
        let from = gains.max_by_key(|node| (self.load.nodes[node].1, **node))?;
        Some(ReplicaMove { group: spread.group, from: *from, to })
    }

    /// Moves from nodes that carry too much to those that carry least.
    fn level(&mut self) {
        while let Some(next) = self.next_levelling() {
            self.carry_out(next);
        }
    }

    fn next_levelling(&self) -> Option<ReplicaMove> {
        let mut nodes: Vec<(u64, NodeId)> =
            self.load.nodes.iter().map(|(node, (_, replicas))| (*replicas, *node)).collect();
        nodes.sort_unstable();
        // The widest gap first. Those that carry most are gone through for each that carries least.
        for (least, to) in &nodes {
            for (most, from) in nodes.iter().rev() {
                if *most < least + 2 {
                    break;
                }
                if let Some(group) = self.partition_for(*from, *to) {
                    return Some(ReplicaMove { group, from: *from, to: *to });
                }
            }
        }
        None
    }

    /// A partition that may go from one node to another without losing a rack: one that takes a leadership along
    /// where the one leads more than the other, and none where not.
    fn partition_for(&self, from: NodeId, to: NodeId) -> Option<GroupId> {
        let leads_more = self.leading[&from] > self.leading[&to];
        let able = |spread: &&Spread| {
            let others = spread.nodes.iter().filter(|node| **node != from).copied();
            spread.nodes.contains(&from)
                && !spread.nodes.contains(&to)
                && self.load.racks_of(&others.chain([to]).collect()) >= self.load.racks_of(&spread.nodes)
        };
        let best = self.spreads.values().filter(able).min_by_key(|spread| {
            let led = spread.leader == Some(from);
            (led != leads_more, spread.group)
        });
        best.map(|spread| spread.group)
    }

    fn carry_out(&mut self, next: ReplicaMove) {
        let ReplicaMove { group, from, to } = next;
        self.load.take(from);
        self.load.add(to);
        let spread = self.spreads.get_mut(&group).expect("what moves is one of the partitions");
        spread.nodes.remove(&from);
        spread.nodes.insert(to);
        if spread.leader == Some(from) {
            spread.leader = Some(to);
            let leads = self.leading.entry(from).or_default();
            *leads = leads.saturating_sub(1);
            *self.leading.entry(to).or_default() += 1;
        }
        self.moves.push(next);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rack {
    Named(String),
    Alone(NodeId),
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
            let rack = match &candidate.rack {
                Some(name) => Rack::Named(name.clone()),
                None => Rack::Alone(candidate.node),
            };
            let total = load.racks.entry(rack.clone()).or_insert((0, 0));
            total.0 += candidate.replicas;
            total.1 += 1;
            load.nodes.insert(candidate.node, (rack, candidate.replicas));
        }
        load
    }

    fn pick(&self, set: &BTreeSet<NodeId>) -> Option<NodeId> {
        let mut used: BTreeMap<&Rack, u64> = BTreeMap::new();
        for (rack, _) in set.iter().filter_map(|node| self.nodes.get(node)) {
            *used.entry(rack).or_default() += 1;
        }
        let free = self.nodes.iter().filter(|(node, _)| !set.contains(node));
        let best = free.min_by_key(|(node, (rack, replicas))| {
            let (total, size) = self.racks[rack];
            // Replicas per node of the rack, in millionths, since floats are not for replicated decisions.
            let rack_load = u128::from(total) * 1_000_000 / u128::from(size);
            (used.get(rack).copied().unwrap_or(0), rack_load, *replicas, **node)
        });
        best.map(|(node, _)| *node)
    }

    /// How many racks these nodes are in; one that is no candidate is a rack of its own.
    fn racks_of(&self, nodes: &BTreeSet<NodeId>) -> usize {
        let rack = |node: &NodeId| self.nodes.get(node).map_or(Rack::Alone(*node), |(rack, _)| rack.clone());
        nodes.iter().map(rack).collect::<BTreeSet<Rack>>().len()
    }

    fn take(&mut self, node: NodeId) {
        if let Some((rack, replicas)) = self.nodes.get_mut(&node) {
            *replicas -= 1;
            if let Some((total, _)) = self.racks.get_mut(rack) {
                *total -= 1;
            }
        }
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
