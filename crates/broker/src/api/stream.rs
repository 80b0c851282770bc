//! Streams: append, fetch, offsets, positions of consumer groups.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};
use weir_stream::{Command, CommitOffset, GroupEpoch, Movement, OutOfRange, Rejection, Reply, Stream};
use weir_types::batch::restamp;
use weir_types::{ErrorKind, GroupId, Offset, ProducerEpoch, ProducerId, Term, WallClock, WeirError};

use super::bodies::{BatchReader, read_error};
use super::groups::check_group_name;
use crate::broker::Broker;
use crate::door;
use crate::partition::{Partition, Pending};
use crate::remote::{PositionView, ResetTo};
use crate::replica::unexpected;
use crate::transfers::wait_for_arrivals;

/// An append on its way.
pub struct PendingAppend(Pending<Stream>);

/// Where a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset (stream) or message id (queue) of the first record.
    pub base: u64,
    /// The producer repeated itself: it was in already.
    pub duplicate: bool,
}

impl PendingAppend {
    /// Waits until a majority has it on disk and it is applied.
    pub async fn answer(self) -> Result<Appended, WeirError> {
        let (_, answer) = self.0.answer().await?;
        match answer.map_err(|rejection| <Stream as crate::replica::State>::error(&rejection))? {
            Reply::Appended { base_offset } => Ok(Appended { base: base_offset.0, duplicate: false }),
            Reply::Duplicate { base_offset } => Ok(Appended { base: base_offset.0, duplicate: true }),
            other => Err(unexpected(&other)),
        }
    }
}

/// What a fetch found.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Committed batches in order, base offset and leader epoch filled in. The first may begin before the offset
    /// asked for.
    pub batches: Vec<Bytes>,
    /// Where to go on: behind the last batch returned, and whatever is gone behind it; the offset asked for when there is
    /// none.
    pub next: Offset,
    /// First retained offset.
    pub start: Offset,
    /// Next offset to be written.
    pub end: Offset,
    /// Below, records may be missing that compaction has taken out.
    pub compacted_to: Offset,
    /// Its end is its end for good: what comes after it is in the partitions that took its keys over.
    pub sealed: bool,
}

/// Bounds of a stream partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    /// First retained offset.
    pub start: Offset,
    /// Next offset to be written.
    pub end: Offset,
    /// For the time that was asked for.
    pub at_time: Option<Offset>,
    /// Record batches for other partitions that have not arrived there yet.
    pub outbox_batches: u64,
}

/// A consumer group's commit.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The consumer group.
    pub consumer_group: String,
    /// Epoch of the ownership; 0 for a group without members.
    pub epoch: u64,
    /// The next offset to read.
    pub offset: Offset,
    /// Kept with it.
    pub metadata: String,
    /// May move back.
    pub reset: bool,
}

impl Broker {
    /// Takes a batch in. When this returns, the batch keeps its place before every later one of the partition.
    pub async fn append(&self, group: GroupId, batch: Bytes) -> Result<PendingAppend, WeirError> {
        self.check_room()?;
        let partition = self.stream(group)?;
        let is_compacted = partition.read(|replica| replica.state().policy().compaction.enabled);
        let append = door::append(&batch, is_compacted)?;
        partition.admit(Command::Append(append), batch).await.map(PendingAppend)
    }

    /// As [`fetch`](Self::fetch), but nothing means nothing: whatever was committed before the call is seen, even when
    /// this node has been replaced as leader and does not know it yet. Costs a round to a majority when there is
    /// nothing.
    pub async fn fetch_or_end(
        &self,
        group: GroupId,
        offset: Offset,
        bytes_max: u64,
    ) -> Result<Fetched, WeirError> {
        let fetched = self.fetch(group, offset, bytes_max).await?;
        if !fetched.batches.is_empty() || fetched.sealed {
            return Ok(fetched);
        }
        self.stream(group)?.barrier().await?;
        self.fetch(group, offset, bytes_max).await
    }

    /// Reads committed batches from `offset` on: about `bytes_max`, at least one, none at the end as this node knows it.
    pub async fn fetch(&self, group: GroupId, offset: Offset, bytes_max: u64) -> Result<Fetched, WeirError> {
        let partition = self.stream(group)?;
        partition.check_leads()?;
        let mut located = locate(&partition, offset, bytes_max);
        if located.is_err() {
            // A leader that has just taken over, or no longer leads, may not know of the offset yet.
            partition.barrier().await?;
            located = locate(&partition, offset, bytes_max);
        }
        let located = located.map_err(out_of_range)?;
        let Located { start, end, compacted_to, sealed, batches } = located;
        let mut fetched = Fetched { next: offset, start, end, compacted_to, sealed, batches: Vec::new() };
        let mut reader = BatchReader::new(partition.group());
        for at in batches {
            let batch = match reader.read(at.pointer).await {
                Ok(batch) => batch,
                // Retention or compaction has overtaken the reader; what was read before is still good.
                Err(_) if !fetched.batches.is_empty() => break,
                Err(error) => return Err(read_error(&error)),
            };
            fetched.batches.push(stamped(&batch, at.base_offset, at.pointer.term)?);
            fetched.next = at.next_offset;
        }
        Ok(fetched)
    }

