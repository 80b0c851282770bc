//! The consumer-group coordinator, as a pure machine: who reads which partition. One machine holds many groups:
//! those whose names hash to its shard. A Raft group of its own replicates it.
//!
//! A partition goes from one member to another in three replicated steps, so that it never has two owners, and
//! only partitions that have to move are touched:
//!
//! ```text
//!            plan: target = B              A's heartbeat no longer lists it,
//!                                          or A leaves or expires, or its time is up
//!  owner A ───────────────────► owner A, ─────────────────────────────────► owner B
//!  target A                     target B                                    target B
//!  epoch 7                      epoch 7   (A is told "revoked")             epoch 8  (B is told "yours")
//! ```
//!
//! Each grant has a **fencing epoch** from one counter that never falls, so epochs rise for ever per (group,
//! partition), also when a group is deleted and made again. The new owner first commits `Fence{group, epoch}` in
//! the partition itself: from then on nothing that the old owner still sends there counts. So the coordinator
//! does not have to know whether the old owner is really gone.
//!
//! When a partition is split or merged, its children hold what comes after it, so they are not given out before the group has
//! read it to its end. Its owner says when that is (`Finish`):
//!
//! ```text
//!            Finish{parent, epoch 7} by A
//!  parent:  owner A, epoch 7 ───────────► finished              the other members keep what they have
//!  child:   not given out    ───────────► owner A or B, epoch 8  when no parent is left that is not finished
//! ```
//!
//! That is known while a member subscribes to the topic. A group without members has finished nothing: its positions may be set
//! back, and it reads the parents first again.
//!
//! What it is not: it knows no committed offsets (they live in the partitions), resolves no topic names, and
//! learns a topic's partitions only from `SetPartitions` and `SetLineage`. It reads no clock: sessions run on the lease clock,
//! and members expire by `Tick` alone, so a heartbeat that arrives together with its own expiry wins if the
//! runtime puts the tick at the end of the entry.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod apply;
mod assignment;
mod command;
mod coordinator;
mod group;
mod invariants;
pub mod limits;
mod member;
mod output;
mod queries;
mod rows;
mod topic;

pub use command::Command;
pub use coordinator::Coordinator;
pub use group::{Group, Owner, Slot};
pub use member::{Epoch, Member, MemberId};
pub use output::{AssignedPartition, Assignment, Effect, Rejection, Reply};
pub use queries::{GroupDescription, GroupState, MemberDescription};
