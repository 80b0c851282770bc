//! What a stream can be asked to do. Commands travel inside a Raft entry, many per entry; the entry's codec puts a
//! version byte before them, and `tests/golden.rs` pins their bytes: new variants go to the end, and a variant's
//! fields never change.

use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{
    GroupId, Offset, OutputBatch, ProducerEpoch, ProducerId, ProducerSequence, Recut, StreamPolicy,
    TransferSequence, TransferSource,
};

/// Raised by a group's coordinator whenever a partition gets a new owner; 0 for a group without members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupEpoch(pub u64);

impl fmt::Display for GroupEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One step of the machine. After every command, rejected or not, retention acts and quiet producers are forgotten,
/// as far as they are due and the [limits](crate::limits) per command allow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Takes in one record batch. Answer: [`Reply::Appended`](crate::Reply::Appended), or
    /// [`Reply::Duplicate`](crate::Reply::Duplicate) when an idempotent producer repeats itself.
    Append(Append),
    /// A new owner of the partition takes over in a consumer group: owners of older epochs can no longer commit.
    /// Answer: [`Reply::Fenced`](crate::Reply::Fenced). Repeating it is harmless.
    Fence {
        /// The consumer group.
        group: String,
        /// Of the new owner.
        epoch: GroupEpoch,
    },
    /// Moves a group's position. Answer: [`Reply::Committed`](crate::Reply::Committed).
    CommitOffset(CommitOffset),
    /// Forgets a group's position, but not its epoch. Answer: [`Reply::GroupDeleted`](crate::Reply::GroupDeleted).
    DeleteGroup {
        /// The consumer group.
        group: String,
    },
    /// Removes all records before an offset. Answer: [`Reply::Trimmed`](crate::Reply::Trimmed). An offset at or
    /// below the start changes nothing.
    Trim {
        /// The new start, at most the end.
        before: Offset,
    },
    /// The topic's settings changed. Answer: [`Reply::Done`](crate::Reply::Done).
    SetPolicy {
        /// The new settings.
        policy: StreamPolicy,
    },
    /// Nothing but the advance of the clocks. Answer: [`Reply::Done`](crate::Reply::Done).
    Tick,
    /// Takes in a batch from another partition. Answer: [`Reply::Transferred`](crate::Reply::Transferred), whether
    /// it was taken in now, before, or has to wait for its turn.
    AcceptTransfer(Transfer),
    /// Moves a group's position and puts record batches into the outbox, all or nothing. Answer:
    /// [`Reply::Committed`](crate::Reply::Committed), also when its owner repeats it; or
    /// [`Rejection::PositionMoved`](crate::Rejection::PositionMoved).
    CommitAndAppend(CommitAndAppend),
    /// What the outbox holds for a destination has arrived there. Repeating it is harmless.
    ConfirmTransfer {
        /// The partition that took it in.
        destination: GroupId,
        /// Up to and with this batch.
        through: TransferSequence,
    },
    /// A producer has got a new epoch: its older selves append no more. Answer: [`Reply::Done`](crate::Reply::Done), or
    /// [`Rejection::ProducerFenced`](crate::Rejection::ProducerFenced) when a newer one was here. Repeating it is harmless.
    FenceProducer {
        /// The producer.
        id: ProducerId,
        /// Its new epoch.
        epoch: ProducerEpoch,
    },
    /// A step of compaction, from the partition's own leader. Answer: [`Reply::Done`](crate::Reply::Done), or
    /// [`Rejection::RewriteRaced`](crate::Rejection::RewriteRaced) when it is not the next one.
    Rewrite(Rewrite),
    /// The partition is split or merged: from now on it takes in nothing new, and its end is its end for good. Answer:
    /// [`Reply::Sealed`](crate::Reply::Sealed). Repeating it is harmless.
    Seal,
    /// What the outbox holds for a sealed partition goes to others. Answer: [`Reply::Done`](crate::Reply::Done), or
    /// [`Rejection::RecutRaced`](crate::Rejection::RecutRaced) when that is not what waits. The positions of its batches
    /// count from the start of this command's own bodies.
    Recut(Recut),
}

/// A batch from another partition, and its place in that one's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Where it comes from.
    pub source: TransferSource,
    /// The batch before it: what has to be the last one taken in.
    pub after: TransferSequence,
    /// Its own number.
    pub sequence: TransferSequence,
    /// The batch.
    pub batch: Append,
}

/// Batches that are replaced by what compaction leaves of them. The fields are those of
/// [`ToRewrite`](crate::ToRewrite), which its leader has gone by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewrite {
    /// Number of the pass.
    pub pass: u64,
    /// The start of the stream as the leader has seen it.
    pub start: Offset,
    /// Of the first batch that is replaced.
    pub from: Offset,
    /// Behind the last one.
    pub to: Offset,
    /// Where the pass ends.
    pub horizon: Offset,
    /// Tombstones below were taken out.
    pub tombstones_below: Offset,
    /// Tombstones that the batches hold.
    pub tombstones: u32,
    /// What is left, in order: no more batches than before.
    pub batches: Vec<RewrittenBatch>,
}

/// A batch that compaction has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewrittenBatch {
    /// Offset of its first record.
    pub base_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Where the batch starts in the bodies of this entry, in bytes. Counts from the start of this command's own bodies.
    pub position: u32,
    /// Length of the batch there, in bytes.
    pub length: u32,
    /// The largest timestamp of its records, milliseconds since the Unix epoch.
    pub max_timestamp_ms: i64,
}

/// A record batch and what the door read of it. The bytes stay in the entry's bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Append {
    /// Where the batch starts in the bodies of this entry, in bytes.
    pub position: u32,
    /// Length of the batch there, in bytes, as sent: what retention by bytes counts.
    pub length: u32,
    /// Records in the batch: 1 to `BATCH_RECORDS_MAX`.
    pub count: u32,
    /// For exact dedup; none for a producer that takes the risk of doubles.
    pub producer: Option<ProducerSequence>,
    /// The largest timestamp that the producer gave a record, milliseconds since the Unix epoch. Nothing is decided
    /// by it; it is kept for readers.
    pub max_timestamp_ms: i64,
}

/// A new position of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitOffset {
    /// The consumer group.
    pub group: String,
    /// Of the owner that commits.
    pub epoch: GroupEpoch,
    /// The next offset to read: at most the end. It may lie below the start, if retention has overtaken the group.
    pub offset: Offset,
    /// Kept with the position: at most `COMMIT_METADATA_BYTES_MAX`.
    pub metadata: String,
    /// Whether it may move back.
    pub movement: Movement,
}

/// Records that are handled, and what came of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitAndAppend {
    /// The consumer group.
    pub group: String,
    /// Of the owner that commits: at least 1.
    pub epoch: GroupEpoch,
    /// Where the group stands: none when it has never committed here.
    pub from: Option<Offset>,
    /// The next offset to read, behind `from` and at most the end.
    pub offset: Offset,
    /// Kept with the position: at most `COMMIT_METADATA_BYTES_MAX`.
    pub metadata: String,
    /// The batches, in order. Their positions count from the start of this command's own bodies.
    pub outputs: Vec<OutputBatch>,
}

/// Which way a commit may move a group's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Movement {
    /// Forward only: what a consumer does.
    Forward,
    /// Anywhere: an operator's reset.
    Reset,
}
