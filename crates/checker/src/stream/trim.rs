//! S8, promise P13. The first retained offset never falls, and what is below it is refused.

use super::ops::{OpId, Ops};
use super::partition::Around;
use super::{LOW_WATERMARK_REGRESS, READ_BELOW_START};

/// First retained offsets as they were seen, each higher than the one before.
#[derive(Default)]
pub(super) struct Trim {
    rises: Vec<(u64, OpId)>,
}

impl Trim {
    /// The highest that was seen.
    pub(super) fn start(&self) -> u64 {
        self.rises.last().map_or(0, |(start, _)| *start)
    }

    /// The highest that was seen before an operation began. Operations are seen in the order of their ends.
    fn before(&self, op: OpId, ops: &Ops) -> Option<(u64, OpId)> {
        let count = self.rises.partition_point(|(_, seen)| ops.precedes(*seen, op));
        count.checked_sub(1).map(|last| self.rises[last])
    }

    /// The first retained offset was read.
    pub(super) fn begins(&mut self, start: u64, op: OpId, around: &mut Around<'_>) {
        if let Some((before, seen)) = self.before(op, around.ops).filter(|(before, _)| *before > start) {
            let text = format!("begins at offset {start} after it began at {before}");
            around.violates(LOW_WATERMARK_REGRESS, "", text, &[seen, op]);
        }
        if start > self.start() {
            self.rises.push((start, op));
        }
    }

    /// A poll was not refused. Returns whether it should have been.
    pub(super) fn served(&self, asked: u64, first: Option<u64>, op: OpId, around: &mut Around<'_>) -> bool {
        // A gap before the first record is judged with the other gaps.
        let below = self.before(op, around.ops).filter(|(start, _)| asked < *start);
        if let Some((start, seen)) = below.filter(|_| first.is_none_or(|first| first <= asked)) {
            let text =
                format!("a poll of offset {asked} was not refused, though {start} is the first retained");
            around.violates(READ_BELOW_START, "", text, &[seen, op]);
        }
        below.is_some()
    }
}
