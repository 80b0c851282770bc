//! Sharing a stream among the members of a group.
//!
//! ```text
//!   coordinator ◄─ heartbeat ─ Membership ─ starts, stops ─► PartitionReader (one per owned partition, fenced first)
//!                                  │                              │ records
//!   leaders ◄─ commit ─ Commits ◄─ Ownership ◄──── next(), commit() on the handle
//! ```

mod commits;
mod member;
mod membership;
mod options;
mod ownership;
mod stream_consumer;

pub use options::{ConsumerOptions, GroupStart};
pub use stream_consumer::StreamConsumer;
pub(crate) use stream_consumer::passes;
