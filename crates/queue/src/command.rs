//! What a queue can be asked to do. Commands travel inside a Raft entry, many per entry; the entry's codec puts
//! a version byte before them, and `tests/golden.rs` pins their bytes.

use serde::{Deserialize, Serialize};
use weir_types::{
    GroupId, KeyHash, LeaseId, MessageId, OutputBatch, ProducerEpoch, ProducerId, QueuePolicy, Recut,
    RequestId, SessionId, TenantHash, TransferSequence, TransferSource, WallClock,
};

/// One step of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Takes in one record batch. Answer: [`Reply::Enqueued`](crate::Reply::Enqueued).
    Enqueue(Enqueue),
    /// Hands out messages under leases. Answer: [`Reply::Leased`](crate::Reply::Leased), empty when nothing is
    /// ready.
    Lease(Lease),
    /// Ends or extends leases. Answer: [`Reply::Settled`](crate::Reply::Settled), one outcome per item.
    Settle(Settle),
    /// Opens a consumer's session; opening it again is the same as [`Command::KeepSession`].
    OpenSession {
        /// Drawn at random by the consumer.
        session: SessionId,
    },
    /// The consumer of a lost session is back within its grace: its leases stay.
    KeepSession {
        /// The session.
        session: SessionId,
    },
    /// The consumer left, or was lost. An unknown session is no error: it may have ended already.
    CloseSession {
        /// The session.
        session: SessionId,
        /// How it ended.
        ending: SessionEnding,
    },
    /// Makes parked messages ready again: same place, attempts reset, a TTL starting anew.
    Redrive {
        /// Which ones.
        select: Select,
        /// At most so many; the caller repeats it at its own rate.
        max: u32,
    },
    /// Removes parked messages for ever.
    Discard {
        /// Which ones.
        select: Select,
        /// At most so many.
        max: u32,
    },
    /// Removes a message that waits for its `deliver_at`.
    CancelScheduled {
        /// The message.
        message: MessageId,
    },
    /// Removes every message that arrived before `before`, in whatever state: leased and parked ones too.
    Purge {
        /// Messages from here on stay; none stands for the next message to arrive. The caller repeats the
        /// command with the answer's `before` until nothing is left.
        before: Option<MessageId>,
        /// At most so many rows in this step: a range of untouched messages counts as one.
        max: u32,
    },
    /// The topic's settings changed. They hold for what happens from now on: a TTL already set and messages
    /// already parked stay as they are.
    SetPolicy {
        /// The new settings; `fifo` cannot change.
        policy: QueuePolicy,
    },
    /// Nothing but the advance of the clocks: due timers fire, as they do after every other command.
    Tick,
    /// Acks messages and puts record batches into the outbox, all or nothing. Answer:
    /// [`Reply::Settled`](crate::Reply::Settled), or [`Rejection::LeaseLost`](crate::Rejection::LeaseLost) for the
    /// first message that is not under its lease any more.
    AckAndAppend(AckAndAppend),
    /// What the outbox holds for a destination has arrived there. Repeating it is harmless.
    ConfirmTransfer {
        /// The partition that took it in.
        destination: GroupId,
        /// Up to and with this batch.
        through: TransferSequence,
    },
    /// Takes in a batch from another partition. Answer: [`Reply::Transferred`](crate::Reply::Transferred), whether
    /// it was taken in now, before, or has to wait for its turn.
    AcceptTransfer(Transfer),
    /// Messages leave for other partitions, all or none. Answer: [`Reply::Moved`](crate::Reply::Moved), or
    /// [`Rejection::NotWaiting`](crate::Rejection::NotWaiting) for the first that does not wait as named.
    Move(Move),
    /// Enqueues kept messages anew, under new ids. Answer: [`Reply::Replayed`](crate::Reply::Replayed), how far the
    /// replay is now.
    Replay(Replay),
    /// As [`Command::Enqueue`], for a queue that tenants share.
    EnqueueShared {
        /// The batch.
        batch: Enqueue,
        /// Whose its records are: all of them, in order.
        tenants: Vec<TenantRun>,
    },
    /// As [`Command::AcceptTransfer`], for a queue that tenants share.
    AcceptTransferShared {
        /// The transfer.
        transfer: Transfer,
        /// Whose the records of its batch are: all of them, in order.
        tenants: Vec<TenantRun>,
    },
    /// As [`Command::Replay`], for a queue that tenants share.
    ReplayShared {
        /// The step.
        step: Replay,
        /// Whose the records of its batch are: all of them, in order.
        tenants: Vec<TenantRun>,
    },
    /// Bodies were written anew, so that the entries where they lay can go. Answer:
    /// [`Reply::Relocated`](crate::Reply::Relocated).
    Relocate(Relocate),
    /// The partition was restored from a backup: from now on leases are numbered above all that may have been given
    /// where that was made. Those that run stay.
    RaiseLeases,
    /// The partition was split or merged: from now on it takes in nothing. Answer:
    /// [`Reply::Sealed`](crate::Reply::Sealed), whether now or before.
    Seal,
    /// A parent was sealed, and this partition gets a range of its keys. Answer: [`Reply::Done`](crate::Reply::Done).
    Inherit(Inherit),
    /// Nothing of these keys is left in a parent: they go on here. To be proposed only after all of that parent's inheritance
    /// for this partition was answered: what comes of it afterwards is let be. Repeating it is harmless. Answer:
    /// [`Reply::Done`](crate::Reply::Done).
    Drained {
        /// The parent.
        parent: GroupId,
        /// The keys, at most 50,000.
        keys: Vec<KeyHash>,
    },
    /// The child that has these keys has been told that they are drained. Answer: [`Reply::Done`](crate::Reply::Done).
    ConfirmDrained {
        /// The keys, at most 50,000.
        keys: Vec<KeyHash>,
    },
    /// Batches that wait for a sealed destination are cut anew for its children. Answer:
    /// [`Reply::Done`](crate::Reply::Done), or [`Rejection::RecutRaced`](crate::Rejection::RecutRaced).
    Recut(Recut),
}

