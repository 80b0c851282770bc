//! S3, promises P1 and P13. What was acknowledged is there, and what was read stays.
//!
//! A read shows that a record is not there when it passes over its offset, or shows an end before it that the record's
//! own acknowledgement, or an earlier read of it, contradicts. What retention has dropped is not lost.

use std::collections::BTreeSet;

use super::ops::OpId;
use super::partition::{Around, Partition};
use super::slots::Slot;
use super::tail::Stale;
use super::{LOST_WRITE, STALE_TAIL, VANISHED};

/// Records that are looked at for one partition: a partition that lost everything has more, and is found out anyway.
const LOOKS_MAX: usize = 1_000_000;

/// What became of a record that a read did not show.
enum Fate {
    Lost(OpId),
    Vanished(OpId),
    /// It was read later, or nothing proves that it should have been seen.
    There,
}

/// Says of every record that a read should have shown, and did not, what became of it.
pub(super) fn judge(partition: &Partition, stale: &[Stale], around: &mut Around<'_>) {
    let mut told = BTreeSet::new();
    let mut looks = LOOKS_MAX;
    for (offset, id, acked) in &partition.displaced {
        if around.values.of(*id).polled.is_none() && told.insert(*offset) {
            let value = around.values.of(*id).value;
            let text = format!("{value} was acknowledged at this offset, which holds another record");
            around.violates(LOST_WRITE, &format!(" offset {offset}"), text, &[*acked]);
        }
    }
    for gap in &partition.polls.gaps {
        for (offset, slot) in partition.slots.range(gap.from..gap.to).take(looks) {
            looks -= 1;
            let passed = |acked| Some(acked);
            let fate = fate(slot, gap.op, around, passed);
            report(partition, (offset, slot), (fate, gap.op), &mut told, around);
        }
    }
    for Stale { end, known, by, op } in stale {
        let mut explained = false;
        for (offset, slot) in partition.slots.range(*end..*known).take(looks) {
            looks -= 1;
            let before = |acked| Some(acked).filter(|acked| around.ops.precedes(*acked, *op));
            let fate = fate(slot, *op, around, before);
            explained |= !matches!(fate, Fate::There);
            report(partition, (offset, slot), (fate, *op), &mut told, around);
        }
        if !explained {
            let text = format!("a read shows the end at {end} though it was known to be {known} or beyond");
            around.violates(STALE_TAIL, "", text, &[*by, *op]);
        }
    }
}

fn fate(slot: &Slot, op: OpId, around: &Around<'_>, acked: impl Fn(OpId) -> Option<OpId>) -> Fate {
    let ops = around.ops;
    match (slot.first_read, slot.last_read) {
        (Some(first), Some(last)) if ops.precedes(first, op) && ops.of(last).from <= ops.of(op).from => {
            Fate::Vanished(first)
        }
        (None, _) => slot.acked.and_then(acked).map_or(Fate::There, Fate::Lost),
        _ => Fate::There,
    }
}

fn report(
    partition: &Partition,
    (offset, slot): (u64, &Slot),
    (fate, op): (Fate, OpId),
    told: &mut BTreeSet<u64>,
    around: &mut Around<'_>,
) {
    let (name, text, by) = match fate {
        Fate::Lost(acked) => {
            (LOST_WRITE, "was acknowledged, a read does not show it, and none ever did", acked)
        }
        Fate::Vanished(first) => {
            (VANISHED, "was read, a later read does not show it, and none did again", first)
        }
        Fate::There => return,
    };
    if offset >= partition.trim.start() && told.insert(offset) {
        let value = around.values.of(slot.value).value;
        around.violates(name, &format!(" offset {offset} ({value})"), text.to_owned(), &[by, op]);
    }
}
