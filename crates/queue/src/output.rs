//! What a queue answers: replies, rejections, and hints for the leader.

use crate::replays::Replayed;
use weir_types::outbox::OutboxFull;
use weir_types::{
    ErrorKind, KeyHash, LeaseClock, LeaseId, MessageId, Pointer, ProducerEpoch, SessionId, TransferSequence,
    WallClock,
};

/// A command's answer. Replies are not stored: they are computed alike on every replica, and the leader sends
/// its own to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The batch is in.
    Enqueued {
        /// Id of the first record's message; record `i` of the batch is message `first + i`.
        first: MessageId,
        /// Records in the batch.
        count: u32,
        /// Records that were dropped since their dedup id is known, by record number.
        duplicates: Vec<Duplicate>,
        /// Whether this repeats the answer to an earlier copy of the batch (whose duplicates are not listed
        /// again).
        repeated: bool,
    },
    /// Messages handed out, in order.
    Leased {
        /// Empty when nothing is ready.
        messages: Vec<Granted>,
    },
    /// One outcome per item of the settle, in order.
    Settled {
        /// The outcomes.
        outcomes: Vec<Settled>,
    },
    /// Parked messages are ready again.
    Redriven {
        /// How many.
        count: u32,
    },
    /// Parked messages are gone.
    Discarded {
        /// How many.
        count: u32,
    },
    /// Messages are gone.
    Purged {
        /// How many.
        messages: u64,
        /// The horizon of this purge, to repeat it with.
        before: MessageId,
        /// Whether messages below the horizon are left.
        more: bool,
    },
    /// Messages left for other partitions.
    Moved {
        /// How many.
        count: u32,
    },
    /// What was taken in from the source of a transfer.
    Transferred {
        /// The last batch of it. Below the one that was offered: its turn has not come, and nothing changed.
        through: TransferSequence,
    },
    /// How far a replay is.
    Replayed(Replayed),
    /// Bodies lie elsewhere.
    Relocated {
        /// Of how many messages; those that had gone meanwhile are none of them.
        messages: u64,
    },
    /// Done; there is nothing to tell.
    Done,
    /// The partition takes in nothing any more.
    Sealed,
}

/// A record that was dropped as a duplicate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duplicate {
    /// Its number in the batch.
    pub record: u32,
    /// The message that first carried its dedup id.
    pub original: MessageId,
}

/// One message under one lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The message.
    pub message: MessageId,
    /// Its lease: the fencing token, to settle with.
    pub lease: LeaseId,
    /// 1 for the first delivery that counts.
    pub attempt: u32,
    /// When the lease runs out, on the lease clock.
    pub deadline: LeaseClock,
    /// The batch that holds the record.
    pub pointer: Pointer,
    /// Number of the record in that batch, from 0.
    pub record: u32,
    /// What the record counts for, in bytes.
    pub bytes: u32,
    /// The key's hash, if it was given.
    pub key: Option<KeyHash>,
    /// 0 to 9.
    pub priority: u8,
    /// When it was enqueued.
    pub arrived: WallClock,
}

/// What became of one item of a settle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Settled {
    /// As asked.
    Done,
    /// The lease now runs until then, on the lease clock.
    Extended {
        /// The new deadline.
        deadline: LeaseClock,
    },
    /// The message was parked: rejected, or its attempts are used up.
    Parked,
    /// The lease is not the message's current one; nothing changed.
    LeaseLost,
}

