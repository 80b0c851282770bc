//! The batches that the log holds, in order of offset, in three sections.
//!
//! ```text
//!     rewritten           clean               dirty
//!    ─────────────┬───────────────────┬─────────────────────►  offsets
//!            rewritten_to          clean_to
//! ```
//!
//! Within a section batches lie in the log in the order of their offsets; the sections lie there in any order. *Dirty*
//! batches are as they were appended; compaction has written those of the other two anew, those that are *rewritten* in
//! the pass that runs.

use std::collections::VecDeque;

use weir_types::{LogIndex, Offset, Pointer, WallClock};

/// One batch. What it covers ends where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) base_offset: Offset,
    pub(crate) append_time: WallClock,
    pub(crate) max_timestamp_ms: i64,
    pub(crate) pointer: Pointer,
}

const _: () = assert!(size_of::<Held>() <= 48, "ten million batches are half a gigabyte, no more");

/// What a batch's section is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Rewritten,
    Clean,
    Dirty,
}

/// All of them. Places count from the oldest batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Batches {
    rewritten: VecDeque<Held>,
    rest: VecDeque<Held>,
    /// Where the dirty ones begin, unless the pass that runs is beyond it.
    clean_to: Offset,
    bytes: u64,
    /// Of those that are not dirty.
    compacted_bytes: u64,
}

impl Batches {
    pub(crate) fn len(&self) -> usize {
        self.rewritten.len() + self.rest.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.bytes - self.compacted_bytes
    }

    pub(crate) fn compacted_bytes(&self) -> u64 {
        self.compacted_bytes
    }

    pub(crate) fn get(&self, place: usize) -> Option<&Held> {
        match place.checked_sub(self.rewritten.len()) {
            None => self.rewritten.get(place),
            Some(place) => self.rest.get(place),
        }
    }

    pub(crate) fn back(&self) -> Option<&Held> {
        self.rest.back().or_else(|| self.rewritten.back())
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.rewritten.iter().chain(&self.rest)
    }

    pub(crate) fn iter_from(&self, place: usize) -> impl Iterator<Item = &Held> {
        let rest = place.saturating_sub(self.rewritten.len()).min(self.rest.len());
        self.rewritten.range(place.min(self.rewritten.len())..).chain(self.rest.range(rest..))
    }

    /// The first place that a predicate does not hold for, which holds for the first batches and no others.
    pub(crate) fn partition_point(&self, holds: impl Fn(&Held) -> bool) -> usize {
        let place = self.rewritten.partition_point(&holds);
        if place < self.rewritten.len() { place } else { place + self.rest.partition_point(holds) }
    }

    pub(crate) fn section(&self, place: usize) -> Section {
        match self.get(place) {
            Some(_) if place < self.rewritten.len() => Section::Rewritten,
            Some(held) if held.base_offset < self.clean_to => Section::Clean,
            _ => Section::Dirty,
        }
    }

    /// How many the pass that runs has written.
    pub(crate) fn rewritten(&self) -> usize {
        self.rewritten.len()
    }

    /// The place of the first dirty batch.
    pub(crate) fn dirty_from(&self) -> usize {
        self.rewritten.len() + self.rest.partition_point(|held| held.base_offset < self.clean_to)
    }

    /// The lowest log index of all: one of the first of the three sections.
    pub(crate) fn lowest_index(&self) -> Option<LogIndex> {
        let firsts = [0, self.rewritten.len(), self.dirty_from()];
        firsts.into_iter().filter_map(|place| self.get(place)).map(|held| held.pointer.index).min()
    }

    /// Adds one that was appended.
    pub(crate) fn push(&mut self, held: Held) {
        self.bytes += u64::from(held.pointer.length);
        if held.base_offset < self.clean_to {
            self.compacted_bytes += u64::from(held.pointer.length);
        }
        self.rest.push_back(held);
    }

    /// Adds one that the pass that runs has written, behind the others of it.
    pub(crate) fn push_rewritten(&mut self, held: Held) {
        self.bytes += u64::from(held.pointer.length);
        self.compacted_bytes += u64::from(held.pointer.length);
        self.rewritten.push_back(held);
    }

    /// Drops the oldest ones.
    pub(crate) fn drop_front(&mut self, count: usize) {
        let rewritten = count.min(self.rewritten.len());
        for held in self.rewritten.drain(..rewritten) {
            self.bytes -= u64::from(held.pointer.length);
            self.compacted_bytes -= u64::from(held.pointer.length);
        }
        self.drop_next(count - rewritten);
    }

    /// Drops the first ones that the pass that runs has not written.
    pub(crate) fn drop_next(&mut self, count: usize) {
        for held in self.rest.drain(..count) {
            self.bytes -= u64::from(held.pointer.length);
            if held.base_offset < self.clean_to {
                self.compacted_bytes -= u64::from(held.pointer.length);
            }
        }
    }

    /// What was rewritten, up to `to`, is clean now.
    pub(crate) fn finish_pass(&mut self, to: Offset) {
        self.rewritten.append(&mut self.rest);
        std::mem::swap(&mut self.rewritten, &mut self.rest);
        self.clean_to = to;
    }

    pub(crate) fn clean_to(&self) -> Offset {
        self.clean_to
    }

    /// Where the clean section ends, as restored; before any batch is.
    pub(crate) fn restore_clean_to(&mut self, clean_to: Offset) {
        debug_assert!(self.is_empty());
        self.clean_to = clean_to;
    }

    pub(crate) fn check_invariants(&self) {
        let length = |held: &Held| u64::from(held.pointer.length);
        assert_eq!(self.iter().map(length).sum::<u64>(), self.bytes, "bytes are the sum of what is held");
        let compacted: u64 = self.iter().take(self.dirty_from()).map(length).sum();
        assert_eq!(compacted, self.compacted_bytes, "so are those of the compacted batches");
        for place in 1..self.len() {
            let (earlier, later) = (&self.get(place - 1), &self.get(place));
            let (Some(earlier), Some(later)) = (earlier, later) else { continue };
            assert!(earlier.base_offset < later.base_offset, "offsets rise");
            assert!(earlier.append_time <= later.append_time, "append times never fall");
            let entry = |held: &Held| (held.pointer.term, held.pointer.index);
            assert!(
                self.section(place - 1) != self.section(place) || entry(earlier) <= entry(later),
                "batches of a section lie in the log in the order of their offsets"
            );
        }
    }
}
