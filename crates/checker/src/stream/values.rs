//! Payloads that were sent to one stream, and where each of them is.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use super::ops::{OpId, Ops};
use crate::{Outcome, Value};

/// A payload. Four bytes, an absent one included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ValueId(NonZeroU32);

/// Offset of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) partition: u32,
    pub(super) offset: u64,
}

/// What is known of one payload. There are millions: fields are small, and `place` counts only with `placed`.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) value: Value,
    /// The first send that happened, or may have.
    pub(super) sent: Option<OpId>,
    /// A send that did not happen.
    pub(super) refused: Option<OpId>,
    /// The first poll that brought it.
    pub(super) polled: Option<OpId>,
    /// What first told where it is.
    pub(super) placed: Option<OpId>,
    partition: u32,
    offset: u64,
    batch: Option<NonZeroU32>,
    index: u32,
    /// Every send of it was acknowledged.
    pub(super) certain: bool,
}

impl Entry {
    fn new(value: Value) -> Self {
        Self {
            value,
            sent: None,
            refused: None,
            polled: None,
            placed: None,
            partition: 0,
            offset: 0,
            batch: None,
            index: 0,
            certain: true,
        }
    }

    /// Where it was first seen.
    pub(super) fn place(&self) -> Option<Place> {
        self.placed.map(|_| Place { partition: self.partition, offset: self.offset })
    }
}

/// Records that were sent together, all or none, in order.
pub(super) struct Batch {
    pub(super) values: Box<[ValueId]>,
    /// The send.
    pub(super) op: OpId,
}

/// Payloads of one page of a producer's sequence.
const PAGE: usize = 64;

/// All payloads of a stream.
#[derive(Default)]
pub(super) struct Values {
    entries: Vec<Entry>,
    ids: BTreeMap<(u32, u64), Box<[Option<ValueId>; PAGE]>>,
    batches: Vec<Batch>,
}

impl Values {
    /// The payload's number, new or known.
    pub(super) fn id(&mut self, value: Value) -> ValueId {
        let page = (value.producer, value.sequence / PAGE as u64);
        let page = self.ids.entry(page).or_insert_with(|| Box::new([None; PAGE]));
        let id = &mut page[(value.sequence % PAGE as u64) as usize];
        *id.get_or_insert_with(|| {
            self.entries.push(Entry::new(value));
            ValueId(number(self.entries.len()))
        })
    }

    pub(super) fn of(&self, id: ValueId) -> &Entry {
        &self.entries[id.0.get() as usize - 1]
    }

    pub(super) fn of_mut(&mut self, id: ValueId) -> &mut Entry {
        &mut self.entries[id.0.get() as usize - 1]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Takes note of a send. Returns whether none of its payloads was sent before.
    pub(super) fn send(&mut self, ids: &[ValueId], op: OpId, ops: &Ops) -> bool {
        let seen = ops.of(op);
        let mut first = true;
        for id in ids {
            let entry = self.of_mut(*id);
            first &= entry.sent.is_none() && entry.refused.is_none();
            entry.certain &= seen.outcome == Outcome::Ok;
            if seen.outcome == Outcome::Fail {
                entry.refused.get_or_insert(op);
            } else if entry.sent.is_none_or(|other| seen.from < ops.of(other).from) {
                entry.sent = Some(op);
            }
        }
        first
    }

    /// Remembers records that go together, at their first send.
    pub(super) fn bind(&mut self, ids: &[ValueId], op: OpId) {
        if ids.len() < 2 || ids.iter().any(|id| self.of(*id).batch.is_some()) {
            return;
        }
        self.batches.push(Batch { values: ids.into(), op });
        let batch = Some(number(self.batches.len()));
        for (index, id) in (0..).zip(ids) {
            let entry = self.of_mut(*id);
            (entry.batch, entry.index) = (batch, index);
        }
    }

    pub(super) fn batches(&self) -> &[Batch] {
        &self.batches
    }

    /// Where the payload is, unless that was known already: then the place that was known.
    pub(super) fn put(&mut self, id: ValueId, place: Place, op: OpId) -> Option<(Place, OpId)> {
        let entry = self.of_mut(id);
        if let (Some(known), Some(by)) = (entry.place(), entry.placed) {
            return Some((known, by));
        }
        (entry.partition, entry.offset, entry.placed) = (place.partition, place.offset, Some(op));
        None
    }

    /// First offset of the batch of the record at `offset`, and the offset after its last; the record alone when it
    /// was sent alone, or is not where it was first seen.
    pub(super) fn extent(&self, id: ValueId, offset: u64) -> (u64, u64) {
        let entry = self.of(id);
        let alone = (offset, offset + 1);
        let Some(batch) = entry.batch.filter(|_| entry.placed.is_some() && entry.offset == offset) else {
            return alone;
        };
        let length = self.batches[batch.get() as usize - 1].values.len() as u64;
        offset.checked_sub(u64::from(entry.index)).map_or(alone, |first| (first, first + length))
    }
}

fn number(count: usize) -> NonZeroU32 {
    u32::try_from(count).ok().and_then(NonZeroU32::new).expect("a history has fewer than 2^32 payloads")
}
