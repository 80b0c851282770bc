//! Readers of the stream: one that follows all along, and one that reads everything once more at the end.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op};
use weir_types::{BatchView, ErrorKind, GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::atlas::Atlas;
use super::produce::{unexpected, value_of};
use super::{GROUP, Journal, STREAM};
use crate::recorder::End;

/// Reads from the beginning on, all along.
const FOLLOWER: Reader = Reader { consumer: Consumer(100), epoch: None, wait_ms: 1_000 };
/// The same of all partitions, one after the other.
const FOLLOWER_OF_LINES: Reader = Reader { wait_ms: 50, ..FOLLOWER };
/// Between two rounds of it.
const PAUSE: Duration = Duration::from_millis(50);
/// Reads everything once more, when all is over.
const LAST: Reader = Reader { consumer: Consumer(101), epoch: None, wait_ms: 0 };

/// Reads from the beginning until everything is drained.
pub(super) async fn follow(
    client: Client,
    journal: Journal,
    partition: (u32, GroupId),
    drained: CancellationToken,
) -> Result<(), WeirError> {
    let mut next = Offset(0);
    while !drained.is_cancelled() {
        next = FOLLOWER.fetch(&client, &journal, partition, next).await?.next;
    }
    Ok(())
}

/// Reads from the beginning until nothing more comes: what is not there then is lost.
pub(super) async fn to_the_end(
    client: &Client,
    journal: &Journal,
    partition: (u32, GroupId),
) -> Result<(), WeirError> {
    let mut from = Offset(0);
    loop {
        let Chunk { next, end, .. } = LAST.fetch(client, journal, partition, from).await?;
        if next == from && next >= end {
            return Ok(());
        }
        from = next;
    }
}

/// Reads all partitions of the stream until everything is drained: each only when those whose keys it took over were read to
/// their ends.
pub(super) async fn follow_lines(
    client: Client,
    journal: Journal,
    atlas: Atlas,
    drained: CancellationToken,
) -> Result<(), WeirError> {
    let mut places: BTreeMap<GroupId, (Offset, bool)> = BTreeMap::new();
    while !drained.is_cancelled() {
        let partitions = atlas.all(STREAM);
        for partition in &partitions {
            let is_done = |group: &GroupId| places.get(group).is_some_and(|(_, done)| *done);
            let waits = partition.parents.iter().any(|parent| !is_done(parent));
            if waits || is_done(&partition.group) {
                continue;
            }
            let (next, _) = places.get(&partition.group).copied().unwrap_or_default();
            let chunk = FOLLOWER_OF_LINES.fetch(&client, &journal, partition.place(), next).await?;
            places.insert(partition.group, (chunk.next, chunk.is_over()));
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Where the follower is.
pub(super) fn next_of(journal: &Journal, index: u32) -> u64 {
    journal.recorder.next_offset(FOLLOWER.consumer, index)
}

/// What a fetch found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// The offset that follows what was read.
    pub(super) next: Offset,
    /// The end of the partition.
    pub(super) end: Offset,
    /// That is its end for good.
    pub(super) sealed: bool,
}

impl Chunk {
    /// Nothing comes any more.
    pub(super) fn is_over(self) -> bool {
        self.sealed && self.next >= self.end
    }
}

/// Who reads, and how.
#[derive(Clone, Copy)]
pub(super) struct Reader {
    pub(super) consumer: Consumer,
    /// Under which epoch it owns the partition in the group, if it does.
    pub(super) epoch: Option<u64>,
    /// How long a fetch waits for a record.
    pub(super) wait_ms: u64,
}

impl Reader {
    /// Fetches once.
    pub(super) async fn fetch(
        self,
        client: &Client,
        journal: &Journal,
        (index, group): (u32, GroupId),
        asked: Offset,
    ) -> Result<Chunk, WeirError> {
        let question = Question::Fetch { group, offset: asked, wait_ms: self.wait_ms };
        let begun = journal.begin();
        let answer = client.ask(Some(group), &question, Duration::from_millis(self.wait_ms)).await?;
        let Answer::Fetched { batches, end, sealed } = answer else { return Err(unexpected(&answer)) };
        let (mut next, mut read) = (asked, Vec::new());
        for batch in batches {
            for (offset, body) in records(&batch)? {
                if offset < next {
                    continue;
                }
                read.push((offset.0, value_of(&body)));
                next = offset.next();
            }
        }
        let op = Op::Poll {
            topic: STREAM.to_owned(),
            consumer: self.consumer,
            group: self.epoch.map(|epoch| (GROUP.to_owned(), epoch)),
            partition: index,
            offset: asked.0,
            records: read,
        };
        journal.end(begun, op, End::Ok);
        Ok(Chunk { next, end, sealed })
    }
}

/// The records of a batch as a reader gets it, with their offsets.
fn records(batch: &[u8]) -> Result<Vec<(Offset, Vec<u8>)>, WeirError> {
    let view = BatchView::verify_stored(batch).map_err(damaged)?;
    let Some(base) = batch.first_chunk::<8>() else { return Err(damaged("a batch without a base offset")) };
    let base = Offset(u64::from_be_bytes(*base));
    view.records(view.section())
        .map(|record| {
            let record = record.map_err(damaged)?;
            Ok((base + u64::from(record.offset_delta), record.value.unwrap_or_default().to_vec()))
        })
        .collect()
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over")]
fn damaged(error: impl ToString) -> WeirError {
    WeirError::new(ErrorKind::Corrupt, "batch-damaged", error.to_string())
}
