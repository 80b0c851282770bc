//! Operations on streams, by a short number.

use std::num::NonZeroU32;

use crate::{Event, Micros, Outcome};

/// An operation, in the order of the history. Four bytes, an absent one included: every record keeps several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct OpId(NonZeroU32);

/// When an operation was seen, and how it ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Line of the history.
    pub(super) line: u64,
    /// Before it was asked.
    pub(super) from: Micros,
    /// After it was surely over; the end of time if it never is.
    pub(super) to: Micros,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// All of them.
#[derive(Default)]
pub(super) struct Ops(Vec<Seen>);

impl Ops {
    /// Takes note of an operation.
    pub(super) fn note(&mut self, line: u64, event: &Event) -> OpId {
        self.0.push(Seen { line, from: event.from, to: event.end(), outcome: event.outcome });
        let number = u32::try_from(self.0.len()).ok().and_then(NonZeroU32::new);
        OpId(number.expect("a history has fewer than 2^32 operations on streams"))
    }

    pub(super) fn of(&self, id: OpId) -> &Seen {
        &self.0[id.0.get() as usize - 1]
    }

    /// Whether the first was over before the second began.
    pub(super) fn precedes(&self, first: OpId, second: OpId) -> bool {
        self.of(first).to < self.of(second).from
    }
}
