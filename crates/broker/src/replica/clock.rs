//! Where the two replicated clocks come from: on the leader, observations of its own clocks; on every replica,
//! the sums that the entries carry.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use weir_types::limits::LEASE_CLOCK_STEP_MS_MAX;
use weir_types::mutants::{self, Mutant};
use weir_types::{LeaseClock, Term, WallClock};

use super::entry::Stamp;

/// A leader's view of the lease clock: what the partition had when it took over, plus its own monotonic time
/// since, in observations clamped to one second, and only while it was in contact with its majority. So the
/// clock stands still while nobody could have extended a lease, and neither a paused process nor a jump of the
/// wall clock lets a lease run out.
#[derive(Debug)]
pub(crate) struct LeaderClock {
    term: Term,
    base: LeaseClock,
    last: Instant,
    observed: Duration,
    stamped_ms: u64,
}

impl LeaderClock {
    /// The clock of a leader that has just taken over, in `term`, a partition whose clock stands at `base`: its
    /// first entry adds nothing.
    pub(crate) fn started(term: Term, base: LeaseClock, now: Instant) -> Self {
        let observed = if mutants::on(Mutant::M16) { Duration::from_hours(1) } else { Duration::ZERO };
        Self { term, base, last: now, observed, stamped_ms: 0 }
    }

    /// The term that it belongs to. Another term needs another clock, even if this replica leads again: others
    /// have moved the partition's clock meanwhile, and entries of ours may have been lost.
    pub(crate) fn term(&self) -> Term {
        self.term
    }

    /// Adds the time since the last observation.
    pub(crate) fn observe(&mut self, now: Instant, in_contact: bool) {
        let step = now.saturating_duration_since(self.last);
        self.last = now;
        if in_contact {
            self.observed += step.min(Duration::from_millis(LEASE_CLOCK_STEP_MS_MAX));
        }
    }

    /// The lease clock as of the last observation; entries in flight are counted.
    pub(crate) fn now(&self) -> LeaseClock {
        self.base + self.observed.as_millis() as u64
    }

    /// What the next entry adds: the whole milliseconds observed since the last one.
    pub(crate) fn stamp_ms(&mut self) -> u32 {
        let total = self.observed.as_millis() as u64;
        let ms = u32::try_from(total - self.stamped_ms).unwrap_or(u32::MAX);
        self.stamped_ms += u64::from(ms);
        ms
    }

    /// Takes back what [`stamp_ms`](Self::stamp_ms) gave to an entry of this term that was never proposed: the
    /// next one adds it. Else this clock would run ahead of the replicated one for ever, and its ticks would come
    /// before anything is due.
    pub(crate) fn give_back(&mut self, ms: u32) {
        self.stamped_ms -= u64::from(ms);
    }
}

/// Both clocks of a partition, as replicated: equal on every replica at the same entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Clocks {
    pub(crate) lease: LeaseClock,
    pub(crate) wall: WallClock,
}

impl Clocks {
    /// The clocks after an entry: the wall clock never falls.
    pub(crate) fn advanced(self, stamp: Stamp) -> Self {
        let wall = self.wall.max(stamp.wall);
        if mutants::on(Mutant::M05) {
            return Self { lease: LeaseClock(wall.0), wall };
        }
        Self { lease: self.lease + u64::from(stamp.lease_advance_ms), wall }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_of_the_process_adds_at_most_one_second() {
        let start = Instant::now();
        let mut clock = LeaderClock::started(Term(1), LeaseClock(50), start);
        clock.observe(start + Duration::from_hours(1), true);
        assert_eq!(clock.now(), LeaseClock(1_050));
        assert_eq!((clock.stamp_ms(), clock.stamp_ms()), (1000, 0));
    }

    #[test]
    fn an_entry_that_was_not_proposed_leaves_its_time_to_the_next() {
        let start = Instant::now();
        let mut clock = LeaderClock::started(Term(1), LeaseClock(0), start);
        clock.observe(start + Duration::from_millis(300), true);
        let refused = clock.stamp_ms();
        clock.observe(start + Duration::from_millis(500), true);
        clock.give_back(refused);
        assert_eq!((clock.stamp_ms(), clock.now()), (500, LeaseClock(500)));
    }

    #[test]
    fn time_without_a_majority_does_not_count() {
        let start = Instant::now();
        let mut clock = LeaderClock::started(Term(1), LeaseClock(0), start);
        clock.observe(start + Duration::from_millis(400), true);
        clock.observe(start + Duration::from_millis(900), false);
        clock.observe(start + Duration::from_secs(1), true);
        assert_eq!(clock.now(), LeaseClock(500));
    }

    #[test]
    fn the_wall_clock_never_falls() {
        let clocks = Clocks { lease: LeaseClock(5), wall: WallClock(100) };
        let after = clocks.advanced(Stamp { wall: WallClock(90), lease_advance_ms: 7 });
        assert_eq!(after, Clocks { lease: LeaseClock(12), wall: WallClock(100) });
    }
}
