//! Relocation: when few messages are left of a queue's log, their bodies are written anew at its end.
//!
//! The log loses entries from its front only, so one message that is parked, delayed or leased for long would keep on the
//! disk all that came in after it. The leader of a partition looks now and then how much of its log is alive. When it is little,
//! it reads the bodies that are left and proposes them again (`Relocate`); the messages point there from then on, and the
//! entries where they lay can go. Each step stands alone: nothing is kept here that the next leader would miss.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::{debug, info};
use weir_consensus::ReadError;
use weir_metadata::Feature;
use weir_queue::{Bodies, Command, MessageRun, Queue, Relocate, RelocatedBatch, Reply};
use weir_types::batch::{BatchBuilder, BatchHeader, Codec};
use weir_types::limits::BATCH_RECORDS_MAX;
use weir_types::{ErrorKind, GroupId, LogIndex, MessageId, WeirError};

use crate::api::bodies::{BatchReader, damaged, read_error};
use crate::broker::Broker;
use crate::links::Wakes;
use crate::partition::Partition;
use crate::replica::{State as _, unexpected};
use crate::rest::Rest;
use crate::rewriting::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, built, copy, for_each_record, pace};

/// Rows of messages that one step looks at.
const STEP_ROWS: usize = 1_024;
/// One step writes so much, or one row's bodies.
const STEP_BYTES: usize = 1 << 20;
/// Between two looks at a partition in which something happens.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Of so many parts of the log the newest is left as it is: most of it may be acked soon.
const LEFT: u64 = 4;

/// Keeps the log of one queue partition small while this node leads it; ends when its replica is closed.
pub(crate) async fn run(broker: Broker, group: GroupId, mut wakes: Wakes) {
    let mut rest = Rest::default();
    let mut not_before = Instant::now();
    loop {
        let mut again = None;
        if wakes.leads() && rest.until().is_none() {
            if not_before > Instant::now() {
                again = Some(not_before);
            } else if broker.allows(Feature::Relocation) {
                not_before = Instant::now() + LOOK_AGAIN;
                match run_if_due(&broker, group).await {
                    Ok(()) => rest.succeeded(),
                    Err(error) => {
                        debug!(%group, %error, "relocation has to wait");
                        rest.failed(&broker.inner().runtime);
                    }
                }
            }
        }
        if wakes.next(again.or_else(|| rest.until())).await.is_none() {
            return;
        }
    }
}

async fn run_if_due(broker: &Broker, group: GroupId) -> Result<(), WeirError> {
    let partition = broker.queue(group)?;
    let Some((first, bytes)) = partition.read(|replica| replica.state().bodies()) else { return Ok(()) };
    if partition.group().is_sparse(first, bytes).await.map_err(|error| read_error(&error))? {
        // Large and rare: every idle partition would keep the room for it.
        Box::pin(relocate(broker, group, &partition, first)).await?;
    }
    Ok(())
}

/// Writes anew what lies in all but the newest entries from `first` on.
async fn relocate(
    broker: &Broker,
    group: GroupId,
    partition: &Partition<Queue>,
    first: LogIndex,
) -> Result<(), WeirError> {
    // One at a time on a node.
    let turn = broker.inner().compactions.acquire().await;
    let _turn =
        turn.map_err(|_| WeirError::new(ErrorKind::Retry, "node-stopping", "the node is stopping"))?;
    let last = *partition.applied().borrow();
    let horizon = LogIndex(last.0 - last.0.saturating_sub(first.0) / LEFT);
    let mut next = Some(MessageId(0));
    let (mut read, mut messages) = (0, 0);
    while let Some(from) = next {
        let begun = Instant::now();
        let (bodies, after) =
            partition.read(|replica| replica.state().bodies_before(horizon, from, STEP_ROWS));
        let step = Step::of(partition, &bodies).await?;
        next = bodies.get(step.rows).map(|left| left.first).or(after);
        read += step.read;
        let bytes = step.read;
        messages += step.propose(partition).await?;
        pace(begun, bytes).await;
    }
    info!(%group, read, messages, "bodies of a sparse log written anew");
    Ok(())
}