    /// Waits until the partition holds a record at `offset`, or never will because it is sealed, or `deadline` has passed;
    /// an error when this node stops leading meanwhile.
    pub async fn wait_for_record(
        &self,
        group: GroupId,
        offset: Offset,
        deadline: Instant,
    ) -> Result<(), WeirError> {
        self.wait_until(group, deadline, |stream| stream.end_offset() > offset || stream.is_sealed()).await
    }

    /// Shuts older epochs of a producer out of a partition; the bounds then.
    pub async fn fence_producer(
        &self,
        group: GroupId,
        id: ProducerId,
        epoch: ProducerEpoch,
    ) -> Result<Offsets, WeirError> {
        let partition = self.stream(group)?;
        match partition.propose(Command::FenceProducer { id, epoch }).await? {
            // The fence is applied here, so what is read now includes it.
            Reply::Done => Ok(partition.read(|replica| bounds(replica.state(), None))),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until everything that commits of this partition have appended elsewhere up to now is there, or only what goes
    /// to one partition, or until the deadline has come. How many batches are left then.
    pub async fn wait_for_outputs(
        &self,
        group: GroupId,
        to: Option<GroupId>,
        deadline: Instant,
    ) -> Result<u64, WeirError> {
        let partition = self.stream(group)?;
        // What a former leader took in is in the outbox only when this one has applied it.
        partition.barrier().await?;
        wait_for_arrivals(&partition, to, deadline).await
    }

    /// Waits until something holds for a partition that this node leads, or the deadline has come.
    async fn wait_until(
        &self,
        group: GroupId,
        deadline: Instant,
        holds: impl Fn(&Stream) -> bool,
    ) -> Result<(), WeirError> {
        let partition = self.stream(group)?;
        let mut applied = partition.applied();
        let mut leadership = partition.leadership();
        loop {
            applied.borrow_and_update();
            leadership.borrow_and_update();
            partition.check_leads()?;
            if partition.read(|replica| holds(replica.state())) {
                return Ok(());
            }
            tokio::select! {
                changed = applied.changed() => changed.map_err(|_| stopping())?,
                changed = leadership.changed() => changed.map_err(|_| stopping())?,
                () = sleep_until(deadline) => return Ok(()),
            }
        }
    }

    /// The bounds of a partition, and the offset for a time. Never stale.
    pub async fn offsets(&self, group: GroupId, time: Option<WallClock>) -> Result<Offsets, WeirError> {
        let partition = self.stream(group)?;
        partition.barrier().await?;
        Ok(partition.read(|replica| bounds(replica.state(), time)))
    }

    /// Moves a consumer group's position; answers when a majority has it on disk.
    pub async fn commit_offset(&self, group: GroupId, commit: Commit) -> Result<Offset, WeirError> {
        check_group_name(&commit.consumer_group)?;
        let command = Command::CommitOffset(CommitOffset {
            group: commit.consumer_group,
            epoch: GroupEpoch(commit.epoch),
            offset: commit.offset,
            metadata: commit.metadata,
            movement: if commit.reset { Movement::Reset } else { Movement::Forward },
        });
        match self.stream(group)?.propose(command).await? {
            Reply::Committed { offset } => Ok(offset),
            other => Err(unexpected(&other)),
        }
    }

    /// A consumer group's position. Never stale.
    pub async fn position(&self, group: GroupId, consumer_group: &str) -> Result<PositionView, WeirError> {
        let partition = self.stream(group)?;
        partition.barrier().await?;
        Ok(position_in(&partition, consumer_group))
    }

    /// Fences older owners of a partition in a consumer group and returns the position.
    pub async fn fence(
        &self,
        group: GroupId,
        consumer_group: String,
        epoch: u64,
    ) -> Result<PositionView, WeirError> {
        let partition = self.stream(group)?;
        check_group_name(&consumer_group)?;
        let command = Command::Fence { group: consumer_group.clone(), epoch: GroupEpoch(epoch) };
        match partition.propose(command).await? {
            // The fence is applied here, so what is read now includes it.
            Reply::Fenced { .. } => Ok(position_in(&partition, &consumer_group)),
            other => Err(unexpected(&other)),
        }
    }

    /// Whether `epoch` still owns the partition in the consumer group.
    pub fn check_owner(&self, group: GroupId, consumer_group: &str, epoch: u64) -> Result<(), WeirError> {
        let current = self.stream(group)?.read(|replica| replica.state().group_epoch(consumer_group));
        if current > GroupEpoch(epoch) {
            let rejection = Rejection::GroupFenced { current, got: GroupEpoch(epoch) };
            return Err(<Stream as crate::replica::State>::error(&rejection));
        }
        Ok(())
    }

    /// The offset of a place in a partition that this node leads. Never stale.
    pub(crate) async fn locate(&self, group: GroupId, place: ResetTo) -> Result<Offset, WeirError> {
        let time = if let ResetTo::Time(time) = place { Some(time) } else { None };
        let offsets = self.offsets(group, time).await?;
        Ok(match place {
            ResetTo::Earliest => offsets.start,
            ResetTo::Latest => offsets.end,
            ResetTo::Offset(offset) => offset.clamp(offsets.start, offsets.end),
            ResetTo::Time(_) => offsets.at_time.unwrap_or(offsets.end),
            ResetTo::Lag(records) => Offset(offsets.end.0.saturating_sub(records)).max(offsets.start),
        })
    }

    /// An operator moves a consumer group's position in a partition that it leads.
    pub(crate) async fn reset_position(
        &self,
        group: GroupId,
        consumer_group: String,
        to: ResetTo,
    ) -> Result<PositionView, WeirError> {
        let offset = self.locate(group, to).await?;
        let epoch = self.stream(group)?.read(|replica| replica.state().group_epoch(&consumer_group)).0;
        let metadata = String::new();
        let commit = Commit { consumer_group: consumer_group.clone(), epoch, offset, metadata, reset: true };
        self.commit_offset(group, commit).await?;
        self.position(group, &consumer_group).await
    }
}

fn position_in(partition: &Partition<Stream>, consumer_group: &str) -> PositionView {
    let now = partition.group().wall_clock();
    partition.read(|replica| {
        let stream = replica.state();
        let committed = stream.committed(consumer_group);
        PositionView {
            committed: committed.map(|committed| committed.offset),
            metadata: committed.map(|committed| committed.metadata.clone()).unwrap_or_default(),
            epoch: stream.group_epoch(consumer_group).0,
            start: stream.start_offset(),
            end: stream.end_offset(),
            lag_ms: stream.lag(consumer_group).oldest.map_or(0, |oldest| now - oldest),
        }
    })
}

struct Located {
    batches: Vec<weir_stream::BatchAt>,
    start: Offset,
    end: Offset,
    compacted_to: Offset,
    sealed: bool,
}

fn locate(partition: &Partition<Stream>, offset: Offset, bytes_max: u64) -> Result<Located, OutOfRange> {
    partition.read(|replica| {
        let stream = replica.state();
        let batches = stream.locate(offset, bytes_max)?;
        let (start, end) = (stream.start_offset(), stream.end_offset());
        let (compacted_to, sealed) = (stream.compacted_to(), stream.is_sealed());
        Ok(Located { batches, start, end, compacted_to, sealed })
    })
}

/// The batch as a reader gets it: the fields outside its CRC are written into a copy of the header.
fn stamped(batch: &Bytes, base: Offset, leader_epoch: Term) -> Result<Bytes, WeirError> {
    let (header, rest) = restamp(batch, base, leader_epoch)
        .map_err(|e| WeirError::new(ErrorKind::Corrupt, "stored-batch-damaged", e.to_string()))?;
    let mut whole = BytesMut::with_capacity(header.len() + rest.len());
    whole.extend_from_slice(&header);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

fn out_of_range(error: OutOfRange) -> WeirError {
    WeirError::new(error.kind(), error.code(), error.to_string())
}

fn stopping() -> WeirError {
    WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping").after_ms(100)
}

fn bounds(stream: &Stream, time: Option<WallClock>) -> Offsets {
    Offsets {
        start: stream.start_offset(),
        end: stream.end_offset(),
        at_time: time.map(|time| stream.offset_for_time(time)),
        outbox_batches: stream.outbox().len() as u64,
    }
}

/// How long a long poll may last.
pub fn poll_deadline(wait_ms: u64) -> Instant {
    Instant::now() + Duration::from_millis(wait_ms.min(weir_types::limits::POLL_MS_MAX))
}

#[cfg(test)]
mod tests {
    use weir_types::limits::POLL_MS_MAX;

    use super::*;

    #[test]
    fn a_long_poll_lasts_as_long_as_was_asked_and_no_longer_than_it_may() {
        for (asked, lasts) in [(0, 0), (POLL_MS_MAX, POLL_MS_MAX), (u64::MAX, POLL_MS_MAX)] {
            let (before, deadline, after) = (Instant::now(), poll_deadline(asked), Instant::now());
            let lasts = Duration::from_millis(lasts);
            assert!((before + lasts..=after + lasts).contains(&deadline), "{asked} ms");
        }
    }
}
