//! What can be asked of a stream without changing it.

use weir_types::outbox::Outbox;
use weir_types::{Deadlines, ErrorKind, LogIndex, Offset, StreamPolicy, WallClock};

use crate::retention::{self, Bounds};
use crate::{BatchAt, Committed, GroupEpoch, PassAhead, Stream, ToRewrite};

/// A reader asked for an offset that the stream does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("offset {offset} is out of range: the stream holds {start} to {end}")]
pub struct OutOfRange {
    /// What was asked for.
    pub offset: Offset,
    /// First retained offset: where a reader that has fallen behind goes on.
    pub start: Offset,
    /// Next offset to be written.
    pub end: Offset,
}

impl OutOfRange {
    /// What the caller does next: ask for another offset.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// The stable code, as in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        "offset-out-of-range"
    }
}

/// How far a group is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    /// Records that are retained and not yet committed.
    pub records: u64,
    /// When the oldest of them was appended; none when there is none. The lag in time is the age of that record.
    pub oldest: Option<WallClock>,
}

impl Stream {
    /// The first retained offset.
    pub fn start_offset(&self) -> Offset {
        self.index.start()
    }

    /// The next offset to be written: the high watermark, since only what is committed is applied.
    pub fn end_offset(&self) -> Offset {
        self.index.end()
    }

    /// Whether it takes in nothing any more: then its end is its end for good.
    pub fn is_sealed(&self) -> bool {
        self.seal.is_some()
    }

    /// When it was sealed; none while it takes records in.
    pub fn sealed_at(&self) -> Option<WallClock> {
        self.seal.map(|seal| seal.at)
    }

    /// Bytes of the batches that the log still has to hold for this stream, as sent.
    pub fn bytes(&self) -> u64 {
        self.index.bytes()
    }

    /// The first log entry that is still needed, by a batch that is held or by the outbox; none when there is none, so
    /// that everything applied may go. It never falls. Every replica deletes by it, after the rows of the same step are
    /// written. It speaks for whole entries: ask when all commands of an entry are applied, since a later one may append
    /// to that entry anew.
    pub fn retained_from(&self) -> Option<LogIndex> {
        self.index.retained_from().into_iter().chain(self.outbox.retained_from()).min()
    }

    /// What waits for other partitions.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The highest epoch that any consumer group has, or had before it was deleted.
    pub fn epoch_max(&self) -> GroupEpoch {
        self.groups.epoch_max()
    }

    /// The topic's settings.
    pub fn policy(&self) -> &StreamPolicy {
        &self.policy
    }

    /// The batches to read from `offset` on: as many as fit into `bytes_max`, but at least one; none at the end.
    /// The first may begin before `offset`: a reader skips those records.
    pub fn locate(&self, offset: Offset, bytes_max: u64) -> Result<Vec<BatchAt>, OutOfRange> {
        self.index.locate(offset, bytes_max)
    }

    /// Below, records may be missing whose key has a later one, and keys that were deleted.
    pub fn compacted_to(&self) -> Offset {
        self.compaction.compacted_to()
    }

    /// The pass of compaction that runs, or that is worth its while at `now`: at least `dirty_min` bytes were appended since
    /// the last one, and as many as that left; or tombstones are due.
    pub fn pass_ahead(&self, now: WallClock, dirty_min: u64) -> Option<PassAhead> {
        self.compaction.ahead(self.policy.compaction, &self.index, now, dirty_min)
    }

    /// Whether a pass of compaction has begun and is not over.
    pub fn pass_runs(&self) -> bool {
        self.compaction.running.is_some()
    }

    /// The next batches to rewrite in the pass that runs, or in one that begins and ends at `horizon`: whole entries, until
    /// there are as many batches or bytes as given. None when there is nothing to do.
    pub fn to_rewrite(
        &self,
        now: WallClock,
        horizon: Offset,
        batches_max: usize,
        bytes_max: u64,
    ) -> Option<ToRewrite> {
        let bounds = (batches_max, bytes_max);
        self.compaction.next(self.policy.compaction, &self.index, now, (horizon, bounds))
    }

    /// When tombstones are due to be taken out; none when there are none.
    pub fn tombstones_due(&self) -> Option<WallClock> {
        self.compaction.tombstones_due(self.policy.compaction)
    }

    /// Bytes that were appended since compaction has gone over the stream.
    pub fn dirty_bytes(&self) -> u64 {
        self.index.batches().dirty_bytes()
    }

    /// Where to read from to see every retained record that was appended at `time` or later; the end when there is
    /// none.
    pub fn offset_for_time(&self, time: WallClock) -> Offset {
        self.index.offset_for_time(time)
    }

    /// A group's position; none when it has never committed here, or was deleted.
    pub fn committed(&self, group: &str) -> Option<&Committed> {
        self.groups.get(group)?.committed.as_ref()
    }

    /// The lowest epoch of a group that is not fenced, also for a group that is not known.
    pub fn group_epoch(&self, group: &str) -> GroupEpoch {
        self.groups.epoch(group)
    }

    /// All groups with an owner or a position here, by name.
    pub fn groups(&self) -> impl Iterator<Item = (&str, GroupEpoch, Option<&Committed>)> {
        self.groups.iter().map(|(name, group)| (name, group.epoch, group.committed.as_ref()))
    }

    /// How far a group is behind; one that has never committed is behind by everything retained.
    pub fn lag(&self, group: &str) -> Lag {
        let position = self.committed(group).map_or(Offset(0), |committed| committed.offset);
        let next = position.max(self.start_offset());
        Lag { records: self.end_offset() - next, oldest: self.index.append_time(next) }
    }

    /// Idempotent producers that are remembered.
    pub fn producers(&self) -> usize {
        self.producers.len()
    }

    /// When the machine next has to be ticked: on the wall clock, when the oldest run falls out, or at once when
    /// there is more to retire than one command may; on the lease clock, when the quietest producer is forgotten.
    pub fn next_deadlines(&self) -> Deadlines {
        Deadlines {
            lease: self.producers.deadline(),
            wall: retention::deadline(&self.index, &Bounds::of(&self.policy.retention, &self.groups)),
        }
    }
}
