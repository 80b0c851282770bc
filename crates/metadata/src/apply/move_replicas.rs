//! `MoveReplicas` and `CancelMoves`, and what every planned move is made of.

use std::collections::BTreeSet;

use weir_types::{GroupId, NodeId, Output, ReplicaId};

use crate::limits::MOVES_PER_COMMAND_MAX;
use crate::moves::{Move, MoveReason, Phase, ReplicaMove};
use crate::node::NodeState;
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

impl Registry {
    pub(crate) fn move_replicas(
        &mut self,
        asked: &[ReplicaMove],
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if asked.len() > MOVES_PER_COMMAND_MAX {
            return Err(Rejection::TooManyMoves { wanted: asked.len(), limit: MOVES_PER_COMMAND_MAX });
        }
        let mut planned = Vec::with_capacity(asked.len());
        let mut seen = BTreeSet::new();
        for asked in asked {
            // A retry finds its own moves planned.
            let same = self.moves.get(&asked.group).is_some_and(|known| self.is_same(asked, known));
            if !same {
                planned.push((*asked, self.check_move(asked)?));
            }
            if !seen.insert(asked.group) {
                let ReplicaMove { group, from, to } = *asked;
                return Err(Rejection::MoveInProgress { group, from, to });
            }
        }
        for (asked, old) in &planned {
            self.start_move(asked.group, *old, asked.to, MoveReason::Asked, out);
        }
        if !planned.is_empty() {
            self.routing_changed(out);
        }
        Ok(Reply::MovesPlanned { moves: asked.len() as u32 })
    }

    fn is_same(&self, asked: &ReplicaMove, known: &Move) -> bool {
        let to = self.memberships.get(&asked.group).and_then(|membership| membership.node_of(known.new));
        known.from == asked.from && to == Some(asked.to)
    }

    /// The replica that the move is about.
    fn check_move(&self, asked: &ReplicaMove) -> Result<ReplicaId, Rejection> {
        let ReplicaMove { group, from, to } = *asked;
        // The metadata group has a replica on every node: its votes move with drains.
        let known = self.memberships.get(&group).filter(|_| group != GroupId::METADATA);
        let membership = known.ok_or(Rejection::GroupUnknown { group })?;
        self.check_not_moving(group)?;
        self.check_usable(to)?;
        if membership.uses(to) {
            return Err(Rejection::ReplicaExists { group, node: to });
        }
        let voters = &membership.target.voters;
        let old = voters.iter().find(|(_, node)| **node == from).map(|(replica, _)| *replica);
        old.ok_or(Rejection::ReplicaNotFound { group, node: from })
    }

    /// Whether replicas may be placed on a node.
    pub(super) fn check_usable(&self, node: NodeId) -> Result<(), Rejection> {
        match self.nodes.get(&node).ok_or(Rejection::NodeUnknown { node })?.state {
            NodeState::Registered => Ok(()),
            NodeState::Draining | NodeState::Cordoned => Err(Rejection::TargetDraining { node }),
            NodeState::Removed => Err(Rejection::NodeRemoved { node }),
            NodeState::Replaced { by } => Err(Rejection::NodeReplaced { node, by }),
        }
    }

    /// One move of a partition at a time: the next may begin when the new replica of the last one votes.
    pub(super) fn check_not_moving(&self, group: GroupId) -> Result<(), Rejection> {
        let Some(moving) = self.moves.get(&group) else { return Ok(()) };
        let membership = &self.memberships[&group];
        if moving.phase(membership) == Phase::Removing {
            return Ok(());
        }
        let to = membership.node_of(moving.new).unwrap_or_default();
        Err(Rejection::MoveInProgress { group, from: moving.from, to })
    }

    /// Plans that a fresh replica on `to` takes the place of `old`.
    pub(super) fn start_move(
        &mut self,
        group: GroupId,
        old: ReplicaId,
        to: NodeId,
        reason: MoveReason,
        out: &mut Output<Effect>,
    ) {
        let new = self.formed().take_replica();
        let mut membership = self.memberships[&group].clone();
        let from = membership.node_of(old).expect("a replica that is moved is on a node");
        membership.give_up(old);
        membership.reissue(old, new, to);
        self.put_membership(group, membership, out);
        self.put_move(group, Move { old, from, new, reason }, out);
    }

    /// Takes back moves that somebody asked for; a drain has its own way back, and what makes up for a node that is away
    /// would be planned again at once.
    pub(crate) fn cancel_moves(
        &mut self,
        groups: &[GroupId],
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if groups.len() > MOVES_PER_COMMAND_MAX {
            return Err(Rejection::TooManyMoves { wanted: groups.len(), limit: MOVES_PER_COMMAND_MAX });
        }
        let mut cancelled = Vec::new();
        for group in groups {
            let asked = |moving: &Move| {
                let in_use = self.nodes.get(&moving.from).is_some_and(crate::Node::is_registered);
                in_use && moving.reason == MoveReason::Asked
            };
            if self.moves.get(group).is_some_and(asked) && self.take_back(*group, out) {
                cancelled.push(*group);
            }
        }
        if !cancelled.is_empty() {
            self.routing_changed(out);
        }
        Ok(Reply::MovesCancelled { groups: cancelled })
    }

    /// Takes a move back, if the new replica has no vote and the old one still has; whether it was.
    pub(super) fn take_back(&mut self, group: GroupId, out: &mut Output<Effect>) -> bool {
        let Some(moving) = self.moves.get(&group).copied() else { return false };
        let mut membership = self.memberships[&group].clone();
        let votes = membership.current.voters.contains_key(&moving.old);
        if moving.phase(&membership) == Phase::Removing || !votes || self.is_retired(group, moving.old) {
            return false;
        }
        membership.give_up(moving.new);
        membership.reissue(moving.new, moving.old, moving.from);
        self.put_membership(group, membership, out);
        self.drop_move(group, out);
        true
    }
}