impl Command {
    /// An enqueue; without tenants in the form that costs nothing for them.
    pub fn enqueue(batch: Enqueue, tenants: Vec<TenantRun>) -> Self {
        if tenants.is_empty() { Self::Enqueue(batch) } else { Self::EnqueueShared { batch, tenants } }
    }

    /// The same for a transfer.
    pub fn accept_transfer(transfer: Transfer, tenants: Vec<TenantRun>) -> Self {
        if tenants.is_empty() {
            Self::AcceptTransfer(transfer)
        } else {
            Self::AcceptTransferShared { transfer, tenants }
        }
    }

    /// The same for a step of a replay.
    pub fn replay(step: Replay, tenants: Vec<TenantRun>) -> Self {
        if tenants.is_empty() { Self::Replay(step) } else { Self::ReplayShared { step, tenants } }
    }
}

/// One step of a replay, as the leader prepared it: what is kept was read and became a new batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replay {
    /// The replay. A step under a known request that does not begin where that is changes nothing.
    pub request: RequestId,
    /// The step deals with the kept messages from here on,
    pub from: MessageId,
    /// to before this one.
    pub next: MessageId,
    /// The replay as a whole ends before this one; it lies below every message that the replay itself enqueues.
    pub end: MessageId,
    /// The messages, in order of arrival, without producer and dedup ids; none when nothing of the range is kept any
    /// more.
    pub batch: Option<Enqueue>,
}

/// Bodies that lie in this entry from now on, as the leader read them elsewhere. What a message says never changes, so a
/// step that comes late, or twice, does no harm.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relocate {
    /// The batches.
    pub batches: Vec<RelocatedBatch>,
}

/// A batch of bodies that were written anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RelocatedBatch {
    /// Where the batch starts in the bodies of this entry, in bytes.
    pub position: u32,
    /// Length of the batch there, in bytes.
    pub length: u32,
    /// Whose records it holds, one each, in order.
    pub runs: Vec<MessageRun>,
}

/// Messages with consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageRun {
    /// The first one.
    pub first: MessageId,
    /// How many: at least 1.
    pub count: u32,
}

/// One step of what a sealed partition hands to a child. Steps may come repeatedly and in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inherit {
    /// The sealed partition.
    pub parent: GroupId,
    /// The child's leases are numbered above this one, which lies above all that the parent gave or will give.
    pub lease_base: LeaseId,
    /// How far the streams that feed the parent had come, by their offsets.
    pub sources: Vec<(TransferSource, TransferSequence)>,
    /// Dedup ids that the parent remembers: of all its keys, for an id does not say whose it is.
    pub dedup: Vec<InheritedId>,
    /// In a FIFO queue, the child's keys of which the parent has messages left.
    pub keys: Vec<KeyHash>,
}

/// A dedup id that another partition remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InheritedId {
    /// Hash of the message id.
    pub id: DedupId,
    /// The message that carried it, as that partition knew it.
    pub message: MessageId,
    /// How much of its window is left, in milliseconds of the lease clock.
    pub left_ms: u64,
}

/// Messages that leave, and what they become elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Move {
    /// In which state all of them have to be.
    pub waiting: Waiting,
    /// The messages, each once.
    pub messages: Vec<MessageId>,
    /// The batches, in order. Their positions count from the start of this command's own bodies.
    pub outputs: Vec<OutputBatch>,
}

/// What messages that leave were waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Waiting {
    /// For a consumer; in a FIFO queue as the next of their keys.
    Ready,
    /// For an operator: dead letters.
    Parked,
}

/// Messages that are done, and what came out of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AckAndAppend {
    /// A retry with the same id gets the same answer within the dedup window.
    pub request: Option<RequestId>,
    /// The messages, each once, with the leases under which the consumer had them.
    pub messages: Vec<(MessageId, LeaseId)>,
    /// The batches, in order. Their positions count from the start of this command's own bodies.
    pub outputs: Vec<OutputBatch>,
}

