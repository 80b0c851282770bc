//! A record batch comes in.

use std::collections::BTreeMap;

use weir_types::limits::{BATCH_RECORDS_MAX, DELAY_MS_MAX};
use weir_types::mutants::{self, Mutant};
use weir_types::{At, MessageId, Pointer, QueuePolicy, WallClock};

use crate::command::{Attributes, DedupId, Enqueue, Run, TenantRun};
use crate::limits::{DEDUP_IDS_REMEMBERED_MAX, PRIORITY_MAX};
use crate::output::{Duplicate, Rejection, Reply};
use crate::producers::RememberedBatch;
use crate::queue::{Header, Queue};
use crate::ready::Tenant;
use crate::span::Span;

/// Whether a blocked key refuses a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// It comes from a producer, who can keep it.
    Guarded,
    /// It was let in before, elsewhere or here: to refuse it would hold up other keys behind it.
    Open,
}

impl Queue {
    /// What a producer sends.
    pub(crate) fn enqueue(
        &mut self,
        at: At,
        batch: &Enqueue,
        tenants: &[TenantRun],
    ) -> Result<Reply, Rejection> {
        self.take_in(at, batch, tenants, Door::Guarded)
    }

    /// A batch that was let in is stored whole, another one not at all.
    pub(super) fn take_in(
        &mut self,
        at: At,
        batch: &Enqueue,
        tenants: &[TenantRun],
        door: Door,
    ) -> Result<Reply, Rejection> {
        check_shape(at, batch)?;
        check_tenants(batch, tenants)?;
        if let Some(earlier) = self.admitted(batch)? {
            let (first, count) = (earlier.first, earlier.count);
            return Ok(Reply::Enqueued { first, count, duplicates: Vec::new(), repeated: true });
        }
        let bytes_each = bytes_each(batch)?;
        let first = self.header.get().next_message;
        let duplicates = self.find_duplicates(at, first, batch);
        self.check_room(u64::from(batch.count) - duplicates.len() as u64, bytes_each)?;
        self.check_dedup_room(batch.dedup.len() - duplicates.len())?;

        let pieces = pieces(at, self.policy.get(), batch, tenants);
        let pointer =
            Pointer { term: at.term, index: at.index, position: batch.position, length: batch.length };
        let like = Alike { pointer, bytes_each, arrived: at.wall_clock };
        let spans = cut(first, &pieces, &duplicates, like);
        if door == Door::Guarded {
            self.check_keys(&spans)?;
        }
        for (last, span) in spans {
            self.backlog.add_span(last, span);
        }
        self.remember(at, first, batch, &duplicates);
        let next_message = MessageId(first.0 + u64::from(batch.count));
        self.header.set(Header { next_message, ..*self.header.get() });
        Ok(Reply::Enqueued { first, count: batch.count, duplicates, repeated: false })
    }

    /// The earlier copy of a batch that is known. All others are new to a sealed partition, even one that comes out of
    /// sequence: what was before it is in a child by now, or goes there.
    fn admitted(&self, batch: &Enqueue) -> Result<Option<RememberedBatch>, Rejection> {
        let known = batch.producer.map_or(Ok(None), |producer| self.producers.admit(producer, batch.count));
        match known {
            Ok(None) | Err(Rejection::OutOfSequence { .. }) => self.check_open().and(known),
            Ok(Some(_)) | Err(_) => known,
        }
    }

    /// Records whose dedup id is known from before, or from earlier in this batch.
    fn find_duplicates(&self, at: At, first: MessageId, batch: &Enqueue) -> Vec<Duplicate> {
        let mut here: BTreeMap<DedupId, MessageId> = BTreeMap::new();
        let mut duplicates = Vec::new();
        for tagged in &batch.dedup {
            let known = self.dedup.find(at.lease_clock, tagged.id).or_else(|| here.get(&tagged.id).copied());
            if let Some(original) = known {
                duplicates.push(Duplicate { record: tagged.record, original });
            } else {
                here.insert(tagged.id, MessageId(first.0 + u64::from(tagged.record)));
            }
        }
        duplicates
    }