/// A normal, replicated "no": nothing changed but the clocks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The queue holds as many messages or bytes as its policy allows.
    #[error(
        "queue holds {messages} of {messages_max} messages and {bytes} of {bytes_max} bytes; the batch does not fit"
    )]
    QueueFull {
        /// Messages in the queue.
        messages: u64,
        /// The policy's limit.
        messages_max: u64,
        /// Bytes in the queue.
        bytes: u64,
        /// The policy's limit.
        bytes_max: u64,
    },
    /// The queue blocks the keys of dead letters, and a record's key has one.
    #[error(
        "record {record}: its key{} is blocked by parked message {message} until that is redriven or discarded; \
         nothing of the batch was taken",
        key.map_or_else(String::new, |key| format!(" (hash {:08x})", key.0))
    )]
    KeyBlocked {
        /// The key's hash; none for the messages without a key, which form an order of their own.
        key: Option<KeyHash>,
        /// Number of the first such record in the batch.
        record: u32,
        /// The parked message.
        message: MessageId,
    },
    /// As many dedup ids are remembered as fit.
    #[error("{remembered} dedup ids are remembered, at most {max} fit in the window")]
    TooManyDedupIds {
        /// Remembered ids.
        remembered: usize,
        /// The limit.
        max: usize,
    },
    /// As many messages are leased as fit.
    #[error("{leased} messages are leased, the most that a partition allows")]
    TooManyLeases {
        /// Leased messages.
        leased: usize,
    },
    /// As many sessions exist as fit.
    #[error("{sessions} sessions exist, the most that a partition allows")]
    TooManySessions {
        /// Sessions.
        sessions: usize,
    },
    /// The batch does not follow the producer's last one.
    #[error("sequence {got} does not follow: {expected} was expected")]
    OutOfSequence {
        /// The next sequence of this producer here.
        expected: u32,
        /// That of the batch.
        got: u32,
    },
    /// A newer epoch of the same producer has written here.
    #[error("producer epoch {got} is fenced by epoch {current}")]
    Fenced {
        /// The newest epoch.
        current: ProducerEpoch,
        /// That of the batch.
        got: ProducerEpoch,
    },
    /// The session is not open: never opened, closed, or its grace has passed.
    #[error("session {session} is not open")]
    SessionNotOpen {
        /// The session.
        session: SessionId,
    },
    /// The message is not parked.
    #[error("message {message} is not parked")]
    NotParked {
        /// The message.
        message: MessageId,
    },
    /// The message does not wait for its delivery time.
    #[error("message {message} is not scheduled")]
    NotScheduled {
        /// The message.
        message: MessageId,
    },
    /// A message of an ack-and-append is not under the lease that it names: nothing was acked, nothing appended.
    #[error("message {message} is not under lease {lease} any more: nothing was acked or appended")]
    LeaseLost {
        /// The message.
        message: MessageId,
        /// The lease that was named.
        lease: LeaseId,
    },
    /// A message that was to leave is not there, or not in the state that was named; none left.
    #[error("message {message} does not wait to be moved: none was")]
    NotWaiting {
        /// The message.
        message: MessageId,
    },
    /// What was to be appended elsewhere has not arrived there yet, and no more of it fits.
    #[error(transparent)]
    OutboxFull(#[from] OutboxFull),
    /// A queue is FIFO from its creation on, or never.
    #[error("`fifo` cannot be changed after a queue was created")]
    FifoIsFixed,
    /// The command contradicts itself; the door should have refused it.
    #[error("{0}")]
    Invalid(&'static str),
    /// The partition was split or merged: its keys are its children's.
    #[error("the partition is sealed: its keys belong to other partitions now")]
    Sealed,
    /// What was to be cut anew does not wait as named: more has arrived, or was cut anew before.
    #[error("what was to be cut anew does not wait any more: nothing was")]
    RecutRaced,
    /// The partition was split or merged, and what would come back here goes on elsewhere: for good, unlike
    /// [`Sealed`](Self::Sealed), which ends as soon as whoever sends knows where.
    #[error("the partition is sealed: what would be ready again here goes on in other partitions by now")]
    KeyGoesOn,
}

impl Rejection {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::QueueFull { .. } => ErrorKind::OutOfSpace,
            Self::TooManyDedupIds { .. }
            | Self::TooManyLeases { .. }
            | Self::TooManySessions { .. }
            | Self::OutboxFull(_) => ErrorKind::Throttled,
            Self::LeaseLost { .. } => ErrorKind::LeaseLost,
            // The leader looks again; an operator has to act first; the keys are elsewhere.
            Self::NotWaiting { .. } | Self::KeyBlocked { .. } | Self::Sealed | Self::RecutRaced => {
                ErrorKind::Retry
            }
            Self::OutOfSequence { .. } | Self::FifoIsFixed | Self::Invalid(_) | Self::KeyGoesOn => {
                ErrorKind::Invalid
            }
            Self::Fenced { .. } => ErrorKind::Fenced,
            Self::SessionNotOpen { .. } | Self::NotParked { .. } | Self::NotScheduled { .. } => {
                ErrorKind::NotFound
            }
        }
    }

    /// The stable code, as in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::QueueFull { .. } => "queue-full",
            Self::KeyBlocked { .. } => "key-blocked",
            Self::TooManyDedupIds { .. } => "too-many-dedup-ids",
            Self::TooManyLeases { .. } => "too-many-leases",
            Self::TooManySessions { .. } => "too-many-sessions",
            Self::OutOfSequence { .. } => "out-of-sequence",
            Self::Fenced { .. } => "producer-fenced",
            Self::SessionNotOpen { .. } => "session-not-open",
            Self::NotParked { .. } => "message-not-parked",
            Self::NotScheduled { .. } => "message-not-scheduled",
            Self::LeaseLost { .. } => "lease-lost",
            Self::OutboxFull(_) => "outbox-full",
            Self::NotWaiting { .. } => "message-not-waiting",
            Self::FifoIsFixed => "fifo-is-fixed",
            Self::Invalid(_) => "invalid-command",
            Self::Sealed | Self::KeyGoesOn => "partition-sealed",
            Self::RecutRaced => "recut-raced",
        }
    }
}

/// A hint for the leader's runtime; losing or repeating one is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Messages became ready in this entry and some can be leased: wake waiting consumers.
    Ready {
        /// How many can be leased now (in a FIFO queue: keys with a message to lease).
        count: u64,
    },
}
