//! `SetReplicas`: every partition of a topic, the sealed ones too, gets fresh replicas, or gives some up. Its target changes at once, and the
//! group's leader walks there. Moves that are under way go on: each puts one replica in the place of another, which
//! changes no number; only a move whose new replica is given up ends with it.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::limits::REPLICAS_MAX;
use weir_types::{GroupId, NodeId, Output, ReplicaId, TopicId};

use crate::command::PolicyChange;
use crate::membership::Membership;
use crate::output::{Effect, Rejection, Reply};
use crate::placement::{self, Candidate, Rack};
use crate::registry::Registry;

pub(crate) struct SetReplicas {
    pub(crate) topic: TopicId,
    pub(crate) replicas: u32,
    pub(crate) changes: Vec<PolicyChange>,
    pub(crate) down: BTreeSet<NodeId>,
}

/// What becomes of one partition.
#[derive(Default)]
struct Resize {
    /// Voters that were on their way out, and stay.
    staying: BTreeMap<ReplicaId, NodeId>,
    /// Nodes that get a fresh replica.
    fresh: BTreeSet<NodeId>,
    /// Replicas that are given up.
    surplus: BTreeSet<ReplicaId>,
    /// Who should lead instead of one that is given up.
    leader: Option<ReplicaId>,
}

impl Registry {
    pub(crate) fn set_replicas(
        &mut self,
        asked: &SetReplicas,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let SetReplicas { topic, replicas, changes, down } = asked;
        let mut altered = self.altered(*topic, changes)?;
        check_replicas(*replicas)?;
        let mut nodes = self.candidates();
        if *replicas > altered.replicas {
            if *replicas as usize > nodes.len() {
                return Err(Rejection::NotEnoughNodes { wanted: *replicas, have: nodes.len() as u32 });
            }
            nodes.retain(|candidate| !down.contains(&candidate.node));
        }
        altered.replicas = *replicas;
        let groups: Vec<GroupId> = self.all_partitions(*topic).map(|partition| partition.group).collect();
        let mut plan = Vec::with_capacity(groups.len());
        for group in groups {
            plan.push((group, self.plan_resize(group, *replicas, down, &mut nodes)?));
        }
        if altered != self.topics[topic] {
            self.put_topic(altered, out);
            for (group, resize) in plan {
                self.resize(group, resize, out);
            }
            self.routing_changed(out);
        }
        Ok(Reply::TopicAltered { topic: *topic })
    }

    fn plan_resize(
        &self,
        group: GroupId,
        replicas: u32,
        down: &BTreeSet<NodeId>,
        nodes: &mut [Candidate],
    ) -> Result<Resize, Rejection> {
        let target = self.memberships[&group].target.voters.len();
        let wanted = replicas as usize;
        if wanted < target {
            return Ok(self.plan_shrinking(group, target - wanted, down, nodes));
        }
        let mut resize = Resize::default();
        for _ in target..wanted {
            self.plan_one_more(group, &mut resize, nodes)
                .ok_or_else(|| self.no_room_to_grow(group, replicas, down))?;
        }
        Ok(resize)
    }

    /// One more replica: one that was on its way out and still votes, or else a fresh one.
    fn plan_one_more(&self, group: GroupId, resize: &mut Resize, nodes: &mut [Candidate]) -> Option<()> {
        let membership = &self.memberships[&group];
        let moves = |replica| self.moves.get(&group).is_some_and(|moving| moving.old == replica);
        let returns = membership.current.voters.iter().find(|(replica, node)| {
            let usable = nodes.iter().any(|candidate| candidate.node == **node);
            let taken = membership.target.uses(**node) || resize.staying.contains_key(replica);
            usable && !taken && !moves(**replica) && !self.is_retired(group, **replica)
        });
        let node = if let Some((replica, node)) = returns {
            resize.staying.insert(*replica, *node);
            *node
        } else {
            let stay: BTreeSet<NodeId> =
                membership.target.iter().map(|(_, node)| node).chain(resize.nodes()).collect();
            let taken = stay.iter().copied().chain(membership.current.iter().map(|(_, node)| node)).collect();
            let beside: Vec<Rack> = stay.iter().map(|node| self.rack_of(*node)).collect();
            let node = placement::place_one(nodes, &taken, &beside)?;
            resize.fresh.insert(node);
            node
        };
        let candidate = nodes.iter_mut().find(|candidate| candidate.node == node)?;
        candidate.replicas += 1;
        Some(())
    }