    fn check_room(&self, fresh: u64, bytes_each: u32) -> Result<(), Rejection> {
        let (policy, counts) = (self.policy.get(), &self.backlog.index.counts);
        let (messages, bytes) = (counts.messages(), counts.bytes);
        let fits = messages + fresh <= policy.messages_max
            && bytes + fresh * u64::from(bytes_each) <= policy.bytes_max;
        if fits {
            return Ok(());
        }
        let (messages_max, bytes_max) = (policy.messages_max, policy.bytes_max);
        Err(Rejection::QueueFull { messages, messages_max, bytes, bytes_max })
    }

    /// Under `block_key` a producer is told that a key stands still, instead of piling up messages behind it.
    fn check_keys(&self, spans: &[(MessageId, Span)]) -> Result<(), Rejection> {
        let blocked = spans.iter().find_map(|(_, span)| Some((span, self.blocked_by(span.key)?)));
        blocked.map_or(Ok(()), |(span, message)| {
            Err(Rejection::KeyBlocked { key: span.key, record: span.record, message })
        })
    }

    fn check_dedup_room(&self, fresh: usize) -> Result<(), Rejection> {
        let remembered = self.dedup.len();
        if remembered + fresh <= DEDUP_IDS_REMEMBERED_MAX {
            return Ok(());
        }
        Err(Rejection::TooManyDedupIds { remembered, max: DEDUP_IDS_REMEMBERED_MAX })
    }

    fn remember(&mut self, at: At, first: MessageId, batch: &Enqueue, duplicates: &[Duplicate]) {
        if let Some(producer) = batch.producer {
            self.producers.remember(at.lease_clock, producer, batch.count, first);
        }
        for tagged in &batch.dedup {
            let dropped = duplicates.binary_search_by_key(&tagged.record, |duplicate| duplicate.record);
            if dropped.is_err() {
                let message = MessageId(first.0 + u64::from(tagged.record));
                self.dedup.remember(at.lease_clock, tagged.id, message);
            }
        }
    }
}

/// The door refuses such batches; a replica must survive one all the same.
fn check_shape(at: At, batch: &Enqueue) -> Result<(), Rejection> {
    if batch.count == 0 || batch.count > BATCH_RECORDS_MAX {
        return Err(Rejection::Invalid("a batch holds 1 to 65,536 records"));
    }
    let in_runs: u64 = batch.runs.iter().map(|run| u64::from(run.count)).sum();
    if !batch.runs.is_empty() && in_runs != u64::from(batch.count) {
        return Err(Rejection::Invalid("runs do not add up to the records of the batch"));
    }
    let latest = at.wall_clock + DELAY_MS_MAX;
    for Run { count, attributes } in &batch.runs {
        if *count == 0 {
            return Err(Rejection::Invalid("a run is empty"));
        }
        if attributes.priority > PRIORITY_MAX {
            return Err(Rejection::Invalid("priorities go from 0 to 9"));
        }
        if attributes.deliver_at.is_some_and(|time| time > latest) {
            return Err(Rejection::Invalid("a delay is longer than a year"));
        }
    }
    let rising = batch.dedup.is_sorted_by(|a, b| a.record < b.record);
    if !rising || batch.dedup.last().is_some_and(|last| last.record >= batch.count) {
        return Err(Rejection::Invalid("dedup records do not rise within the batch"));
    }
    Ok(())
}

fn check_tenants(batch: &Enqueue, tenants: &[TenantRun]) -> Result<(), Rejection> {
    let in_runs: u64 = tenants.iter().map(|run| u64::from(run.count)).sum();
    let covers = in_runs == u64::from(batch.count) && tenants.iter().all(|run| run.count > 0);
    if !tenants.is_empty() && !covers {
        return Err(Rejection::Invalid("tenants do not add up to the records of the batch"));
    }
    Ok(())
}

