//! The words that every part of Weir shares: ids, offsets, clocks, key ranges, the record batch, limits and
//! error kinds.
//!
//! Level 0: this crate knows no IO, no async runtime, no clock and no randomness, and everything else may
//! depend on it. A type lives here only when two crates exchange it; a type that one machine keeps to itself
//! lives with that machine.

#![forbid(unsafe_code)]

pub mod batch;
mod clock;
mod error;
mod id;
mod key;
pub mod limits;
mod machine;
pub mod mutants;
mod offset;
pub mod outbox;
mod policy;
mod settings;
mod tenant;
mod token;
mod transfer;

pub use batch::{
    BatchBuilder, BatchError, BatchHeader, BatchView, Codec, HeaderView, HeadersView, ProducerSequence,
    RecordView, Records,
};
pub use clock::{LeaseClock, WallClock};
pub use error::{ErrorKind, WeirError};
pub use id::{
    ClusterId, GroupId, Incarnation, LeaseId, MessageId, NodeId, ProducerEpoch, ProducerId, ReplicaId,
    RequestId, SessionId, TopicId,
};
pub use key::{KeyHash, KeyRange};
pub use machine::{At, Corrupt, Deadlines, Output, Pointer, Row, RowChange};
pub use offset::{LogIndex, Offset, Term, TransferSequence};
pub use policy::{
    Backoff, Compaction, ParkPolicy, QueuePolicy, Retention, StreamPolicy, TopicKind, TopicPolicy,
};
pub use tenant::TenantHash;
pub use token::{LeaseToken, TokenError};
pub use transfer::{OutputBatch, Recut, TransferSource};
