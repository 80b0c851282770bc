//! S4, promise P13. A poll brings records from the asked offset on, one after the other.

use super::ops::OpId;
use super::partition::Around;
use super::trim::Trim;
use super::{INT_NONMONOTONIC_POLL, INT_POLL_SKIP, NONMONOTONIC_POLL, POLL_SKIP, READ_BELOW_START};
use crate::Value;

/// Gaps of one partition that are remembered until its retention is known.
const GAPS_MAX: usize = 10_000;

/// Offsets that a poll should have brought, and did not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gap {
    /// The first of them.
    pub(super) from: u64,
    /// The offset after the last.
    pub(super) to: u64,
    pub(super) op: OpId,
    /// The gap is between the asked offset and the first record.
    leads: bool,
}

/// The polls of one partition.
#[derive(Default)]
pub(super) struct Polls {
    pub(super) gaps: Vec<Gap>,
}

impl Polls {
    /// A poll brought records.
    pub(super) fn brought(
        &mut self,
        asked: u64,
        records: &[(u64, Option<Value>)],
        op: OpId,
        around: &mut Around<'_>,
    ) {
        let mut next = asked;
        for (index, (offset, _)) in records.iter().enumerate() {
            if *offset < next {
                let (name, text) = if index == 0 {
                    (
                        NONMONOTONIC_POLL,
                        format!("begins at offset {offset}, before {asked} that was asked for"),
                    )
                } else {
                    (INT_NONMONOTONIC_POLL, format!("brings offset {offset} after {}", next - 1))
                };
                around.violates(name, "", text, &[op]);
            } else if *offset > next && self.gaps.len() < GAPS_MAX {
                self.gaps.push(Gap { from: next, to: *offset, op, leads: index == 0 });
            }
            next = offset + 1;
        }
    }

    /// Names the gaps, once it is known what was trimmed.
    pub(super) fn judge(&self, trim: &Trim, around: &mut Around<'_>) {
        for Gap { from, to, op, leads } in &self.gaps {
            let (name, text) = if *leads && trim.start() >= *to {
                let text = format!("asked for trimmed offset {from}, it goes on at {to} and refuses nothing");
                (READ_BELOW_START, text)
            } else if *leads {
                (POLL_SKIP, format!("asked for offset {from}, it begins at {to}"))
            } else {
                (INT_POLL_SKIP, format!("brings offset {to} where {from} must come"))
            };
            around.violates(name, "", text, &[*op]);
        }
    }
}
