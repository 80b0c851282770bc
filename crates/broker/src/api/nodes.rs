//! The nodes of a cluster that grows and shrinks: moves of replicas, drains, removals.

use std::collections::BTreeSet;
use std::time::Duration;

use weir_metadata::{Command, Feature, MoveReason, NodeState, Phase, Registry, ReplicaMove, Reply};
use weir_runtime::Threads;
use weir_types::{ErrorKind, GroupId, NodeId, WeirError};

use crate::broker::Broker;
use crate::remote::{self, Answer, Request};
use crate::replica::unexpected;

/// How long this node's own copy of the registry may take to show what was just changed.
pub(crate) const SHOWN_WITHIN: Duration = Duration::from_secs(2);

/// The move of a replica, planned or under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveView {
    /// The partition's group.
    pub group: GroupId,
    /// Its topic; empty for the consumer-group coordinator.
    pub topic: String,
    /// Its number.
    pub partition: u32,
    /// Where the replica comes from.
    pub from: NodeId,
    /// Where it goes to.
    pub to: NodeId,
    /// Why and how far, once it is under way.
    pub state: Option<(MoveReason, Phase)>,
}

/// What is under way in the cluster, as this node's copy of the registry has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MovesView {
    /// Rises with every change.
    pub version: u64,
    /// The moves.
    pub moves: Vec<MoveView>,
    /// Nodes that are being emptied: whether there is nothing left on them.
    pub draining: Vec<(NodeId, bool)>,
    /// Nodes that are leaving the cluster.
    pub leaving: Vec<NodeId>,
    /// The nodes that have a replica of each partition that was asked about and is not deleted.
    pub places: Vec<(GroupId, Vec<NodeId>)>,
}

impl Broker {
    /// The members that this node does not hear.
    pub(crate) fn unheard(&self) -> BTreeSet<NodeId> {
        let members: Vec<NodeId> = self.registry(|registry| registry.members().map(|node| node.id).collect());
        members.into_iter().filter(|node| !self.inner().groups.hears(*node)).collect()
    }

    /// The moves that would spread the replicas evenly over the nodes that are in use and heard, in order: those of
    /// one partition have to be made one after the other.
    pub async fn plan_balance(&self) -> Result<Vec<MoveView>, WeirError> {
        self.freshen().await?;
        let down = self.unheard();
        let layout = self.registry(|registry| registry.layout(&down));
        // A large cluster's plan takes a while: the registry is not held meanwhile, and no task waits for its turn.
        let plan = if self.inner().runtime.threads() == Threads::Tasks {
            layout.balance().moves
        } else {
            let planning = tokio::task::spawn_blocking(move || layout.balance().moves);
            planning.await.map_err(|error| {
                let message = format!("the balance was not planned: {error}");
                WeirError::new(ErrorKind::Internal, "internal", message)
            })?
        };
        Ok(self.registry(|registry| plan.into_iter().map(|planned| view(registry, planned, None)).collect()))
    }

    /// Brings this node's copy of the registry to where the registry is: that of a node which was away may be old.
    pub(crate) async fn freshen(&self) -> Result<(), WeirError> {
        let wanted = match self.at_leader(GroupId::METADATA, Request::RegistryVersion).await? {
            Answer::RegistryVersion(version) => version,
            other => return Err(remote::unexpected(&other)),
        };
        if self.metadata().wait_for(SHOWN_WITHIN, |registry| registry.version() >= wanted).await {
            return Ok(());
        }
        Err(behind(wanted))
    }

