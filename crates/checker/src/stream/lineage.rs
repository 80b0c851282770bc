//! S10, promise P15. A key's records keep their order when its partition is split or merged: what was sent later is in a
//! child, and who reads along the lineage sees it later.
//!
//! Of two records of a key the earlier one is that whose append was over before the other one's began. A reader along
//! the lineage is a consumer that reads several partitions, and none as a member of a group: members share a topic, and
//! what one of them does not see another one may. A record that it never saw was skipped if it read the record's
//! partition from there or from before, or one whose keys that partition took over, and went on to a child all the same.

use std::collections::{BTreeMap, BTreeSet};

use super::book::Book;
use super::ops::{OpId, Ops};
use super::partition::Partition;
use super::values::{ValueId, Values};
use super::{LINEAGE_ORDER, LINEAGE_SKIP};
use crate::lineage::Lineage;
use crate::{Consumer, Value};

/// The keys of records.
#[derive(Default)]
pub(super) struct Keys {
    names: Vec<String>,
    numbers: BTreeMap<String, usize>,
    of: BTreeMap<ValueId, usize>,
}

impl Keys {
    /// These records have the key.
    pub(super) fn of(&mut self, key: &str, ids: &[ValueId]) {
        let number = self.numbers.get(key).copied().unwrap_or_else(|| {
            self.names.push(key.to_owned());
            self.numbers.insert(key.to_owned(), self.names.len() - 1);
            self.names.len() - 1
        });
        self.of.extend(ids.iter().map(|id| (*id, number)));
    }
}

/// Who polls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    pub(super) consumer: Consumer,
    pub(super) as_member: bool,
}

/// Offsets of one partition that a poll brought, first and last.
#[derive(Clone, Copy, Debug)]
struct Brought {
    partition: u32,
    offsets: (u64, u64),
    op: OpId,
}

/// What one consumer read.
#[derive(Default)]
struct Reads {
    as_member: bool,
    /// The lowest offset that it asked each partition for.
    from: BTreeMap<u32, u64>,
    brought: Vec<Brought>,
}

/// All of them.
#[derive(Default)]
pub(super) struct Readers(BTreeMap<Consumer, Reads>);

impl Readers {
    /// A poll was answered.
    pub(super) fn polled(
        &mut self,
        reader: Reader,
        (partition, asked): (u32, u64),
        records: &[(u64, Option<Value>)],
        op: OpId,
    ) {
        let reads = self.0.entry(reader.consumer).or_default();
        reads.as_member |= reader.as_member;
        let from = reads.from.entry(partition).or_insert(asked);
        *from = asked.min(*from);
        if let (Some((first, _)), Some((last, _))) = (records.first(), records.last()) {
            reads.brought.push(Brought { partition, offsets: (*first, *last), op });
        }
    }
}

/// What is known of the stream.
pub(super) struct Known<'a> {
    pub(super) lineage: &'a Lineage,
    pub(super) keys: &'a Keys,
    pub(super) ops: &'a Ops,
    pub(super) values: &'a Values,
}

/// A record of a key, where it stands.
#[derive(Clone, Copy)]
struct Placed {
    offset: u64,
    id: ValueId,
    /// Its first send that may have happened.
    sent: OpId,
    acked: Option<OpId>,
}

/// The records of every key, by partition.
type ByKey = BTreeMap<usize, BTreeMap<u32, Vec<Placed>>>;

pub(super) fn judge(
    topic: &str,
    known: &Known<'_>,
    readers: &Readers,
    partitions: &BTreeMap<u32, Partition>,
    book: &mut Book,
) {
    let placed = placed(known, partitions);
    for (key, places) in &placed {
        sends(topic, known, *key, places, book);
    }
    for (consumer, reads) in &readers.0 {
        if !reads.as_member && reads.from.len() > 1 {
            let seen = Seen::of(reads, known, partitions, (topic, *consumer), book);
            seen.skips(reads, known, (&placed, partitions), (topic, *consumer), book);
        }
    }
}

fn placed(known: &Known<'_>, partitions: &BTreeMap<u32, Partition>) -> ByKey {
    let mut placed = ByKey::new();
    for (number, partition) in partitions {
        for (offset, slot) in partition.slots.all() {
            let sent = known.values.of(slot.value).sent;
            let Some((key, sent)) = known.keys.of.get(&slot.value).zip(sent) else { continue };
            let record = Placed { offset, id: slot.value, sent, acked: slot.acked };
            placed.entry(*key).or_default().entry(*number).or_default().push(record);
        }
    }
    placed
}

