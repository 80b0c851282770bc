//! Compaction: of the records with one key, a compacted stream keeps the last.
//!
//! The leader of a partition does it, one pass after the other: it reads what was appended since the last pass, to learn
//! where the last record of each key is, and then everything from the start on, entry by entry. What is left of some
//! entries it writes into new batches and proposes those in place of the old ones (`Rewrite`). The entries themselves can
//! go when no batch points into them any more. Nothing is kept here that the next leader would miss: how far the pass is,
//! and where it ends, the machine remembers.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::{debug, info};
use weir_stream::{BatchAt, Command, PassAhead, Rewrite, RewrittenBatch, Stream, ToRewrite};
use weir_types::batch::{BatchBuilder, BatchHeader, Codec, RecordView};
use weir_types::{ErrorKind, GroupId, Offset, WeirError};

use crate::api::bodies::{BatchReader, damaged, read_error};
use crate::broker::Broker;
use crate::links::Wakes;
use crate::partition::Partition;
use crate::replica::State as _;
use crate::rest::Rest;
use crate::rewriting::{BATCH_BYTES_MAX, BATCH_BYTES_MIN, built, copy, for_each_record, pace};

/// What has to be appended before a pass is worth its while.
const DIRTY_BYTES_MIN: u64 = 1 << 20;
/// Keys that one pass remembers, in bytes with what each costs: what was appended behind them is left to the next.
const KEYS_BYTES_MAX: usize = 64 << 20;
/// What a key costs in memory beside its bytes.
const KEY_COST: usize = 64;
/// One step rewrites so much, or one entry.
const STEP_BYTES: u64 = 1 << 20;
/// One step rewrites so many batches, or one entry.
const STEP_BATCHES: usize = 1_024;
/// When a pass may pay that did not pay when it was looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);

/// The last offset of each key.
type Latest = BTreeMap<Box<[u8]>, Offset>;

/// Compacts one stream partition while this node leads it; ends when its replica is closed.
pub(crate) async fn run(broker: Broker, group: GroupId, mut wakes: Wakes) {
    let mut rest = Rest::default();
    let mut not_before = Instant::now();
    loop {
        let mut again = None;
        if wakes.leads() && rest.until().is_none() {
            match run_if_due(&broker, group, &mut not_before).await {
                Ok(next) => {
                    rest.succeeded();
                    again = next;
                }
                Err(error) => {
                    debug!(%group, %error, "compaction has to wait");
                    rest.failed(&broker.inner().runtime);
                }
            }
        }
        if wakes.next(again.or_else(|| rest.until())).await.is_none() {
            return;
        }
    }
}

/// Runs a pass if one is worth its while; when to look again, if nothing happens.
async fn run_if_due(
    broker: &Broker,
    group: GroupId,
    not_before: &mut Instant,
) -> Result<Option<Instant>, WeirError> {
    let partition = broker.stream(group)?;
    let now = partition.group().wall_clock();
    let (policy, may_pay, due_ms) = partition.read(|replica| {
        let stream = replica.state();
        let may_pay = stream.pass_runs() || stream.dirty_bytes() >= DIRTY_BYTES_MIN;
        (stream.policy().compaction, may_pay, stream.tombstones_due().map(|due| due - now))
    });
    let due = due_ms.map(|ms| Instant::now() + Duration::from_millis(ms));
    if !policy.enabled || !(may_pay || due_ms == Some(0)) {
        return Ok(due.filter(|_| policy.enabled));
    }
    if *not_before > Instant::now() {
        return Ok(Some(*not_before));
    }
    let ahead = partition.read(|replica| replica.state().pass_ahead(now, DIRTY_BYTES_MIN));
    let steps = match ahead {
        // Large and rare: every idle partition would keep the room for it.
        Some(_) => Box::pin(run_pass(broker, group, &partition)).await?,
        None => 0,
    };
    if steps > 0 {
        return Ok(Some(Instant::now()));
    }
    *not_before = Instant::now() + LOOK_AGAIN;
    // What changes without an append, changes with time.
    let later = (policy.after_ms > 0 || due_ms == Some(0)).then_some(*not_before);
    Ok([later, due.filter(|_| due_ms != Some(0))].into_iter().flatten().min())
}

