//! The stream: records at dense offsets, kept by retention and thinned out by compaction, read by any number of consumer groups.
//!
//! ```text
//!            retired            retained                        not yet written
//!    ───────────────────┬─────────────────────────────┬──────────────────────────►  offsets
//!                     start                          end  (high watermark)
//!                       │     ▲ committed(group)      ▲ append
//!         retained_from │     │ lag = end - committed │
//!                       ▼
//!    Raft log:  entries from here on hold the retained batches; those before it may be deleted
//! ```
//!
//! A stream whose partition is split or merged is **sealed**: its end stays where it is, and what is in it is read, retired and
//! compacted as before.
//!
//! A pure machine: entries in, rows and hints out (see [`weir_types::Output`]). It keeps an index of the batches
//! (offset, append time, place in the Raft log), the last batches of every idempotent producer, and every group's
//! committed offset and epoch; and an outbox of what goes to other partitions.
//!
//! What it is not: it never sees a record's bytes, which stay in the Raft log; it assigns no partitions to group
//! members, which is the crate `groups`; it reads no clock and deletes no files.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod apply;
mod batches;
mod command;
mod compaction;
mod fences;
mod groups;
mod inbox;
mod index;
mod invariants;
pub mod limits;
mod outbox;
mod output;
mod producers;
mod queries;
mod retention;
mod rows;
mod seal;
mod stream;

pub use command::{
    Append, Command, CommitAndAppend, CommitOffset, GroupEpoch, Movement, Rewrite, RewrittenBatch, Transfer,
};
pub use compaction::{PassAhead, ToRewrite};
pub use index::BatchAt;
pub use output::{Committed, Effect, Rejection, Reply};
pub use queries::{Lag, OutOfRange};
pub use stream::Stream;
