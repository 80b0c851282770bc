//! The planner of a balance: which replicas move, so that every node carries its share. Its plan is proposed, not applied
//! by every replica, so it may take its time; it stops at as many moves as one command takes.

mod amend;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use weir_types::{GroupId, NodeId};

use crate::limits::MOVES_PER_COMMAND_MAX;
use crate::moves::ReplicaMove;
use crate::placement::Candidate;

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

/// What a balance starts from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// The nodes that replicas may move between.
    pub candidates: Vec<Candidate>,
    /// The racks of other nodes: their replicas stay where they are, and others keep apart from them.
    pub racks: BTreeMap<NodeId, String>,
    /// The partitions that may move.
    pub partitions: Vec<Spread>,
}

/// What a balance comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// The moves, in order.
    pub moves: Vec<ReplicaMove>,
    /// How often a node was looked at for a replica: the work of the planner, whatever machine it runs on.
    pub looked_at: u64,
}

impl Layout {
    /// The moves that bring every partition to as many racks as can be, and then the nodes within one replica of each
    /// other, as far as the racks allow; the first [`MOVES_PER_COMMAND_MAX`] of them. Each move is needed, and where
    /// nothing is to gain nothing moves. Replicas on nodes that are not among the candidates stay where they are. Several
    /// moves of one partition are to be made one after the other.
    pub fn balance(&self) -> Balance {
        let mut plan = Plan::new(self);
        plan.spread_racks();
        plan.amend();
        plan.level();
        let moves = plan.moves.iter().map(|planned| plan.shown(planned)).collect();
        Balance { moves, looked_at: plan.looked_at.get() }
    }
}

/// A node's place in the tables; its order is that of the ids among the candidates, which come first.
type NodeIndex = usize;
/// A partition's place in the tables; its order is that of the groups.
type PartIndex = usize;
/// Stands for a rack.
type RackIndex = usize;

struct Part {
    group: GroupId,
    nodes: Vec<NodeIndex>,
    leader: Option<NodeIndex>,
}

/// A move of the plan.
#[derive(Clone, Copy)]
struct Planned {
    part: PartIndex,
    from: NodeIndex,
    to: NodeIndex,
}

/// What a candidate carries after the moves so far.
#[derive(Default)]
struct Carried {
    replicas: u64,
    leaders: u64,
    /// The partitions with a replica on it that it should lead, and those that it should not.
    led: BTreeSet<PartIndex>,
    followed: BTreeSet<PartIndex>,
}

struct Plan {
    nodes: Vec<NodeId>,
    rack_of: Vec<RackIndex>,
    /// Of each candidate.
    carried: Vec<Carried>,
    /// Replicas on a rack, and the candidates in it.
    racks: Vec<(u64, u64)>,
    /// How many racks have candidates.
    racks_usable: usize,
    parts: Vec<Part>,
    /// Pairs of nodes of which it is known that no partition may go from the first to the second.
    barren: BTreeSet<(NodeIndex, NodeIndex)>,
    moves: Vec<Planned>,
    looked_at: Cell<u64>,
}

impl Plan {
    fn new(layout: &Layout) -> Self {
        let Layout { candidates, racks, partitions } = layout;
        let mut sorted: Vec<&Candidate> = candidates.iter().collect();
        sorted.sort_by_key(|candidate| candidate.node);
        let mut plan = Self {
            nodes: Vec::new(),
            rack_of: Vec::new(),
            carried: Vec::new(),
            racks: Vec::new(),
            racks_usable: 0,
            parts: Vec::with_capacity(partitions.len()),
            barren: BTreeSet::new(),
            moves: Vec::new(),
            looked_at: Cell::new(0),
        };
        let mut named: BTreeMap<&str, RackIndex> = BTreeMap::new();
        for candidate in sorted {
            plan.add_candidate(candidate, &mut named);
        }
        plan.racks_usable = plan.racks.len();
        for rack in racks.values() {
            let fresh = plan.racks.len();
            if *named.entry(rack).or_insert(fresh) == fresh {
                plan.racks.push((0, 0));
            }
        }
        let outside: BTreeMap<NodeId, RackIndex> =
            racks.iter().map(|(node, rack)| (*node, named[rack.as_str()])).collect();
        let mut indexes: BTreeMap<NodeId, NodeIndex> = (0..).zip(&plan.nodes).map(|(i, n)| (*n, i)).collect();
        let mut sorted: Vec<&Spread> = partitions.iter().collect();
        sorted.sort_by_key(|spread| spread.group);
        for spread in sorted {
            plan.add_part(spread, &mut indexes, &outside);
        }
        plan
    }

