//! The queue machine: one partition of a queue as a pure function of its log.
//!
//! ```text
//!              deliver_at > wall clock
//!   enqueue ───────────────► SCHEDULED ──────┐ due
//!      └─────────────────────────────────► READY ◄──────────────────────┐
//!                                            │ lease                    │ release, expiry,
//!                 extend resets ┌──────► LEASED ────────────────────────┤ nack (by way of DELAYED)
//!                               └────────────┘ │ ack ─► gone
//!                                              │ reject, attempts used up
//!   READY past its TTL ─► gone                 ▼
//!   PARKED ─ redrive ─► READY                PARKED ─ discard ─► gone
//! ```
//!
//! What makes it cheap: untouched messages live in spans, one small row per batch however many messages
//! it holds; a message gets a row of its own when it is touched, and loses it when it is acked. Everything else
//! (ready list, deadlines, FIFO keys, counters) is derived from the rows and rebuilt at restore.
//!
//! A partition that is split or merged is sealed: nothing comes in any more, and all else goes on until nothing is left
//! (ADR 0023). Of a FIFO queue its children hold back what they have of a key that is not drained in it.
//!
//! What it is not: it holds no bodies (messages point into the Raft log), reads no clock, draws no random
//! number, waits for nobody. Long polls, waking consumers, proposing ticks and reading bodies are the broker's.
//!
//! Start at [`Queue::apply_entry`]; each command's handler is the file of its name under `apply/`.

#![forbid(unsafe_code)]
#![deny(clippy::disallowed_types, clippy::disallowed_methods)]

mod apply;
mod backlog;
mod bodies;
mod command;
mod dedup;
mod delays;
mod explain;
mod inbox;
mod index;
mod inheritance;
mod invariants;
mod item;
mod kept;
mod keys;
mod leases;
pub mod limits;
mod lineage;
mod message;
mod outbox;
mod output;
mod parked;
mod places;
mod producers;
mod queries;
mod queue;
mod ready;
mod replays;
mod requests;
mod room;
mod rows;
mod sessions;
mod span;
mod table;
mod turns;

pub use command::{
    AckAndAppend, Action, Attributes, Command, DedupId, DedupRecord, Enqueue, Inherit, InheritedId, Lease,
    MessageRun, Move, ParkKind, ProducerBatch, Relocate, RelocatedBatch, Replay, Run, Select, SessionEnding,
    Settle, SettleItem, TenantRun, Transfer, Waiting,
};
pub use explain::{Explanation, Hold};
pub use message::ParkReason;
pub use output::{Duplicate, Effect, Granted, Rejection, Reply, Settled};
pub use places::Bodies;
pub use queries::{KeptMessage, MessageState, MessageView, Stats};
pub use queue::Queue;
pub use replays::Replayed;
pub use rows::describe;
