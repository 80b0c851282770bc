//! The Rust client of Weir: it finds the leader, follows redirects, repeats with the same ids, and says
//! `OutcomeUnknown` only when it must.
//!
//! | to | use |
//! |---|---|
//! | append to a stream, put into a queue | [`Producer`] |
//! | read a stream | [`StreamReader`] |
//! | share a stream among the members of a group | [`StreamConsumer`] |
//! | handle the records of a stream, with state and windows, each once | [`operator`] |
//! | work on a queue | [`QueueWorker`]; for single calls [`Client::receive`] and [`Client::settle`] |
//! | create, look, reset | [`Admin`] |
//!
//! All of them come from a [`Client`], which holds one connection per node and a watch on the routing table. An
//! [`Error`] has a kind that names the caller's next move.
//!
//! Partitions may be split and merged at any time. Producers, readers, members of groups and workers follow without a word from
//! their callers, and the records of a key stay in order: what was not delivered goes on to the partition that owns its key now,
//! and a partition is read when everything in those that it came of was.
//!
//! What repeats, when, and under which ids is decided by types without IO (`Attempts`, `Flight`, `Settles`, `Held`,
//! `Commits`); around each stands one task that only carries messages. Nothing polls: a task waits for a message, an
//! answer, or a deadline. Everything that gathers is bounded, by bytes or by credit.
//!
//! What this crate is not: it keeps nothing on disk, and it decides nothing that the cluster can decide.

#![forbid(unsafe_code)]

mod admin;
mod call;
mod client;
mod consumer;
mod error;
pub mod operator;
mod options;
mod producer;
mod record;
mod routing;
mod stream;
mod worker;

pub use admin::types::{
    ClusterStatus, GroupDescription, GroupMember, GroupNames, GroupPosition, GroupSummary, LinkInfo,
    LinkKind, MessageState, MoveInfo, MovePhase, MoveReason, Moves, NewTopic, NodeInfo, NodeUse, ParkPolicy,
    PartitionOffsets, PartitionStage, PartitionStatus, PeekedMessage, QueuePartition, QueueSettings,
    QueueStats, ResetTo, Reshaped, Settings, StreamPartition, StreamSettings, TopicDescription, TopicInfo,
};
pub use admin::{
    Admin, BackupPlan, Explanation, Hold, Holder, ImagePosition, ImageReader, MessageRef, NodeDigest,
    ParkedReason, ParkedSelection, PeekOptions, PlannedPartition, ReplayRange, ReplicaDigest, Restore,
    RestoreTarget, Whereabouts,
};
pub use client::Client;
pub use consumer::{ConsumerOptions, GroupStart, StreamConsumer};
pub use error::{Error, Result};
pub use options::ClientOptions;
pub use producer::{Delivery, PendingDelivery, Producer, ProducerOptions};
pub use record::{Header, Record, StreamRecord};
pub use stream::{ReadUntil, ReaderOptions, StartPosition, StreamReader};
pub use weir_types::{Codec, ErrorKind, LeaseToken, TopicKind, TopicPolicy};
pub use worker::{
    LeasedMessage, Message, Outputs, QueueWorker, ReceiveOptions, Settle, SettleAction, WorkerOptions,
};
