//! P13. An offset has one record, for every reader and for the producer who was told of it; a reader that follows sees
//! every offset once, in order; the last reader begins at offset 0 (nothing retires in these histories); one
//! producer's records stand in a partition in the order in which it sent them.

use std::collections::BTreeMap;

use super::Check;
use crate::history::{Reader, Topic};
use crate::{Op, Span, Value};

/// Keeps the record of every offset.
#[derive(Default)]
pub(super) struct OffsetsAreStable {
    records: BTreeMap<(u32, u64), Value>,
    next: BTreeMap<(Reader, u32), u64>,
    violations: Vec<String>,
}

impl OffsetsAreStable {
    fn stands(&mut self, partition: u32, offset: u64, value: Value) {
        let first = *self.records.entry((partition, offset)).or_insert(value);
        if first != value {
            self.violations.push(format!("offset {partition}/{offset} was {first:?} and then {value:?}"));
        }
    }

    fn in_order(&mut self, reader: Reader, partition: u32, offset: u64) {
        let expected = self.next.insert((reader, partition), offset + 1).unwrap_or(0);
        if expected != offset {
            self.violations.push(format!("{reader:?} read {partition}/{offset} where {expected} must come"));
        }
    }

    /// Offsets rise within a partition; so must the sequences of each producer.
    fn sends_out_of_order(&self) -> Vec<String> {
        let mut last: BTreeMap<(u32, u16), u32> = BTreeMap::new();
        let mut found = Vec::new();
        for ((partition, offset), value) in &self.records {
            let before = last.insert((*partition, value.producer), value.sequence);
            if let Some(before) = before.filter(|before| *before >= value.sequence) {
                found.push(format!(
                    "offset {partition}/{offset} has {value:?}, though that producer's {before} stands before it"
                ));
            }
        }
        found
    }
}

impl Check for OffsetsAreStable {
    fn property(&self) -> &'static str {
        "P13 one offset, one record, for every reader; no gap"
    }

    fn observe(&mut self, _: Span, op: &Op) {
        match op {
            Op::Sent { topic: Topic::Stream, value, at: Some((partition, offset)), .. } => {
                self.stands(*partition, *offset, *value);
            }
            Op::Read { reader, partition, offset, value } => {
                self.stands(*partition, *offset, *value);
                if !matches!(reader, Reader::Member(_)) {
                    self.in_order(*reader, *partition, *offset);
                }
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        let mut all = self.violations.clone();
        all.extend(self.sends_out_of_order());
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{appended, read, verdict};

    #[test]
    fn readers_that_agree_and_see_everything_are_fine() {
        let ops = [
            appended(1, 0, 0),
            appended(2, 0, 1),
            read(Reader::Follower, 1, 0, 0),
            read(Reader::Follower, 2, 0, 1),
            read(Reader::Last, 1, 0, 0),
        ];
        assert_eq!(verdict(OffsetsAreStable::default(), &ops), 0);
    }

    #[test]
    fn a_member_may_begin_anywhere_and_come_back() {
        let ops = [read(Reader::Member(1), 5, 0, 5), read(Reader::Member(1), 3, 0, 3)];
        assert_eq!(verdict(OffsetsAreStable::default(), &ops), 0);
    }

    #[test]
    fn an_offset_that_changes_its_record_is_found() {
        let ops = [read(Reader::Follower, 1, 0, 0), read(Reader::Last, 2, 0, 0)];
        assert_eq!(verdict(OffsetsAreStable::default(), &ops), 1);
        assert_eq!(
            verdict(OffsetsAreStable::default(), &[appended(1, 0, 9), read(Reader::Member(1), 2, 0, 9)]),
            1
        );
    }

    #[test]
    fn a_gap_and_a_repetition_are_found() {
        let ops = [read(Reader::Last, 1, 0, 0), read(Reader::Last, 3, 0, 2)];
        assert_eq!(verdict(OffsetsAreStable::default(), &ops), 1);
        let ops = [read(Reader::Follower, 1, 0, 0), read(Reader::Follower, 1, 0, 0)];
        assert_eq!(verdict(OffsetsAreStable::default(), &ops), 1);
        assert_eq!(verdict(OffsetsAreStable::default(), &[read(Reader::Last, 4, 0, 4)]), 1);
    }

    #[test]
    fn records_of_one_producer_out_of_order_are_found() {
        assert_eq!(verdict(OffsetsAreStable::default(), &[appended(2, 0, 0), appended(1, 0, 1)]), 1);
    }
}
