//! What is known of each offset of a partition.

use std::collections::BTreeMap;
use std::ops::Range;

use super::ops::OpId;
use super::values::ValueId;

/// One offset.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    /// The payload that was first seen here.
    pub(super) value: ValueId,
    /// What first told of it.
    pub(super) witness: OpId,
    /// An append of this payload that was told this offset.
    pub(super) acked: Option<OpId>,
    /// The poll that first brought it from here.
    pub(super) first_read: Option<OpId>,
    /// The poll that began last among those that brought it from here.
    pub(super) last_read: Option<OpId>,
}

/// Offsets of one page.
const PAGE: usize = 64;

/// All offsets that were seen, in pages: they are dense, and may begin anywhere.
#[derive(Default)]
pub(super) struct Slots(BTreeMap<u64, Box<[Option<Slot>; PAGE]>>);

impl Slots {
    pub(super) fn get(&self, offset: u64) -> Option<&Slot> {
        let page = self.0.get(&(offset / PAGE as u64))?;
        page[(offset % PAGE as u64) as usize].as_ref()
    }

    /// The place for an offset, empty or not.
    pub(super) fn at(&mut self, offset: u64) -> &mut Option<Slot> {
        let page = self.0.entry(offset / PAGE as u64).or_insert_with(|| Box::new([None; PAGE]));
        &mut page[(offset % PAGE as u64) as usize]
    }

    /// Those of a range that are known, in order.
    pub(super) fn range(&self, offsets: Range<u64>) -> impl DoubleEndedIterator<Item = (u64, &Slot)> {
        let pages = if offsets.is_empty() {
            0..0
        } else {
            offsets.start / PAGE as u64..(offsets.end - 1) / PAGE as u64 + 1
        };
        let slots = self.0.range(pages).flat_map(|(page, slots)| {
            let first = page * PAGE as u64;
            slots.iter().enumerate().map(move |(index, slot)| (first + index as u64, slot))
        });
        slots
            .filter_map(|(offset, slot)| slot.as_ref().map(|slot| (offset, slot)))
            .filter(move |(offset, _)| offsets.contains(offset))
    }

    /// All that are known, in order.
    pub(super) fn all(&self) -> impl DoubleEndedIterator<Item = (u64, &Slot)> {
        self.range(0..u64::MAX)
    }
}
