//! What clients do while things break.
//!
//! | workload | actors |
//! |---|---|
//! | `queue` | producers, receivers, an administrator of parked messages |
//! | `stream` | producers of batches, readers, a watcher of the bounds |
//! | `group` | producers, members of two consumer groups, a reader |
//! | `register` | producers, clients that write and read the positions of groups |
//! | `mixed` | the first three on one cluster |
//! | `ackappend` | as `queue`, but most acks append a record to a stream in the same step; readers of that stream |
//! | `operator` | as `group`, but members append a record to another stream in the step that commits; readers of that stream |
//! | `forward` | producers of a stream that feeds a queue and of a queue that is forwarded to a stream; receivers of the one, readers of both |
//! | `fifo` | as `queue`, of FIFO queues with a few keys |
//! | `delay` | as `queue`; most messages have a delivery time |
//! | `priority` | as `queue`; every message has a priority |
//! | `ttl` | as `queue`; messages that nobody takes are gone after a while |
//! | `elastic` | producers of keyed messages and records, each to the owner of its key; receivers and members of a group whose acks and commits append records, readers along the lineage of partitions that are split and merged |
//!
//! Every call is one operation of the history ([`wire`](crate::wire)): nothing here repeats a call behind its back.

mod actor;
mod consume;
mod drained;
mod flavour;
mod follow;
mod group;
mod kind;
mod outputs;
mod parked;
mod payload;
mod produce;
mod read;
mod register;
mod setup;
mod stage;
mod stamps;

pub use kind::Workload;
pub use setup::{SetupError, create};
pub use stage::{Load, Stage};