/// What one command takes along.
#[derive(Default)]
struct Step {
    /// Rows that were dealt with.
    rows: usize,
    /// Bytes of the batches that were read.
    read: u64,
    gathered: BatchBuilder,
    codec: Codec,
    /// Whose records are gathered.
    runs: Vec<MessageRun>,
    batches: Vec<RelocatedBatch>,
    bodies: BytesMut,
}

impl Step {
    async fn of(partition: &Partition<Queue>, rows: &[Bodies]) -> Result<Self, WeirError> {
        let mut step = Self::default();
        let mut reader = BatchReader::new(partition.group());
        for row in rows {
            if step.bodies.len() + step.gathered.bytes() >= STEP_BYTES {
                break;
            }
            step.rows += 1;
            match reader.read(row.pointer).await {
                Ok(batch) => step.add(row, &batch)?,
                // Acked meanwhile.
                Err(ReadError::Gone) => {}
                Err(error) => return Err(read_error(&error)),
            }
        }
        step.flush()?;
        Ok(step)
    }

    /// The bodies of a row stay together, since it has one pointer.
    fn add(&mut self, row: &Bodies, batch: &Bytes) -> Result<(), WeirError> {
        self.read += batch.len() as u64;
        let run = MessageRun { first: row.first, count: row.count };
        let header = BatchHeader::parse(batch).map_err(damaged)?;
        if row.count == header.last_offset_delta + 1 {
            self.flush()?;
            self.write(batch, vec![run]);
            return Ok(());
        }
        let records = row.record..row.record + row.count;
        let mut bytes = 0;
        for_each_record(batch, |number, record, _| {
            bytes += if records.contains(&number) { record.bytes() } else { 0 };
            Ok(())
        })?;
        let is_full = self.gathered.bytes() >= BATCH_BYTES_MIN
            || self.gathered.bytes() + bytes > BATCH_BYTES_MAX
            || self.gathered.count() + row.count > BATCH_RECORDS_MAX;
        if is_full || self.codec != header.codec {
            self.flush()?;
        }
        self.codec = header.codec;
        self.runs.push(run);
        for_each_record(batch, |number, record, timestamp_ms| {
            if records.contains(&number) { copy(&mut self.gathered, record, timestamp_ms) } else { Ok(()) }
        })
    }

    /// Writes the records that are gathered.
    fn flush(&mut self) -> Result<(), WeirError> {
        let gathered = std::mem::take(&mut self.gathered);
        if !gathered.is_empty() {
            let runs = std::mem::take(&mut self.runs);
            self.write(&built(&gathered, self.codec)?, runs);
        }
        Ok(())
    }

    fn write(&mut self, batch: &Bytes, runs: Vec<MessageRun>) {
        let (position, length) = (self.bodies.len() as u32, batch.len() as u32);
        self.batches.push(RelocatedBatch { position, length, runs });
        self.bodies.extend_from_slice(batch);
    }

    /// Answers how many messages point to their new bodies.
    async fn propose(self, partition: &Partition<Queue>) -> Result<u64, WeirError> {
        if self.batches.is_empty() {
            return Ok(0);
        }
        let written = self.bodies.len() as u64;
        let command = Command::Relocate(Relocate { batches: self.batches });
        let (_, answer) = partition.admit(command, self.bodies.freeze()).await?.answer().await?;
        match answer.map_err(|rejection| Queue::error(&rejection))? {
            Reply::Relocated { messages } => {
                metrics::counter!("weir_relocated_messages_total").increment(messages);
                metrics::counter!("weir_relocated_bytes_total").increment(written);
                Ok(messages)
            }
            other => Err(unexpected(&other)),
        }
    }
}