    /// Why none of the nodes can take one more replica of a group.
    fn no_room_to_grow(&self, group: GroupId, wanted: u32, down: &BTreeSet<NodeId>) -> Rejection {
        let membership = &self.memberships[&group];
        let (mut heard, mut going) = (0, None);
        for node in self.nodes.values().filter(|node| node.is_registered()).map(|node| node.id) {
            if membership.target.uses(node) {
                heard += 1;
            } else if !down.contains(&node) {
                heard += 1;
                going = going.or(Some(node));
            }
        }
        match going {
            Some(node) if heard >= wanted => Rejection::ReplicaLeaving { group, node },
            _ => Rejection::TooFewHeard { group, wanted, heard },
        }
    }

    /// The replicas that are given up, one after the other: those that do not vote yet, then those on nodes that are out
    /// of use or down, the preferred leader last; then of two in one rack, and from the fullest node.
    fn plan_shrinking(
        &self,
        group: GroupId,
        surplus: usize,
        down: &BTreeSet<NodeId>,
        nodes: &mut [Candidate],
    ) -> Resize {
        let Membership { current, target, preferred_leader, .. } = &self.memberships[&group];
        let gone = |node: &NodeId| {
            down.contains(node) || !self.nodes.get(node).is_some_and(crate::Node::is_registered)
        };
        let mut left = target.voters.clone();
        let mut resize = Resize::default();
        for _ in 0..surplus {
            let worst = left.iter().max_by_key(|(replica, node)| {
                let rack = self.rack_of(**node);
                let load = nodes.iter().find(|candidate| candidate.node == **node);
                (
                    !current.voters.contains_key(replica),
                    gone(node),
                    *replica != preferred_leader,
                    left.values().filter(|other| self.rack_of(**other) == rack).count(),
                    load.map_or(0, |candidate| candidate.replicas),
                    **node,
                )
            });
            let (replica, node) = worst.map(|(r, node)| (*r, *node)).expect("fewer go than there are");
            left.remove(&replica);
            resize.surplus.insert(replica);
            if let Some(candidate) = nodes.iter_mut().find(|candidate| candidate.node == node) {
                candidate.replicas -= 1;
            }
        }
        if resize.surplus.contains(preferred_leader) {
            let leads = |node: &NodeId| nodes.iter().position(|candidate| candidate.node == *node);
            let next = left
                .iter()
                .min_by_key(|(_, node)| (gone(node), leads(node).map_or(0, |at| nodes[at].leaders), **node));
            let (replica, node) = next.expect("a partition keeps at least one replica");
            resize.leader = Some(*replica);
            if let Some(at) = leads(node) {
                nodes[at].leaders += 1;
            }
        }
        resize
    }

    fn resize(&mut self, group: GroupId, resize: Resize, out: &mut Output<Effect>) {
        let mut membership = self.memberships[&group].clone();
        for replica in &resize.surplus {
            membership.give_up(*replica);
            membership.target.voters.remove(replica);
        }
        membership.preferred_leader = resize.leader.unwrap_or(membership.preferred_leader);
        membership.target.voters.extend(resize.staying);
        for node in resize.fresh {
            membership.target.voters.insert(self.formed().take_replica(), node);
        }
        if membership != self.memberships[&group] {
            self.put_membership(group, membership, out);
        }
        if self.moves.get(&group).is_some_and(|moving| resize.surplus.contains(&moving.new)) {
            self.drop_move(group, out);
        }
    }
}

impl Resize {
    /// Where replicas come, or stay after all.
    fn nodes(&self) -> impl Iterator<Item = NodeId> {
        self.staying.values().chain(&self.fresh).copied()
    }
}

/// Whether a partition may have as many replicas, whatever nodes there are.
pub(super) fn check_replicas(replicas: u32) -> Result<(), Rejection> {
    match replicas {
        0 => Err(Rejection::NoReplicas),
        1..=REPLICAS_MAX => Ok(()),
        _ => Err(Rejection::TooManyReplicas { wanted: replicas, limit: REPLICAS_MAX }),
    }
}
