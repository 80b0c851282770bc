//! One stream: its payloads, and its partitions.

use std::collections::BTreeMap;

use super::book::Book;
use super::lineage::{self, Keys, Known, Reader, Readers};
use super::ops::{OpId, Ops};
use super::partition::{Around, Partition};
use super::sends::Sends;
use super::values::{ValueId, Values};
use super::{StreamOptions, lost, origin, tail};
use crate::lineage::Lineage;
use crate::{Digested, Event, Outcome, Phase, Value};

/// One stream.
pub(super) struct Topic {
    pub(super) name: String,
    ops: Ops,
    values: Values,
    partitions: BTreeMap<u32, Partition>,
    sends: Sends,
    lineage: Lineage,
    /// What each key has, and who read on its own account.
    keys: Keys,
    readers: Readers,
    book: Book,
}

impl Topic {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            ops: Ops::default(),
            values: Values::default(),
            partitions: BTreeMap::new(),
            sends: Sends::default(),
            lineage: Lineage::default(),
            keys: Keys::default(),
            readers: Readers::default(),
            book: Book::new(),
        }
    }

    /// A partition, and what is around it.
    fn at(&mut self, number: u32) -> (&mut Partition, Around<'_>) {
        let around = Around {
            topic: &self.name,
            partition: number,
            ops: &self.ops,
            values: &mut self.values,
            book: &mut self.book,
        };
        (self.partitions.entry(number).or_default(), around)
    }

    pub(super) fn append(
        &mut self,
        line: u64,
        event: &Event,
        (values, key): (&[Value], Option<&str>),
        at: Option<(u32, u64)>,
    ) {
        let op = self.ops.note(line, event);
        let ids: Vec<ValueId> = values.iter().map(|value| self.values.id(*value)).collect();
        let first = self.values.send(&ids, op, &self.ops);
        if event.outcome == Outcome::Fail {
            return;
        }
        self.values.bind(&ids, op);
        let told = at.filter(|_| event.outcome == Outcome::Ok);
        if let Some(key) = key {
            self.keyed(key, &ids, told, op);
        }
        let Some((number, offset)) = told else { return };
        let last = offset + (ids.len() as u64).saturating_sub(1);
        let before =
            self.sends.last(event.process, number, (last, op)).filter(|(before, _)| offset <= *before);
        if let Some((before, by)) = before.filter(|_| first) {
            let text = format!("an append of the same client was at offset {before}, the next at {offset}");
            let (_, mut around) = self.at(number);
            around.violates(super::NONMONOTONIC_SEND, "", text, &[by, op]);
        }
        let (partition, mut around) = self.at(number);
        partition.acked(&ids, offset, op, &mut around);
    }

    fn keyed(&mut self, key: &str, ids: &[ValueId], told: Option<(u32, u64)>, op: OpId) {
        self.keys.of(key, ids);
        match (told, ids.first()) {
            (Some((partition, _)), _) => self.sends.is_in(key, partition, op),
            (None, Some(id)) => self.sends.keyed(key, *id, op),
            (None, None) => {}
        }
    }

    pub(super) fn reshaped(&mut self, parents: &[u32], children: &[u32]) {
        self.lineage.note(parents, children);
    }

    pub(super) fn poll(
        &mut self,
        line: u64,
        event: &Event,
        (number, asked, reader): (u32, u64, Reader),
        (records, proves_the_end): (&[(u64, Option<Value>)], bool),
    ) {
        let op = self.ops.note(line, event);
        if event.outcome == Outcome::Ok {
            self.readers.polled(reader, (number, asked), records, op);
        }
        let (partition, mut around) = self.at(number);
        if event.outcome == Outcome::Ok {
            let first = records.first().map(|(offset, _)| *offset);
            let refusable = partition.trim.served(asked, first, op, &mut around);
            if records.is_empty() && proves_the_end && !refusable {
                partition.tail.ends(asked, op);
            }
            partition.polls.brought(asked, records, op, &mut around);
        }
        partition.polled(records, op, &mut around);
    }

    pub(super) fn bounds(&mut self, line: u64, event: &Event, number: u32, (start, end): (u64, u64)) {
        if event.outcome != Outcome::Ok {
            return;
        }
        let op = self.ops.note(line, event);
        let (partition, mut around) = self.at(number);
        partition.trim.begins(start, op, &mut around);
        partition.tail.is_exactly(end, op, around.ops);
    }

    pub(super) fn digest(&mut self, line: u64, event: &Event, digested: &Digested) {
        let op = self.ops.note(line, event);
        let (partition, mut around) = self.at(digested.partition);
        partition.replicas.digest(digested, op, &mut around);
    }

    /// States of replicas count as their last only when they were read after everything was over.
    pub(super) fn phase(&mut self, phase: Phase) {
        if phase == Phase::End {
            self.partitions.values_mut().for_each(|partition| partition.replicas.begin_last());
        }
    }

    pub(super) fn judge(mut self, options: &StreamOptions, book: &mut Book) {
        origin::judge(&self.name, &self.values, &self.ops, &mut self.book);
        let mut partitions = std::mem::take(&mut self.partitions);
        let sends = std::mem::take(&mut self.sends);
        sends.judge(&self.name, (&partitions, &self.lineage), (&self.ops, &self.values), &mut self.book);
        if !self.lineage.is_empty() {
            let known =
                Known { lineage: &self.lineage, keys: &self.keys, ops: &self.ops, values: &self.values };
            lineage::judge(&self.name, &known, &self.readers, &partitions, &mut self.book);
        }
        for (number, partition) in &mut partitions {
            let mut around = Around {
                topic: &self.name,
                partition: *number,
                ops: &self.ops,
                values: &mut self.values,
                book: &mut self.book,
            };
            partition.polls.judge(&partition.trim, &mut around);
            if let Some((end, op)) = partition.replicas.last_end() {
                partition.tail.ends(end, op);
            }
            let stale = tail::judge(partition, &mut around);
            lost::judge(partition, &stale, &mut around);
            if options.producers_in_order {
                super::sends::in_order(partition, &mut around);
            }
        }
        book.take(self.book);
    }
}
