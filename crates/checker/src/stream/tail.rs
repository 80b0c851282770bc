//! S7 and S6, promise P13. Appends, reads and looks at the end of a partition are linearizable.
//!
//! The end of a partition only moves forward, and every append says from where to where. So let T(p) be the time at which
//! the end comes to be at least p; T never falls as p rises, and it is all that there is to choose:
//!
//! - whoever saw offset p - 1, or an end of at least p, and was over at time t, proves T(p) ≤ t;
//! - whoever began at time t and saw an end of at most p, proves T(p + 1) > t; so does the send of the record that stands
//!   at p, as the record was not there before.
//!
//! An order of all operations that explains the history exists if and only if some rising T meets every one of these:
//! given an order, T can be read off; given T, every operation can be put at a time inside its span at which the end is
//! where it says. And a rising T exists if and only if no proof "T(p) ≤ t" meets a proof "T(q) > u" with q ≤ p and
//! u ≥ t, that is, if no operation that was over before another one began saw an end beyond the other's. Those
//! pairs are found in one sweep over the sorted proofs. That the records of one append come at once says that T is equal
//! all over a batch.

use std::collections::BTreeSet;

use super::ops::{OpId, Ops};
use super::partition::{Around, Partition};
use super::slots::Slots;
use super::values::Values;
use super::{BATCH_TORN, SPURIOUS_ZERO_OFFSET, TAIL_REGRESS};

/// What proves where the end of one partition was.
#[derive(Default)]
pub(super) struct Tail {
    /// The end was here or beyond when the operation was over. Only those that no other one implies.
    reached: Vec<(u64, OpId)>,
    /// The end was here or before when the operation began.
    ended: Vec<(u64, OpId)>,
    /// Looks at the end itself.
    exact: Vec<(u64, OpId)>,
}

/// A read that shows an end behind one that was known before it began.
pub(super) struct Stale {
    /// The end that it shows.
    pub(super) end: u64,
    /// The end that was known.
    pub(super) known: u64,
    /// Which operation knew it.
    pub(super) by: OpId,
    /// The read.
    pub(super) op: OpId,
}

impl Tail {
    /// Somebody saw the record before `end`.
    pub(super) fn reaches(&mut self, end: u64, op: OpId, ops: &Ops) {
        let to = ops.of(op).to;
        let implied = self.reached.last().is_some_and(|(last, by)| *last >= end && ops.of(*by).to <= to);
        if to != u64::MAX && !implied {
            self.reached.push((end, op));
        }
    }

    /// Somebody saw nothing at `end`.
    pub(super) fn ends(&mut self, end: u64, op: OpId) {
        self.ended.push((end, op));
    }

    /// Somebody looked at the end.
    pub(super) fn is_exactly(&mut self, end: u64, op: OpId, ops: &Ops) {
        self.reaches(end, op, ops);
        self.exact.push((end, op));
    }
}

/// Finds what contradicts itself; returns the reads that do, for others to say what became of the records.
pub(super) fn judge(partition: &Partition, around: &mut Around<'_>) -> Vec<Stale> {
    let tail = &partition.tail;
    let ends: Vec<(u64, OpId)> = tail.ended.iter().chain(&tail.exact).copied().collect();
    let missing: Vec<(u64, OpId)> = ends.iter().map(|(end, op)| (end.saturating_add(1), *op)).collect();
    let stale = contradictions(missing.clone(), tail.reached.clone(), around.ops);
    let reads: BTreeSet<OpId> = stale.iter().map(|found| found.op).collect();
    torn(partition, &missing, &reads, around);
    appended_behind(partition, around);
    stale.into_iter().map(|found| Stale { end: found.end - 1, ..found }).collect()
}

/// For each proof that the end was before a position, the earliest proof that it had been there or beyond.
fn contradictions(mut missing: Vec<(u64, OpId)>, mut reached: Vec<(u64, OpId)>, ops: &Ops) -> Vec<Stale> {
    missing.sort_unstable_by(|a, b| b.cmp(a));
    reached.sort_unstable();
    let mut earliest: Option<(u64, OpId)> = None;
    let mut found = Vec::new();
    for (end, op) in missing {
        while let Some((known, by)) = reached.pop_if(|(known, _)| *known >= end) {
            if earliest.is_none_or(|(_, other)| ops.of(by).to < ops.of(other).to) {
                earliest = Some((known, by));
            }
        }
        if let Some((known, by)) = earliest.filter(|(_, by)| ops.precedes(*by, op)) {
            found.push(Stale { end, known, by, op });
        }
    }
    found
}

/// Ends inside an append, and ends that are right only if the records of one append came one by one.
fn torn(partition: &Partition, missing: &[(u64, OpId)], stale: &BTreeSet<OpId>, around: &mut Around<'_>) {
    let (slots, values) = (&partition.slots, &*around.values);
    let first = |end: u64| extent(slots, values, end - 1).map_or(end, |(first, _)| first + 1);
    let last = |end: u64| {
        let before = end.checked_sub(1).and_then(|offset| extent(slots, values, offset));
        before.map_or(end, |(_, last)| last)
    };
    let mut found: Vec<(u64, String, Vec<OpId>)> = Vec::new();
    for (end, op) in &partition.tail.exact {
        let before = end.checked_sub(1).and_then(|offset| extent(slots, values, offset));
        let inside = before.into_iter().chain(extent(slots, values, *end));
        if let Some((first, last)) = inside.into_iter().find(|(first, last)| first < end && end < last) {
            let text = format!("ends at {end}, inside the append of offsets {first} to {}", last - 1);
            found.push((first, text, vec![*op]));
        }
    }
    let whole = |ends: &[(u64, OpId)], to: &dyn Fn(u64) -> u64| {
        ends.iter().map(|(end, op)| (to(*end), *op)).collect()
    };
    for Stale { end, by, op, .. } in
        contradictions(whole(missing, &first), whole(&partition.tail.reached, &last), around.ops)
    {
        if !stale.contains(&op) {
            let text =
                format!("a part of the append from offset {} on was there, and later still not all", end - 1);
            found.push((end - 1, text, vec![by, op]));
        }
    }
    let mut told = BTreeSet::new();
    for (first, text, evidence) in found {
        if told.insert(first) {
            around.violates(BATCH_TORN, &format!(" offset {first}"), text, &evidence);
        }
    }
}

fn extent(slots: &Slots, values: &Values, offset: u64) -> Option<(u64, u64)> {
    slots.get(offset).map(|slot| values.extent(slot.value, offset))
}

/// Records whose send began after the end was known to be beyond them.
fn appended_behind(partition: &Partition, around: &mut Around<'_>) {
    let disputed = partition.disputed.iter().copied();
    let records = partition.slots.all().map(|(offset, slot)| (offset, slot.value)).chain(disputed);
    let sends = records.filter_map(|(offset, id)| Some((offset + 1, around.values.of(id).sent?))).collect();
    let mut told = BTreeSet::new();
    for Stale { end, known, by, op } in contradictions(sends, partition.tail.reached.clone(), around.ops) {
        // One append, one report.
        if !told.insert(op) {
            continue;
        }
        let offset = end - 1;
        let name = if offset == 0 { SPURIOUS_ZERO_OFFSET } else { TAIL_REGRESS };
        let text =
            format!("the append to offset {offset} began after the end was known to be {known} or beyond");
        around.violates(name, &format!(" offset {offset}"), text, &[by, op]);
    }
}