    /// Moves replicas, at most one of each partition; returns when that is planned.
    pub async fn move_replicas(&self, moves: Vec<ReplicaMove>) -> Result<(), WeirError> {
        let down = self.unheard();
        let known = |node: &NodeId| self.registry(|registry| registry.node(*node).is_some());
        if let Some(dead) = moves.iter().map(|asked| asked.to).find(|to| down.contains(to) && known(to)) {
            return Err(not_heard(dead));
        }
        let last = moves.last().copied();
        let shows = |registry: &Registry| {
            last.is_none_or(|last| {
                registry.membership(last.group).is_none_or(|known| known.target.uses(last.to))
            })
        };
        match self.change(Command::MoveReplicas { moves }, shows).await? {
            Reply::MovesPlanned { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes back moves whose new replica does not vote yet; those that were.
    pub async fn cancel_moves(&self, groups: Vec<GroupId>) -> Result<Vec<GroupId>, WeirError> {
        let Reply::MovesCancelled { groups } =
            self.metadata().propose(Command::CancelMoves { groups }).await?
        else {
            return Err(WeirError::new(ErrorKind::Internal, "unexpected-answer", "moves are not cancelled"));
        };
        let gone = |registry: &Registry| !registry.moves().any(|moving| groups.contains(&moving.group));
        self.metadata().wait_for(SHOWN_WITHIN, gone).await;
        Ok(groups)
    }

    /// Empties a node: leaderships first, then replicas. Returns when that is planned.
    pub async fn drain_node(&self, node: NodeId) -> Result<(), WeirError> {
        let down = self.unheard();
        match self.change(Command::DrainNode { node, down }, is_in(node, NodeState::Cordoned)).await? {
            Reply::NodeDraining { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Puts a drained node back into use; moves that were taken back, and that go on.
    pub async fn cancel_drain(&self, node: NodeId) -> Result<(u32, u32), WeirError> {
        match self.change(Command::CancelDrain { node }, is_in(node, NodeState::Registered)).await? {
            Reply::NodeReturned { cancelled, going_on, .. } => Ok((cancelled, going_on)),
            other => Err(unexpected(&other)),
        }
    }

    /// Takes a node out of the cluster: one that holds nothing, or with `force` one that is gone for good, whose
    /// replicas are then placed on others from what those have.
    pub async fn remove_node(&self, node: NodeId, force: bool) -> Result<(), WeirError> {
        self.freshen().await?;
        let state = self.registry(|registry| registry.node(node).map(|node| node.state));
        let held = self.registry(|registry| registry.places_of(node));
        if force {
            let down = self.unheard();
            if state.is_some() && !down.contains(&node) {
                let message = format!("node {node} is heard: drain it, and remove it without force");
                return Err(WeirError::new(ErrorKind::Invalid, "node-alive", message));
            }
            if state == Some(NodeState::Registered) {
                self.require(Feature::Recovery).await?;
                self.metadata().propose(Command::RecoverNode { node, down: down.clone() }).await?;
                self.metadata().propose(Command::DrainNode { node, down }).await?;
            }
        } else if held > 0 && state != Some(NodeState::Draining) {
            let message = format!("node {node} has replicas of {held} partitions: drain it first");
            return Err(WeirError::new(ErrorKind::Invalid, "node-not-empty", message));
        }
        let leaves = |registry: &Registry| {
            registry.node(node).is_none_or(|known| !known.is_member() || known.state == NodeState::Draining)
        };
        match self.change(Command::RemoveNode { node }, leaves).await? {
            Reply::NodeLeaving { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Another node takes over all that a node holds which is gone for good, or drained; then that one leaves the cluster.
    /// Returns when that is planned.
    pub async fn replace_node(&self, node: NodeId, by: NodeId) -> Result<(), WeirError> {
        self.require(Feature::Replacement).await?;
        let down = self.unheard();
        let leaves = |registry: &Registry| {
            registry.node(node).is_none_or(|known| !known.is_member() || known.state == NodeState::Draining)
        };
        match self.change(Command::ReplaceNode { node, by, down }, leaves).await? {
            Reply::NodeLeaving { .. } => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// What is under way, as soon as the registry is newer than `after`, or after `patience`; never what was before
    /// `after`.
    pub async fn moves(&self, after: u64, patience: Duration) -> Result<MovesView, WeirError> {
        self.moves_and_places(after, patience, &[]).await
    }

    /// As [`Broker::moves`], with the places of these partitions.
    pub async fn moves_and_places(
        &self,
        after: u64,
        patience: Duration,
        of: &[GroupId],
    ) -> Result<MovesView, WeirError> {
        if after == 0 {
            self.freshen().await?;
        }
        self.metadata().wait_for(patience, |registry| registry.version() > after).await;
        let view = self.registry(|registry| MovesView {
            version: registry.version(),
            moves: registry
                .moves()
                .map(|moving| {
                    let planned = ReplicaMove { group: moving.group, from: moving.from, to: moving.to };
                    view(registry, planned, Some((moving.reason, moving.phase)))
                })
                .collect(),
            draining: in_state(registry, NodeState::Cordoned)
                .map(|node| (node, registry.is_drained(node)))
                .collect(),
            leaving: in_state(registry, NodeState::Draining).collect(),
            places: of
                .iter()
                .filter_map(|group| {
                    let current = &registry.membership(*group)?.current;
                    Some((*group, current.iter().map(|(_, node)| node).collect()))
                })
                .collect(),
        });
        // Who asks has seen a newer registry, on another node perhaps: an older one would tell of moves that were not
        // planned yet as if they were done.
        if view.version < after { Err(behind(after)) } else { Ok(view) }
    }

    /// Changes the registry, and waits a moment until this node's copy shows it: its next answer is to build on it.
    pub(crate) async fn change(
        &self,
        command: Command,
        shows: impl Fn(&Registry) -> bool,
    ) -> Result<Reply, WeirError> {
        let reply = self.metadata().propose(command).await?;
        self.metadata().wait_for(SHOWN_WITHIN, shows).await;
        Ok(reply)
    }
}

fn is_in(node: NodeId, state: NodeState) -> impl Fn(&Registry) -> bool {
    move |registry| registry.node(node).is_some_and(|known| known.state == state)
}

fn in_state(registry: &Registry, state: NodeState) -> impl Iterator<Item = NodeId> {
    registry.nodes().filter(move |node| node.state == state).map(|node| node.id)
}

fn view(registry: &Registry, planned: ReplicaMove, state: Option<(MoveReason, Phase)>) -> MoveView {
    let ReplicaMove { group, from, to } = planned;
    let partition = registry.partition(group);
    let topic = partition.and_then(|partition| registry.topic(partition.topic));
    MoveView {
        group,
        topic: topic.map_or_else(String::new, |topic| topic.name.clone()),
        partition: partition.map_or(0, |partition| partition.index),
        from,
        to,
        state,
    }
}

fn behind(wanted: u64) -> WeirError {
    let message = format!("this node's copy of the registry is behind version {wanted}");
    WeirError::new(ErrorKind::Retry, "registry-behind", message)
}

fn not_heard(node: NodeId) -> WeirError {
    let message = format!("node {node} is not heard: no replica can be moved there");
    WeirError::new(ErrorKind::Invalid, "node-not-heard", message)
}
