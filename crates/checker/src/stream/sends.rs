//! S5 and S6, promises P11, P13 and P15. What one producer sends stands in its order; one append is there whole, in its
//! order; one key is in one partition, or in several of which each came of the one before.

use std::collections::BTreeMap;

use super::book::Book;
use super::ops::{OpId, Ops};
use super::partition::{Around, Partition};
use super::values::{Batch, Place, ValueId, Values};
use super::{BATCH_TORN, INT_NONMONOTONIC_SEND, KEY_IN_TWO_PARTITIONS, NONMONOTONIC_SEND};
use crate::Process;
use crate::lineage::Lineage;

/// What is known of the sends to one stream.
#[derive(Default)]
pub(super) struct Sends {
    /// Last offset of each client's last append to each partition.
    last: BTreeMap<(Process, u32), (u64, OpId)>,
    /// The partitions that each key is in, and what first told so, in the order in which that was heard.
    keys: BTreeMap<String, Vec<(u32, OpId)>>,
    /// Records with a key of which nobody was told where they are.
    untold: Vec<(String, ValueId, OpId)>,
}

impl Sends {
    /// An append was told its place; returns the one before of the same client.
    pub(super) fn last(&mut self, process: Process, partition: u32, at: (u64, OpId)) -> Option<(u64, OpId)> {
        self.last.insert((process, partition), at)
    }

    /// A record of the key is in a partition.
    pub(super) fn is_in(&mut self, key: &str, partition: u32, op: OpId) {
        if !self.keys.contains_key(key) {
            self.keys.insert(key.to_owned(), Vec::new());
        }
        let known = self.keys.get_mut(key).expect("it was put there just now");
        if known.iter().all(|(other, _)| *other != partition) {
            known.push((partition, op));
        }
    }

    /// A record of the key was sent, and nobody knows where to.
    pub(super) fn keyed(&mut self, key: &str, id: ValueId, op: OpId) {
        self.untold.push((key.to_owned(), id, op));
    }

    /// Looks at what only polls told, once all of them are known.
    pub(super) fn judge(
        mut self,
        topic: &str,
        (partitions, lineage): (&BTreeMap<u32, Partition>, &Lineage),
        (ops, values): (&Ops, &Values),
        book: &mut Book,
    ) {
        for (key, id, op) in std::mem::take(&mut self.untold) {
            if let Some(Place { partition, .. }) = values.of(id).place() {
                self.is_in(&key, partition, op);
            }
        }
        for (key, places) in &self.keys {
            for (count, (partition, op)) in places.iter().enumerate() {
                let apart = |(other, _): &&(u32, OpId)| !lineage.are_in_line(*partition, *other);
                let Some((other, by)) = places[..count].iter().find(apart) else { continue };
                let text = format!("records of key {key} are here, and in partition {other}");
                let subject = format!("partition {partition}");
                book.add(KEY_IN_TWO_PARTITIONS, (topic, subject), text, (ops, &[*by, *op]));
            }
        }
        let mut skips = 0_u64;
        for batch in values.batches() {
            skips += disorder(topic, batch, (ops, values), book);
            torn(topic, batch, partitions, (ops, values), book);
        }
        if skips > 0 {
            book.note("S5", format!("{topic}: int-send-skip: records of other appends stand between those of one, {skips} times"));
        }
    }
}

/// Looks at the order of a batch's records; returns how often others stand between them.
fn disorder(topic: &str, batch: &Batch, (ops, values): (&Ops, &Values), book: &mut Book) -> u64 {
    let placed =
        (0_u64..).zip(&batch.values).filter_map(|(index, id)| Some((index, *id, values.of(*id).place()?)));
    let mut skips = 0;
    let mut last: Option<(u64, ValueId, Place)> = None;
    for (index, id, place) in placed {
        if let Some((before, other, by)) = last.filter(|(.., by)| by.partition == place.partition) {
            if place.offset <= by.offset {
                let (one, two) = (values.of(other).value, values.of(id).value);
                let subject = format!("partition {} offset {}", place.partition, place.offset);
                let text = format!(
                    "{one} is at offset {} and {two}, which was sent behind it, at {}",
                    by.offset, place.offset
                );
                book.add(INT_NONMONOTONIC_SEND, (topic, subject), text, (ops, &[batch.op]));
            } else if place.offset - by.offset > index - before {
                skips += 1;
            }
        }
        last = Some((index, id, place));
    }
    skips
}

/// Looks for records of a batch that are nowhere while others of it are there: another record has their place.
fn torn(
    topic: &str,
    batch: &Batch,
    partitions: &BTreeMap<u32, Partition>,
    (ops, values): (&Ops, &Values),
    book: &mut Book,
) {
    let there = (0_u64..).zip(&batch.values).find_map(|(index, id)| {
        let entry = values.of(*id);
        Some((index, entry.place()?, entry.placed?))
    });
    let Some((index, place, by)) = there else { return };
    let Some(partition) = partitions.get(&place.partition) else { return };
    for (other, id) in (0_u64..).zip(&batch.values) {
        let entry = values.of(*id);
        let offset = (place.offset + other).checked_sub(index);
        let other_here = offset.and_then(|offset| Some((offset, partition.slots.get(offset)?)));
        let other_here = other_here.filter(|(_, slot)| slot.value != *id);
        let (rest, witness) = match (entry.place(), other_here, offset) {
            (Some(at), ..) if at.partition != place.partition => {
                ("it is in another partition".to_owned(), by)
            }
            (None, Some((offset, slot)), _) => {
                (format!("{} is at offset {offset}", values.of(slot.value).value), slot.witness)
            }
            (None, _, None) => ("there is no room for it".to_owned(), by),
            _ => continue,
        };
        let subject = format!("partition {} offset {}", place.partition, place.offset);
        let text = format!("{} is not with the other records of its append: {rest}", entry.value);
        book.add(BATCH_TORN, (topic, subject), text, (ops, &[batch.op, by, witness]));
        return;
    }
}

/// Looks at the order of each producer's records that were acknowledged at their first attempt.
pub(super) fn in_order(partition: &Partition, around: &mut Around<'_>) {
    let mut last: BTreeMap<u32, (u64, u64, OpId)> = BTreeMap::new();
    let mut found = Vec::new();
    for (offset, slot) in partition.slots.all() {
        let entry = around.values.of(slot.value);
        let Some(acked) = slot.acked.filter(|_| entry.certain) else { continue };
        let value = entry.value;
        if let Some((before, at, by)) =
            last.get(&value.producer).copied().filter(|(before, ..)| *before > value.sequence)
        {
            let text =
                format!("{value} is at offset {offset}, behind {}-{before} at offset {at}", value.producer);
            // What one client sent, one after the other, was reported with the append.
            if !around.ops.precedes(by, acked) && !around.ops.precedes(acked, by) {
                found.push((offset, text, [by, acked]));
            }
        }
        last.insert(value.producer, (value.sequence, offset, acked));
    }
    for (offset, text, evidence) in found {
        around.violates(NONMONOTONIC_SEND, &format!(" offset {offset}"), text, &evidence);
    }
}