/// One pass, or what is left of it; how many steps it took.
async fn run_pass(broker: &Broker, group: GroupId, partition: &Partition<Stream>) -> Result<u64, WeirError> {
    // One at a time on a node: each remembers many keys.
    let turn = broker.inner().compactions.acquire().await;
    let _turn =
        turn.map_err(|_| WeirError::new(ErrorKind::Retry, "node-stopping", "the node is stopping"))?;
    // Whether another leader's steps are still to come is known only now.
    partition.barrier().await?;
    let now = partition.group().wall_clock();
    let ahead = partition.read(|replica| replica.state().pass_ahead(now, DIRTY_BYTES_MIN));
    let Some(ahead) = ahead else { return Ok(0) };
    let (latest, horizon) = latest_of_keys(partition, ahead).await?;
    let mut totals = Totals::default();
    loop {
        let next = partition
            .read(|replica| replica.state().to_rewrite(now, horizon, STEP_BATCHES, STEP_BYTES))
            .filter(|next| (next.pass, next.horizon) == (ahead.pass, horizon));
        let Some(next) = next else { break };
        let begun = Instant::now();
        let bytes = step(partition, &next, &latest, &mut totals).await?;
        pace(begun, bytes).await;
    }
    if totals.steps > 0 {
        let Totals { steps, read, written, .. } = totals;
        info!(%group, pass = ahead.pass, steps, read, written, "compacted");
    }
    Ok(totals.steps)
}

/// What a pass has done.
#[derive(Default)]
struct Totals {
    steps: u64,
    read: u64,
    written: u64,
}

/// The last offset of each key in what is dirty, and where the pass ends: sooner than it might when there are too many keys.
async fn latest_of_keys(
    partition: &Partition<Stream>,
    ahead: PassAhead,
) -> Result<(Latest, Offset), WeirError> {
    let mut latest: Latest = Latest::new();
    let mut cost = 0;
    let mut reader = BatchReader::new(partition.group());
    let (mut next, mut last_entry) = (ahead.dirty_from, None);
    while next < ahead.horizon {
        let start = partition.read(|replica| replica.state().start_offset());
        let located = partition.read(|replica| replica.state().locate(next.max(start), STEP_BYTES));
        let located = located.map_err(|out| WeirError::new(ErrorKind::Retry, out.code(), out.to_string()))?;
        if located.is_empty() {
            // All of it has been retired.
            break;
        }
        for at in located {
            let begins_entry = last_entry.replace(at.pointer.index) != Some(at.pointer.index);
            if at.base_offset >= ahead.horizon {
                return Ok((latest, ahead.horizon));
            }
            if cost > KEYS_BYTES_MAX && begins_entry && !ahead.begun && at.base_offset > ahead.dirty_from {
                return Ok((latest, at.base_offset));
            }
            next = at.next_offset;
            let batch = reader.read(at.pointer).await.map_err(|error| read_error(&error))?;
            for_each_record(&batch, |delta, record, _| {
                let Some(key) = record.key else { return Ok(()) };
                let offset = at.base_offset + u64::from(delta);
                if let Some(known) = latest.get_mut(key) {
                    *known = offset;
                } else {
                    cost += key.len() + KEY_COST;
                    latest.insert(key.into(), offset);
                }
                Ok(())
            })?;
        }
    }
    Ok((latest, ahead.horizon))
}

/// Rewrites the next entries; how many bytes were read.
async fn step(
    partition: &Partition<Stream>,
    next: &ToRewrite,
    latest: &Latest,
    totals: &mut Totals,
) -> Result<u64, WeirError> {
    let mut reader = BatchReader::new(partition.group());
    let mut writer = Writer::new(latest, next.tombstones_below);
    let mut read = 0;
    for at in &next.batches {
        let batch = reader.read(at.pointer).await.map_err(|error| read_error(&error))?;
        read += batch.len() as u64;
        writer.add(at, &batch)?;
    }
    writer.flush()?;
    let Writer { batches, bodies, tombstones, .. } = writer;
    let written = bodies.len() as u64;
    let command = Command::Rewrite(Rewrite {
        pass: next.pass,
        start: next.start,
        from: next.from,
        to: next.to,
        horizon: next.horizon,
        tombstones_below: next.tombstones_below,
        tombstones,
        batches,
    });
    let (_, answer) = partition.admit(command, bodies.freeze()).await?.answer().await?;
    answer.map_err(|rejection| Stream::error(&rejection))?;
    metrics::counter!("weir_compaction_read_bytes_total").increment(read);
    metrics::counter!("weir_compaction_written_bytes_total").increment(written);
    totals.steps += 1;
    totals.read += read;
    totals.written += written;
    Ok(read)
}

