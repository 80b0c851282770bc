//! The registry of a Weir cluster, as a pure machine: Raft group 0 replicates it, and every node has it at hand.
//!
//! It owns the nodes and their racks, the topics, their partitions with key ranges, who holds the replicas of
//! each group (as it is and as it shall be), which partition came of which ([`Lineage`]), and the ids of producers. It hands out every id of the cluster, and
//! none twice. Placement ([`placement`]) is a pure function that runs inside `apply`, so all replicas place alike.
//!
//! ```text
//!        CreateTopic · RegisterNode · ReissueReplicas · MoveReplicas · DrainNode · RecoverNode · RemoveNode
//!                                │ decide
//!                                ▼
//!   nodes ── placement ──►  target memberships ── moves::next_step ──► one step for the group's leader
//!                                                                          │ carries it out in its Raft group
//!   reconciler ◄── replicas_on(node) ◄── current memberships ◄── MembershipChanged
//! ```
//!
//! It also holds the cluster's feature level ([`Level`]): what may be written that older builds cannot read.
//!
//! What it is not: it starts no replica and changes no Raft group (the broker's reconciler does, led by the
//! queries here), it does not know which nodes are up or who leads a group at this moment (both change without
//! it), and it reads no clock: nothing in it waits for time to pass, so it has no deadlines.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod apply;
mod balance;
mod command;
mod description;
mod feature;
mod invariants;
pub mod limits;
mod lineage;
mod link;
mod membership;
pub mod moves;
mod node;
mod output;
pub mod placement;
mod policy;
mod producer;
mod queries;
mod registry;
mod restoration;
mod routing;
mod rows;
mod scale;
mod topic;

pub use command::{Command, Founder, PolicyChange};
pub use description::{Described, Description};
pub use feature::{Feature, Level};
pub use lineage::{Lineage, Reshape, Stage};
pub use link::{Link, LinkKind};
pub use membership::{Membership, ReplicaSet};
pub use moves::{MoveReason, MoveState, Phase, ReplicaMove, Step};
pub use node::{Addresses, Node, NodeState, Reissue, ReissuedReplica};
pub use output::{Effect, Rejection, Reply};
pub use placement::Transfer;
pub use producer::NamedProducer;
pub use queries::{DesiredReplica, Fate, Role};
pub use registry::Registry;
pub use restoration::Restoration;
pub use routing::{NodeRoute, PartitionRoute, Routing, TopicRoute};
pub use topic::{COORDINATOR, Contents, Partition, Topic};