    fn add_candidate<'a>(&mut self, candidate: &'a Candidate, named: &mut BTreeMap<&'a str, RackIndex>) {
        let fresh = self.racks.len();
        let rack = candidate.rack.as_ref().map_or(fresh, |name| *named.entry(name).or_insert(fresh));
        if rack == fresh {
            self.racks.push((0, 0));
        }
        self.racks[rack].0 += candidate.replicas;
        self.racks[rack].1 += 1;
        self.nodes.push(candidate.node);
        self.rack_of.push(rack);
        let Candidate { replicas, leaders, .. } = *candidate;
        self.carried.push(Carried { replicas, leaders, ..Carried::default() });
    }

    fn add_part(
        &mut self,
        spread: &Spread,
        indexes: &mut BTreeMap<NodeId, NodeIndex>,
        outside: &BTreeMap<NodeId, RackIndex>,
    ) {
        let part = self.parts.len();
        let mut leader = None;
        let mut nodes = Vec::with_capacity(spread.nodes.len());
        for node in &spread.nodes {
            let index = *indexes.entry(*node).or_insert(self.nodes.len());
            if index == self.nodes.len() {
                self.nodes.push(*node);
                // Without a name it is a rack of its own, past those with one.
                self.rack_of.push(outside.get(node).copied().unwrap_or(self.racks.len() + index));
            }
            nodes.push(index);
            let leads = spread.leader == Some(*node);
            if leads {
                leader = Some(index);
            }
            if let Some(carried) = self.carried.get_mut(index) {
                carried.partitions(leads).insert(part);
            }
        }
        self.parts.push(Part { group: spread.group, nodes, leader });
    }

    fn look_at(&self, nodes: usize) {
        self.looked_at.set(self.looked_at.get() + nodes as u64);
    }

    fn is_full(&self) -> bool {
        self.moves.len() >= MOVES_PER_COMMAND_MAX
    }

    /// Moves that take a partition to one more rack.
    fn spread_racks(&mut self) {
        for part in 0..self.parts.len() {
            while !self.is_full()
                && let Some((from, to)) = self.next_spreading(part)
            {
                self.carry_out(part, from, to);
            }
        }
    }

    fn next_spreading(&self, part: PartIndex) -> Option<(NodeIndex, NodeIndex)> {
        let nodes = &self.parts[part].nodes;
        let usable = |rack: &RackIndex| self.racks.get(*rack).is_some_and(|(_, candidates)| *candidates > 0);
        let used: BTreeSet<RackIndex> = nodes.iter().map(|node| self.rack_of[*node]).filter(usable).collect();
        if used.len() == self.racks_usable {
            return None;
        }
        // What is apart already gains nothing.
        let shares = |node: NodeIndex| self.uses_rack(part, self.rack_of[node], Some(node));
        let sources = || nodes.iter().copied().filter(|node| *node < self.carried.len() && shares(*node));
        sources().next()?;
        let to = self.pick(part)?;
        if self.uses_rack(part, self.rack_of[to], None) {
            return None;
        }
        // From the fullest of them.
        let from = sources().max_by_key(|node| (self.carried[*node].replicas, *node))?;
        Some((from, to))
    }

    /// The best node for one more replica: in the rack that the partition uses least, then in the least loaded rack.
    fn pick(&self, part: PartIndex) -> Option<NodeIndex> {
        self.look_at(self.carried.len());
        let nodes = &self.parts[part].nodes;
        let free = (0..self.carried.len()).filter(|node| !nodes.contains(node));
        free.min_by_key(|node| {
            let rack = self.rack_of[*node];
            let used = nodes.iter().filter(|other| self.rack_of[**other] == rack).count();
            let (total, size) = self.racks[rack];
            (used, u128::from(total) * 1_000_000 / u128::from(size), self.carried[*node].replicas, *node)
        })
    }

    /// Whether a partition has a replica in a rack, other than on `but`.
    fn uses_rack(&self, part: PartIndex, rack: RackIndex, but: Option<NodeIndex>) -> bool {
        self.parts[part].nodes.iter().any(|node| self.rack_of[*node] == rack && Some(*node) != but)
    }

    /// Moves from nodes that carry too much to those that carry least.
    fn level(&mut self) {
        while !self.is_full()
            && let Some((part, from, to)) = self.next_levelling()
        {
            self.carry_out(part, from, to);
        }
    }

    fn next_levelling(&mut self) -> Option<(PartIndex, NodeIndex, NodeIndex)> {
        self.look_at(self.carried.len());
        let mut nodes: Vec<(u64, NodeIndex)> =
            self.carried.iter().enumerate().map(|(node, carried)| (carried.replicas, node)).collect();
        nodes.sort_unstable();
        // The widest gap first. Those that carry most are gone through for each that carries least.
        for (least, to) in &nodes {
            for (most, from) in nodes.iter().rev() {
                if *most < least + 2 {
                    break;
                }
                if self.barren.contains(&(*from, *to)) {
                    continue;
                }
                if let Some(part) = self.part_for(*from, *to) {
                    return Some((part, *from, *to));
                }
                self.barren.insert((*from, *to));
            }
        }
        None
    }

    /// A partition that may go from one node to another without losing a rack: one that takes a leadership along
    /// where the one leads more than the other, and none where not.
    fn part_for(&self, from: NodeIndex, to: NodeIndex) -> Option<PartIndex> {
        let carried = &self.carried[from];
        let (first, second) = if carried.leaders > self.carried[to].leaders {
            (&carried.led, &carried.followed)
        } else {
            (&carried.followed, &carried.led)
        };
        first.iter().chain(second).copied().find(|part| self.may_move(*part, from, to))
    }

    fn may_move(&self, part: PartIndex, from: NodeIndex, to: NodeIndex) -> bool {
        self.look_at(1);
        let keeps = || self.uses_rack(part, self.rack_of[from], Some(from));
        let wins = || !self.uses_rack(part, self.rack_of[to], Some(from));
        !self.parts[part].nodes.contains(&to) && (keeps() || wins())
    }

    fn carry_out(&mut self, part: PartIndex, from: NodeIndex, to: NodeIndex) {
        self.shift(part, from, to);
        self.moves.push(Planned { part, from, to });
    }

    /// A replica is on another node from here on.
    fn shift(&mut self, part: PartIndex, from: NodeIndex, to: NodeIndex) {
        self.racks[self.rack_of[from]].0 -= 1;
        self.racks[self.rack_of[to]].0 += 1;
        let Part { nodes, leader, .. } = &mut self.parts[part];
        nodes.retain(|node| *node != from);
        nodes.push(to);
        let leads = *leader == Some(from);
        if leads {
            *leader = Some(to);
        }
        self.carried[from].lose(part, leads);
        self.carried[to].gain(part, leads);
        // What the partition may do now it may not have been able to before.
        for node in self.parts[part].nodes.clone() {
            let opened: Vec<_> = (self.barren.range((node, 0)..(node + 1, 0)).copied())
                .filter(|(from, to)| self.may_move(part, *from, *to))
                .collect();
            for pair in opened {
                self.barren.remove(&pair);
            }
        }
    }

    fn shown(&self, planned: &Planned) -> ReplicaMove {
        let Planned { part, from, to } = *planned;
        ReplicaMove { group: self.parts[part].group, from: self.nodes[from], to: self.nodes[to] }
    }
}

impl Carried {
    fn partitions(&mut self, led: bool) -> &mut BTreeSet<PartIndex> {
        if led { &mut self.led } else { &mut self.followed }
    }

    fn lose(&mut self, part: PartIndex, leads: bool) {
        self.partitions(leads).remove(&part);
        self.replicas -= 1;
        self.leaders = self.leaders.saturating_sub(u64::from(leads));
    }

    fn gain(&mut self, part: PartIndex, leads: bool) {
        self.partitions(leads).insert(part);
        self.replicas += 1;
        self.leaders += u64::from(leads);
    }
}
