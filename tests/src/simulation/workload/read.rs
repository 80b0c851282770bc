//! Readers of the stream: one that follows all along, and one that reads everything once more at the end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op};
use weir_types::{BatchView, ErrorKind, GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::{unexpected, value_of};
use super::{GROUP, Journal, STREAM};
use crate::recorder::End;

/// Reads from the beginning on, all along.
const FOLLOWER: Reader = Reader { consumer: Consumer(100), epoch: None, wait_ms: 1_000 };
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
        (next, _) = FOLLOWER.fetch(&client, &journal, partition, next).await?;
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
        let (next, end) = LAST.fetch(client, journal, partition, from).await?;
        if next == from && next >= end {
            return Ok(());
        }
        from = next;
    }
}

/// Where the follower is.
pub(super) fn next_of(journal: &Journal, index: u32) -> u64 {
    journal.recorder.next_offset(FOLLOWER.consumer, index)
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
    /// Fetches once; the offset that follows what was read, and the end of the partition.
    pub(super) async fn fetch(
        self,
        client: &Client,
        journal: &Journal,
        (index, group): (u32, GroupId),
        asked: Offset,
    ) -> Result<(Offset, Offset), WeirError> {
        let question = Question::Fetch { group, offset: asked, wait_ms: self.wait_ms };
        let begun = journal.begin();
        let answer = client.ask(Some(group), &question, Duration::from_millis(self.wait_ms)).await?;
        let Answer::Fetched { batches, end } = answer else { return Err(unexpected(&answer)) };
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
        Ok((next, end))
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