fn bytes_each(batch: &Enqueue) -> Result<u32, Rejection> {
    u32::try_from(batch.bytes.div_ceil(u64::from(batch.count)))
        .map_err(|_| Rejection::Invalid("records of 4 GiB and more"))
}

/// What all spans of a batch share.
#[derive(Clone, Copy)]
struct Alike {
    pointer: Pointer,
    bytes_each: u32,
    arrived: WallClock,
}

/// Consecutive records that are alike to this queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    count: u32,
    attributes: Attributes,
    tenant: Tenant,
}

/// The batch as spans: cut where pieces end and around duplicates.
fn cut(first: MessageId, pieces: &[Piece], duplicates: &[Duplicate], alike: Alike) -> Vec<(MessageId, Span)> {
    let mut spans = Vec::new();
    let mut dropped = duplicates.iter().map(|duplicate| duplicate.record).peekable();
    let mut record = 0;
    for Piece { count, attributes, tenant } in pieces {
        let end = record + count;
        while record < end {
            let stop = dropped.peek().copied().filter(|stop| *stop < end);
            let until = stop.unwrap_or(end);
            if record < until {
                let span = Span {
                    count: until - record,
                    record,
                    pointer: alike.pointer,
                    bytes_each: alike.bytes_each,
                    arrived: alike.arrived,
                    key: attributes.key,
                    priority: attributes.priority,
                    expires_at: attributes.expires_at,
                    deliver_at: attributes.deliver_at,
                    tenant: *tenant,
                };
                spans.push((MessageId(first.0 + u64::from(until) - 1), span));
            }
            record = until;
            if stop.is_some() {
                dropped.next();
                record += 1;
            }
        }
    }
    assert!(dropped.peek().is_none(), "every duplicate was cut out");
    spans
}

/// The batch as this queue sees it, neighbours that became equal merged: the keys of a plain queue serve
/// routing alone and must not cost a row each, nor must tenants in a queue that they do not share.
fn pieces(at: At, policy: &QueuePolicy, batch: &Enqueue, tenants: &[TenantRun]) -> Vec<Piece> {
    let plain = [Run { count: batch.count, attributes: Attributes::default() }];
    let runs = if batch.runs.is_empty() { &plain[..] } else { &batch.runs };
    let nobody = [TenantRun { count: batch.count, tenant: None }];
    let is_shared = policy.fair_by.is_some() && !tenants.is_empty();
    let mut owners = if is_shared { tenants } else { &nobody[..] }.iter().copied();
    let mut owner = TenantRun { count: 0, tenant: None };
    let mut pieces: Vec<Piece> = Vec::new();
    for run in runs {
        let mut attributes = seen_by(at, policy, run.attributes);
        if let Some(first) = pieces.first().filter(|_| mutants::on(Mutant::M44)) {
            attributes.expires_at = first.attributes.expires_at;
        }
        let mut left = run.count;
        while left > 0 {
            if owner.count == 0 {
                owner = owners.next().expect("tenants and runs add up to the batch");
            }
            let count = left.min(owner.count);
            (left, owner.count) = (left - count, owner.count - count);
            match pieces.last_mut() {
                Some(last) if (last.attributes, last.tenant) == (attributes, owner.tenant) => {
                    last.count += count;
                }
                _ => pieces.push(Piece { count, attributes, tenant: owner.tenant }),
            }
        }
    }
    pieces
}

fn seen_by(at: At, policy: &QueuePolicy, given: Attributes) -> Attributes {
    let ttl: Option<WallClock> = policy.ttl_ms.map(|ms| at.wall_clock + ms);
    Attributes {
        key: given.key.filter(|_| policy.fifo),
        priority: if policy.fifo { 0 } else { given.priority },
        deliver_at: given.deliver_at.filter(|time| *time > at.wall_clock && !mutants::on(Mutant::M39)),
        expires_at: given.expires_at.into_iter().chain(ttl).filter(|_| !mutants::on(Mutant::M43)).min(),
    }
}
