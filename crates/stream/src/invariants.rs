//! What always holds.

use crate::Stream;

impl Stream {
    /// Panics when an invariant is broken. Tests and simulation call it after every apply; it walks everything.
    ///
    /// | invariant | property |
    /// |---|---|
    /// | offsets of the batches held rise, from at or before the start up to the end, without gap but those of compaction | P13 |
    /// | append times never fall as offsets rise | seek by time |
    /// | batches of a section lie in the log in the order of their offsets | `retained_from` |
    /// | a producer's remembered batches are one sequence without gap or repeat, at rising offsets | P10 |
    /// | no group stands beyond the end; a group lives or is deleted | P14 |
    /// | what waits for another partition is what was put in for it and has not arrived | P11 |
    /// | a sealed stream ends where it was sealed | P15 |
    /// | what compaction has written lies before all that it has not; the newest batch is as it was appended | P13 |
    /// | producers, groups and runs are within their limits | bounds |
    pub fn check_invariants(&self) {
        self.index.check_invariants(self.compacted_to());
        self.compaction.check_invariants(&self.index);
        self.producers.check_invariants(self.end_offset());
        self.groups.check_invariants(self.end_offset());
        self.outbox.check_invariants();
        let behind = self.seal.map(|seal| seal.check(self.end_offset()));
        assert!(behind.is_none_or(|behind| behind.is_ok()), "P15: a sealed stream has another end");
    }
}