/// A batch from another partition, and its place in that one's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transfer {
    /// Where it comes from.
    pub source: TransferSource,
    /// The batch before it: what has to be the last one taken in.
    pub after: TransferSequence,
    /// Its own number.
    pub sequence: TransferSequence,
    /// The batch.
    pub batch: Enqueue,
}

/// A record batch and what the door read of it. The bytes stay in the entry's bodies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enqueue {
    /// Where the batch starts in the bodies of this entry, in bytes.
    pub position: u32,
    /// Length of the batch there, in bytes.
    pub length: u32,
    /// Records in the batch: 1 to `BATCH_RECORDS_MAX`.
    pub count: u32,
    /// Bytes of all records, uncompressed. Each message counts with the average, rounded up.
    pub bytes: u64,
    /// For exact dedup; none for a producer that takes the risk of doubles.
    pub producer: Option<ProducerBatch>,
    /// Attributes of the records in order, consecutive equal ones together; empty when all are the default.
    pub runs: Vec<Run>,
    /// Records that carry a dedup id, by rising record number.
    pub dedup: Vec<DedupRecord>,
}

/// The place of a batch in an idempotent producer's sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProducerBatch {
    /// The producer.
    pub id: ProducerId,
    /// Its epoch: a newer one starts again at sequence 0.
    pub epoch: ProducerEpoch,
    /// Sequence of the first record: dense per producer, epoch and partition, from 0, wrapping after
    /// 2^31 - 1 as in the record batch.
    pub sequence: u32,
}

/// Consecutive records of one batch with equal attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// How many: at least 1.
    pub count: u32,
    /// What they share.
    pub attributes: Attributes,
}

/// Consecutive records of one batch that are one tenant's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantRun {
    /// How many: at least 1.
    pub count: u32,
    /// Whose; none for those that name nobody, who are one tenant of their own.
    pub tenant: Option<TenantHash>,
}

/// What a queue needs to know of a message beyond its arrival.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The key of a FIFO queue; messages without one share one order. Plain queues ignore it.
    pub key: Option<KeyHash>,
    /// 0 (the default) to 9 (first). FIFO queues ignore it.
    pub priority: u8,
    /// Not before this time. In a FIFO queue the key waits for it.
    pub deliver_at: Option<WallClock>,
    /// Gone after this time unless leased or parked. The queue's TTL applies as well.
    pub expires_at: Option<WallClock>,
}

/// A record that is dropped when a message with the same id arrived within the dedup window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DedupRecord {
    /// Number of the record in its batch, from 0.
    pub record: u32,
    /// Hash of its message id.
    pub id: DedupId,
}

/// A 128-bit hash of a producer's message id: wide enough that two ids never meet in practice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DedupId(pub u128);

/// A request for messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// A retry with the same id gets those messages again that it still holds, and no others.
    pub request: RequestId,
    /// The session that the leases end with; none binds them to their deadline alone.
    pub session: Option<SessionId>,
    /// At most so many messages; more than `LEASE_MESSAGES_MAX` are never given.
    pub max_messages: u32,
    /// At most so many bytes, but always one message.
    pub max_bytes: u64,
    /// How long, in milliseconds, at most `LEASE_MS_MAX`; none takes the queue's setting.
    pub lease_ms: Option<u64>,
}

/// Outcomes of leased messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settle {
    /// A retry with the same id gets the same answer within the dedup window.
    pub request: Option<RequestId>,
    /// One by one, in order.
    pub items: Vec<SettleItem>,
}

/// The outcome of one leased message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettleItem {
    /// The message.
    pub message: MessageId,
    /// The lease under which the consumer had it.
    pub lease: LeaseId,
    /// What becomes of it.
    pub action: Action,
}

/// What a consumer says about a message that it leased.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Done: the message is gone.
    Ack,
    /// Not done: ready again after a wait; counts as an attempt.
    Nack {
        /// The wait in milliseconds, at most `DELAY_MS_MAX`; none takes the queue's backoff.
        delay_ms: Option<u64>,
    },
    /// Still busy: the lease runs this long from now, and at most `LEASE_MS_MAX` since it was granted.
    Extend {
        /// In milliseconds.
        lease_ms: u64,
    },
    /// Not started: ready again at once; does not count.
    Release,
    /// Will never work: parked at once.
    Reject {
        /// Why, for people; cut to `REASON_BYTES_MAX` bytes.
        reason: String,
    },
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SessionEnding {
    /// The consumer said goodbye: its leases return at once, no attempt counted.
    Clean,
    /// Its connection broke: its leases return after `SESSION_GRACE_MS`, an attempt counted. A new leader,
    /// which has no connections yet, says this of every session that it finds open.
    Lost,
}

/// Which parked messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Select {
    /// This one; [`Rejection::NotParked`](crate::Rejection::NotParked) when it is not.
    One(MessageId),
    /// All, in order of arrival.
    All,
    /// Those parked for this reason, in order of arrival.
    Reason(ParkKind),
}

/// Why a message was parked, as a filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParkKind {
    /// Delivered as often as the queue allows.
    AttemptsUsedUp,
    /// A consumer rejected it.
    Rejected,
}