/// Nothing of a key is sent to a parent after something was in a child.
fn sends(topic: &str, known: &Known<'_>, key: usize, places: &BTreeMap<u32, Vec<Placed>>, book: &mut Book) {
    let ops = known.ops;
    for (child, records) in places {
        let acked = records.iter().filter_map(|record| Some((record.id, record.acked?)));
        let Some((id, acked)) = acked.min_by_key(|(_, acked)| ops.of(*acked).to) else { continue };
        for parent in known.lineage.ancestors(*child) {
            let sent = places.get(&parent).into_iter().flatten();
            let Some(late) = sent.max_by_key(|record| ops.of(record.sent).from) else { continue };
            if ops.precedes(acked, late.sent) {
                let (one, two) = (known.values.of(id).value, known.values.of(late.id).value);
                let text = format!(
                    "{two} of key {} is in partition {parent}, though {one} was in partition {child}, which came of it, \
                     before it was sent",
                    known.keys.names[key]
                );
                let subject = format!("partition {parent} offset {}", late.offset);
                book.add(LINEAGE_ORDER, (topic, subject), text, (ops, &[acked, late.sent]));
            }
        }
    }
}

/// What one reader saw of each key.
struct Seen {
    records: BTreeSet<ValueId>,
    /// By key and partition, what was sent last among what it saw: that, its send, and the poll.
    last: BTreeMap<usize, BTreeMap<u32, (ValueId, OpId, OpId)>>,
}

impl Seen {
    /// Goes through all that a reader saw, and finds what came too late.
    fn of(
        reads: &Reads,
        known: &Known<'_>,
        partitions: &BTreeMap<u32, Partition>,
        (topic, consumer): (&str, Consumer),
        book: &mut Book,
    ) -> Self {
        let ops = known.ops;
        let mut seen = Self { records: BTreeSet::new(), last: BTreeMap::new() };
        for Brought { partition, offsets: (first, last), op } in &reads.brought {
            let slots =
                partitions.get(partition).map(|found| found.slots.range(*first..last.saturating_add(1)));
            for (offset, slot) in slots.into_iter().flatten() {
                let entry = known.values.of(slot.value);
                let Some((key, sent)) = known.keys.of.get(&slot.value).zip(entry.sent) else { continue };
                if !seen.records.insert(slot.value) {
                    continue;
                }
                let of_key = seen.last.entry(*key).or_default();
                let later = of_key.iter().find(|(other, (_, sent, _))| {
                    let earlier = slot.acked.is_some_and(|acked| ops.precedes(acked, *sent));
                    earlier && known.lineage.descends(**other, *partition)
                });
                if let Some((other, (id, _, by))) = later {
                    let text = format!(
                        "c{} reads {} of key {} after {} of partition {other}, which was sent later",
                        consumer.0,
                        entry.value,
                        known.keys.names[*key],
                        known.values.of(*id).value
                    );
                    let subject = format!("partition {partition} offset {offset}");
                    book.add(LINEAGE_ORDER, (topic, subject), text, (ops, &[*by, *op]));
                }
                let latest = of_key.entry(*partition).or_insert((slot.value, sent, *op));
                if ops.of(latest.1).from < ops.of(sent).from {
                    *latest = (slot.value, sent, *op);
                }
            }
        }
        seen
    }

    /// Finds what the reader should have seen before something that it saw.
    fn skips(
        &self,
        reads: &Reads,
        known: &Known<'_>,
        (placed, partitions): (&ByKey, &BTreeMap<u32, Partition>),
        (topic, consumer): (&str, Consumer),
        book: &mut Book,
    ) {
        for (key, of_key) in &self.last {
            let skipped = of_key.iter().find_map(|(child, last)| {
                let mut above = known.lineage.ancestors(*child).filter_map(|parent| {
                    let missed =
                        self.missed(parent, last.1, (reads, known), placed.get(key)?.get(&parent)?)?;
                    let start = partitions.get(&parent).map_or(0, |found| found.trim.start());
                    (missed.0.offset >= start).then_some((parent, missed))
                });
                above.next().map(|(parent, missed)| (*child, last, parent, missed))
            });
            let Some((child, (id, _, by), parent, (record, acked))) = skipped else { continue };
            let (one, two) = (known.values.of(record.id).value, known.values.of(*id).value);
            let text = format!(
                "c{} reads {two} of key {} in partition {child}, and never {one}, which was sent before it",
                consumer.0, known.keys.names[*key]
            );
            let subject = format!("partition {parent} offset {}", record.offset);
            book.add(LINEAGE_SKIP, (topic, subject), text, (known.ops, &[acked, *by]));
        }
    }

    /// The last record of a parent that was acknowledged before `sent`, and that the reader passed over.
    fn missed(
        &self,
        parent: u32,
        sent: OpId,
        (reads, known): (&Reads, &Known<'_>),
        records: &[Placed],
    ) -> Option<(Placed, OpId)> {
        let comes_from_above =
            || known.lineage.ancestors(parent).any(|above| reads.from.contains_key(&above));
        records.iter().rev().find_map(|record| {
            let acked = record.acked.filter(|acked| known.ops.precedes(*acked, sent))?;
            let follows =
                reads.from.get(&parent).map_or_else(comes_from_above, |from| *from <= record.offset);
            (follows && !self.records.contains(&record.id)).then_some((*record, acked))
        })
    }
}
