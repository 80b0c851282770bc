//! What a stream answers: replies, rejections, and hints for the leader.

use serde::{Deserialize, Serialize};
use weir_types::outbox::OutboxFull;
use weir_types::{ErrorKind, LogIndex, Offset, ProducerEpoch, TransferSequence};

use crate::GroupEpoch;

/// A command's answer. Replies are not stored: they are computed alike on every replica, and the leader sends
/// its own to the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The batch is in.
    Appended {
        /// Offset of its first record.
        base_offset: Offset,
    },
    /// This batch of this producer was in already.
    Duplicate {
        /// Offset that its first record got then.
        base_offset: Offset,
    },
    /// Older owners are fenced; the new owner may start.
    Fenced {
        /// Where the group stands; none when it has never committed.
        committed: Option<Committed>,
    },
    /// The position is stored.
    Committed {
        /// The next offset to read.
        offset: Offset,
    },
    /// The group's position is forgotten.
    GroupDeleted,
    /// Records before the start are gone.
    Trimmed {
        /// The start now.
        start_offset: Offset,
    },
    /// What was taken in from the source of a transfer.
    Transferred {
        /// The last batch of it. Below the one that was offered: its turn has not come, and nothing changed.
        through: TransferSequence,
    },
    /// Done; there is nothing to tell.
    Done,
    /// Nothing comes any more.
    Sealed {
        /// The next offset, at which no record will ever be.
        end: Offset,
    },
}

/// A group's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// The next offset to read.
    pub offset: Offset,
    /// What the consumer stored with it.
    pub metadata: String,
}

/// A normal, replicated "no": nothing changed but what time alone has changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The batch does not follow the producer's last one. A producer that the partition does not know, or no longer,
    /// and one with a new epoch start at 0.
    #[error("sequence {got} does not follow: {expected} was expected")]
    OutOfSequence {
        /// The next sequence of this producer here.
        expected: u32,
        /// That of the batch.
        got: u32,
    },
    /// A newer epoch of the same producer has written here.
    #[error("producer epoch {got} is fenced by epoch {current}")]
    ProducerFenced {
        /// The newest epoch.
        current: ProducerEpoch,
        /// That of the batch.
        got: ProducerEpoch,
    },
    /// A newer owner has taken over the partition in this group.
    #[error("group epoch {got} is fenced by epoch {current}")]
    GroupFenced {
        /// The lowest epoch that is not fenced.
        current: GroupEpoch,
        /// That of the command.
        got: GroupEpoch,
    },
    /// The commit would move the position back, and was not asked to reset it.
    #[error("offset {got} lies behind the committed offset {committed}")]
    OffsetBehind {
        /// The group's position.
        committed: Offset,
        /// That of the commit.
        got: Offset,
    },
    /// The offset lies beyond the end.
    #[error("offset {got} is out of range: the stream holds {start} to {end}")]
    OffsetOutOfRange {
        /// First retained offset.
        start: Offset,
        /// Next offset to be written.
        end: Offset,
        /// That of the command.
        got: Offset,
    },
    /// The group has no position here.
    #[error("group has no position in this partition")]
    GroupNotFound,
    /// As many groups as fit have a position here.
    #[error("{groups} groups have a position in this partition, the most that it allows")]
    TooManyGroups {
        /// Groups.
        groups: usize,
    },
    /// The commit's metadata is over the limit.
    #[error("metadata of {bytes} bytes exceeds the limit of {limit}")]
    MetadataTooLarge {
        /// Its size.
        bytes: usize,
        /// `COMMIT_METADATA_BYTES_MAX`.
        limit: usize,
    },
    /// The group does not stand where the step begins: somebody else has moved it.
    #[error("the group stands at {}, and the step begins at {}", place(*committed), place(*from))]
    PositionMoved {
        /// The group's position.
        committed: Option<Offset>,
        /// Where the step begins.
        from: Option<Offset>,
    },
    /// What was to be appended elsewhere has not arrived there yet, and no more of it fits.
    #[error(transparent)]
    OutboxFull(#[from] OutboxFull),
    /// What was to be compacted has changed since the leader read it.
    #[error("the batches to rewrite have changed since they were read")]
    RewriteRaced,
    /// The command contradicts itself; the door should have refused it.
    #[error("{0}")]
    Invalid(&'static str),
    /// The partition takes in nothing any more: its keys belong to its children. What is told so is surely not in it.
    #[error("the partition is sealed at offset {end}: its keys belong to its children")]
    Sealed {
        /// Its end.
        end: Offset,
    },
    /// What was to go to other partitions does not wait any more, or not yet.
    #[error("the batches to cut anew are not those that wait in the outbox")]
    RecutRaced,
}

impl Rejection {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::OutOfSequence { .. }
            | Self::OffsetBehind { .. }
            | Self::OffsetOutOfRange { .. }
            | Self::MetadataTooLarge { .. }
            | Self::Invalid(_) => ErrorKind::Invalid,
            Self::ProducerFenced { .. } | Self::GroupFenced { .. } | Self::PositionMoved { .. } => {
                ErrorKind::Fenced
            }
            Self::GroupNotFound => ErrorKind::NotFound,
            Self::RewriteRaced | Self::Sealed { .. } | Self::RecutRaced => ErrorKind::Retry,
            Self::TooManyGroups { .. } | Self::OutboxFull(_) => ErrorKind::Throttled,
        }
    }

    /// The stable code, as in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::OutOfSequence { .. } => "out-of-sequence",
            Self::ProducerFenced { .. } => "producer-fenced",
            Self::GroupFenced { .. } => "group-fenced",
            Self::OffsetBehind { .. } => "offset-behind",
            Self::OffsetOutOfRange { .. } => "offset-out-of-range",
            Self::GroupNotFound => "group-not-found",
            Self::TooManyGroups { .. } => "too-many-groups",
            Self::MetadataTooLarge { .. } => "metadata-too-large",
            Self::PositionMoved { .. } => "position-moved",
            Self::OutboxFull(_) => "outbox-full",
            Self::RewriteRaced => "rewrite-raced",
            Self::Invalid(_) => "invalid-command",
            Self::Sealed { .. } => "partition-sealed",
            Self::RecutRaced => "recut-raced",
        }
    }
}

fn place(offset: Option<Offset>) -> String {
    offset.map_or_else(|| "no offset yet".to_owned(), |offset| format!("offset {offset}"))
}

/// A hint for the leader's runtime; losing or repeating one is harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Records were appended: wake the fetchers that wait at the end.
    Appended {
        /// The next offset to be written.
        end_offset: Offset,
    },
    /// Records were retired: fetchers below the start are out of range. Every replica, not only the leader, asks
    /// [`Stream::retained_from`](crate::Stream::retained_from) what its log may lose.
    Retired {
        /// The first retained offset.
        start_offset: Offset,
        /// The first log entry that is still needed; none when no batch is left.
        retained_from: Option<LogIndex>,
    },
    /// Owners of older epochs may no longer fetch as such.
    GroupFenced {
        /// The consumer group.
        group: String,
        /// The lowest epoch that is not fenced.
        epoch: GroupEpoch,
    },
    /// The stream is sealed: tell the fetchers that wait at the end that nothing comes.
    Sealed {
        /// Its end.
        end_offset: Offset,
    },
}
