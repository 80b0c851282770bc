//! A node of the cluster, as registered.

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, Incarnation, NodeId, ReplicaId, RequestId};

/// Where a node listens: `host:port` each.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Addresses {
    /// For the other nodes.
    pub peer: String,
    /// For clients (gRPC).
    pub client: String,
    /// For metrics and health (HTTP).
    pub http: String,
}

/// What may be placed on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NodeState {
    /// A member of the cluster; it may be up or down, which the registry does not know.
    Registered,
    /// Its replicas are being moved away; when the last one is gone it is removed.
    Draining,
    /// No longer a member. Its id is never given again.
    Removed,
    /// Its disk was lost: another node took its place under its address.
    Replaced {
        /// The node that took its place.
        by: NodeId,
    },
    /// Drained: nothing is placed on it, what it had moves away, and it stays a member without a vote in the
    /// metadata group until it is removed or comes back into use.
    Cordoned,
}

/// A node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, never reused.
    pub id: NodeId,
    /// The life of its data directory. Another one under the same address is another node.
    pub incarnation: Incarnation,
    /// What people call it; not necessarily unique.
    pub name: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// What it shares power or network with; replicas of one partition keep apart. None: with nobody.
    pub rack: Option<String>,
    /// What may be placed on it.
    pub state: NodeState,
    /// Its replica of the metadata group: that of the last registration or reissue.
    pub metadata_replica: ReplicaId,
    /// Replicas with a lower id on it are retired: they may have forgotten what they promised, and never vote or
    /// answer again ([`Membership::kept`](crate::Membership::kept) names exceptions). 0 until it first loses
    /// writes. A bound and not a list, since a replica that was on its way into its group counts as well.
    pub replicas_from: ReplicaId,
}

impl Node {
    /// Whether new replicas may be placed on it.
    pub fn is_registered(&self) -> bool {
        self.state == NodeState::Registered
    }

    /// Whether it still takes part: registered, or on its way out.
    pub fn is_member(&self) -> bool {
        matches!(self.state, NodeState::Registered | NodeState::Draining | NodeState::Cordoned)
    }
}

/// One replica that was given a fresh id, because the old id may have forgotten what it promised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReissuedReplica {
    /// The group.
    pub group: GroupId,
    /// The id that never votes or answers again.
    pub old: ReplicaId,
    /// The id that joins as a learner and is then made what the old one was.
    pub new: ReplicaId,
}

/// The last reissue of a node's replicas, kept so that a retry gets the same answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reissue {
    /// The request that it answered.
    pub request: RequestId,
    /// What was reissued, in order of group.
    pub replicas: Vec<ReissuedReplica>,
    /// Groups whose only voter is on the node: there is nobody to learn from, so the replica keeps its id and
    /// what its disk still has.
    pub kept: Vec<GroupId>,
}