/// Writes what is left.
struct Writer<'a> {
    latest: &'a Latest,
    tombstones_below: Offset,
    /// Records that go into one batch.
    gathered: BatchBuilder,
    codec: Codec,
    base: Offset,
    last: Offset,
    batches: Vec<RewrittenBatch>,
    bodies: BytesMut,
    tombstones: u32,
}

impl<'a> Writer<'a> {
    fn new(latest: &'a Latest, tombstones_below: Offset) -> Self {
        Self {
            latest,
            tombstones_below,
            gathered: BatchBuilder::new(),
            codec: Codec::None,
            base: Offset(0),
            last: Offset(0),
            batches: Vec::new(),
            bodies: BytesMut::new(),
            tombstones: 0,
        }
    }

    /// Whether a record stays: one without a key does, the last of its key does unless it is a tombstone that is due.
    fn keeps(&self, offset: Offset, record: &RecordView<'_>) -> bool {
        let Some(key) = record.key else { return true };
        let is_last = self.latest.get(key).is_none_or(|latest| *latest <= offset);
        is_last && !(record.value.is_none() && offset < self.tombstones_below)
    }

    fn add(&mut self, at: &BatchAt, batch: &Bytes) -> Result<(), WeirError> {
        let (mut kept, mut gone) = (0_u32, 0_u32);
        for_each_record(batch, |delta, record, _| {
            let keeps = self.keeps(at.base_offset + u64::from(delta), record);
            *(if keeps { &mut kept } else { &mut gone }) += 1;
            self.tombstones += u32::from(keeps && record.key.is_some() && record.value.is_none());
            Ok(())
        })?;
        if kept == 0 {
            return Ok(());
        }
        let header = BatchHeader::parse(batch).map_err(damaged)?;
        if gone == 0 && batch.len() >= BATCH_BYTES_MIN {
            self.flush()?;
            let last = at.base_offset + u64::from(header.last_offset_delta);
            self.write(at.base_offset, last, header.max_timestamp_ms, batch);
            return Ok(());
        }
        if header.codec != self.codec || self.gathered.bytes() >= BATCH_BYTES_MIN {
            self.flush()?;
        }
        self.codec = header.codec;
        for_each_record(batch, |delta, record, timestamp_ms| {
            let offset = at.base_offset + u64::from(delta);
            if self.keeps(offset, record) { self.gather(offset, record, timestamp_ms) } else { Ok(()) }
        })
    }

    fn gather(
        &mut self,
        offset: Offset,
        record: &RecordView<'_>,
        timestamp_ms: i64,
    ) -> Result<(), WeirError> {
        let is_far = !self.gathered.is_empty() && offset - self.base > u64::from(u32::MAX >> 2);
        if is_far || self.gathered.bytes() + record.bytes() > BATCH_BYTES_MAX {
            self.flush()?;
        }
        if self.gathered.is_empty() {
            self.base = offset;
        }
        self.gathered.skip_to((offset - self.base) as u32);
        copy(&mut self.gathered, record, timestamp_ms)?;
        self.last = offset;
        Ok(())
    }

    /// Writes the records that are gathered.
    fn flush(&mut self) -> Result<(), WeirError> {
        let gathered = std::mem::take(&mut self.gathered);
        if gathered.is_empty() {
            return Ok(());
        }
        let batch = built(&gathered, self.codec)?;
        let header = BatchHeader::parse(&batch).map_err(damaged)?;
        self.write(self.base, self.last, header.max_timestamp_ms, &batch);
        Ok(())
    }

    fn write(&mut self, base_offset: Offset, last_offset: Offset, max_timestamp_ms: i64, batch: &Bytes) {
        self.batches.push(RewrittenBatch {
            base_offset,
            last_offset,
            position: self.bodies.len() as u32,
            length: batch.len() as u32,
            max_timestamp_ms,
        });
        self.bodies.extend_from_slice(batch);
    }
}
