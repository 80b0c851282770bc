//! One partition: which record stands at which offset (S1).

use std::collections::BTreeSet;

use super::book::Book;
use super::ops::{OpId, Ops};
use super::polls::Polls;
use super::replicas::Replicas;
use super::slots::{Slot, Slots};
use super::tail::Tail;
use super::trim::Trim;
use super::values::{Place, ValueId, Values};
use super::{ACK_OFFSET_MISMATCH, CORRUPT_PAYLOAD, DUPLICATE, INCONSISTENT_OFFSET, Name};
use crate::Value;

/// Disputes of one kind that are told apart; more of them are no news.
const DISPUTES_MAX: usize = 10_000;

/// Where an observation comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// An append was told.
    Ack,
    /// A poll brought it.
    Poll,
}

/// What everything about one partition needs beside it.
pub(super) struct Around<'a> {
    pub(super) topic: &'a str,
    pub(super) partition: u32,
    pub(super) ops: &'a Ops,
    pub(super) values: &'a mut Values,
    pub(super) book: &'a mut Book,
}

impl Around<'_> {
    /// Writes down a violation.
    pub(super) fn violates(&mut self, name: Name, subject: &str, text: String, evidence: &[OpId]) {
        let subject = format!("partition {}{subject}", self.partition);
        self.book.add(name, (self.topic, subject), text, (self.ops, evidence));
    }
}

/// One partition.
#[derive(Default)]
pub(super) struct Partition {
    pub(super) slots: Slots,
    pub(super) polls: Polls,
    pub(super) tail: Tail,
    pub(super) trim: Trim,
    pub(super) replicas: Replicas,
    /// Records that an append was told are at an offset where another one was seen first.
    pub(super) displaced: Vec<(u64, ValueId, OpId)>,
    /// Records that were seen at an offset where another one was seen first.
    pub(super) disputed: BTreeSet<(u64, ValueId)>,
    doubled: BTreeSet<(ValueId, Place)>,
}

impl Partition {
    /// An append was told where its records are.
    pub(super) fn acked(&mut self, ids: &[ValueId], first: u64, op: OpId, around: &mut Around<'_>) {
        for (offset, id) in (first..).zip(ids) {
            self.stands(offset, *id, (op, By::Ack), around);
        }
        self.tail.reaches(first + ids.len() as u64, op, around.ops);
    }

    /// A poll brought records.
    pub(super) fn polled(&mut self, records: &[(u64, Option<Value>)], op: OpId, around: &mut Around<'_>) {
        for (offset, value) in records {
            let Some(value) = value else {
                let text = "the record is none that any producer made".to_owned();
                around.violates(CORRUPT_PAYLOAD, &format!(" offset {offset}"), text, &[op]);
                continue;
            };
            let id = around.values.id(*value);
            around.values.of_mut(id).polled.get_or_insert(op);
            self.stands(*offset, id, (op, By::Poll), around);
        }
        if let Some(last) = records.iter().map(|(offset, _)| *offset).max() {
            self.tail.reaches(last + 1, op, around.ops);
        }
    }

    fn stands(&mut self, offset: u64, id: ValueId, (op, by): (OpId, By), around: &mut Around<'_>) {
        self.at_one_place(offset, id, op, around);
        let fresh = Slot { value: id, witness: op, acked: None, first_read: None, last_read: None };
        let slot = self.slots.at(offset).get_or_insert(fresh);
        if slot.value != id {
            let slot = *slot;
            self.dispute(offset, slot, (id, op, by), around);
            return;
        }
        match by {
            By::Ack => {
                slot.acked.get_or_insert(op);
            }
            By::Poll => {
                slot.first_read.get_or_insert(op);
                let later = slot.last_read.filter(|last| around.ops.of(*last).from >= around.ops.of(op).from);
                slot.last_read = Some(later.unwrap_or(op));
            }
        }
    }

    fn at_one_place(&mut self, offset: u64, id: ValueId, op: OpId, around: &mut Around<'_>) {
        let here = Place { partition: around.partition, offset };
        let Some((known, by)) = around.values.put(id, here, op).filter(|(known, _)| *known != here) else {
            return;
        };
        if self.doubled.len() < DISPUTES_MAX && self.doubled.insert((id, here)) {
            let value = around.values.of(id).value;
            let text =
                format!("{value} is at offset {offset}, and at {}:{} too", known.partition, known.offset);
            around.violates(DUPLICATE, &format!(" offset {offset}"), text, &[by, op]);
        }
    }

    fn dispute(&mut self, offset: u64, slot: Slot, other: (ValueId, OpId, By), around: &mut Around<'_>) {
        let (id, op, by) = other;
        if by == By::Ack {
            self.displaced.push((offset, id, op));
        } else if let Some(acked) = slot.acked.filter(|_| slot.first_read.is_none()) {
            self.displaced.push((offset, slot.value, acked));
        }
        if self.disputed.len() >= DISPUTES_MAX || !self.disputed.insert((offset, id)) {
            return;
        }
        let (one, two) = (around.values.of(slot.value).value, around.values.of(id).value);
        let (subject, evidence) = (format!(" offset {offset}"), [slot.witness, op]);
        around.violates(INCONSISTENT_OFFSET, &subject, format!("holds {one} and {two}"), &evidence);
        let mismatch = match by {
            By::Ack if slot.first_read.is_some() => Some((two, one)),
            By::Poll if slot.acked.is_some() => Some((one, two)),
            _ => None,
        };
        if let Some((told, shown)) = mismatch {
            let text = format!("the append of {told} was told this offset, where a poll shows {shown}");
            around.violates(ACK_OFFSET_MISMATCH, &subject, text, &evidence);
        }
    }
}
