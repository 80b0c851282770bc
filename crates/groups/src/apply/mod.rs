//! One file per command. A handler checks everything first and only then changes anything, so that a rejection
//! leaves no trace.

mod delete_group;
mod finish;
mod heartbeat;
mod join;
mod leave;
mod raise_epochs;
mod rebalance;
mod set_partitions;
mod tick;

pub(crate) use finish::Finish;
pub(crate) use join::Join;
