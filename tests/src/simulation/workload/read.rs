//! Readers of the stream: one that follows all along, and one that reads everything once more at the end.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op};
use weir_types::{BatchView, ErrorKind, GroupId, Offset, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::produce::{unexpected, value_of};
use super::{Journal, STREAM};
use crate::recorder::End;

/// Reads from the beginning on, all along.
const FOLLOWER: Consumer = Consumer(100);
/// Reads everything once more, when all is over.
const LAST: Consumer = Consumer(101);
/// How long a fetch waits for a record.
const WAIT_MS: u64 = 1_000;

/// Reads from the beginning until everything is drained.
pub(super) async fn follow(
    client: Client,
    journal: Journal,
    partition: (u32, GroupId),
    drained: CancellationToken,
) -> Result<(), WeirError> {
    let mut next = Offset(0);
    while !drained.is_cancelled() {
        (next, _) = fetch(&client, &journal, partition, FOLLOWER, next).await?;
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
        let (next, end) = fetch(client, journal, partition, LAST, from).await?;
        if next == from && next >= end {
            return Ok(());
        }
        from = next;
    }
}

/// Where the follower is.
pub(super) fn next_of(journal: &Journal, index: u32) -> u64 {
    journal.recorder.next_offset(FOLLOWER, index)
}

/// Fetches once; the offset that follows what was read, and the end of the partition.
async fn fetch(
    client: &Client,
    journal: &Journal,
    (index, group): (u32, GroupId),
    consumer: Consumer,
    asked: Offset,
) -> Result<(Offset, Offset), WeirError> {
    // Nothing is to come for the last reader.
    let wait_ms = if consumer == LAST { 0 } else { WAIT_MS };
    let question = Question::Fetch { group, offset: asked, wait_ms };
    let begun = journal.begin();
    let answer = client.ask(Some(group), &question, Duration::from_millis(wait_ms)).await?;
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
        consumer,
        group: None,
        partition: index,
        offset: asked.0,
        records: read,
    };
    journal.end(begun, op, End::Ok);
    Ok((next, end))
}

/// The records of a batch as a reader gets it, with their offsets.
fn records(batch: &[u8]) -> Result<Vec<(Offset, Vec<u8>)>, WeirError> {
    let view = BatchView::verify(batch).map_err(damaged)?;
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
