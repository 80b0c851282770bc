//! What one wall clock has shown lately, by this node's monotonic clock.

use std::time::Duration;

use tokio::time::Instant;
use weir_types::WallClock;

/// How long the least is kept: so long at least, and twice as long at most.
const SPAN: Duration = Duration::from_secs(1);

/// What a clock shows now, as far as it has been told: carried on by our monotonic clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// By what it told last.
    pub(crate) last: WallClock,
    /// By what it told when it was furthest behind, within the last one to two seconds. A clock that jumps ahead
    /// shows it here only after that time.
    pub(crate) least: WallClock,
}

/// The tellings of one clock. Kept is by how many milliseconds the clock is ahead of our monotonic one, which does not
/// change while both run.
#[derive(Debug)]
pub(super) struct Told {
    origin: Instant,
    last: i64,
    /// Of the span that began then.
    least: i64,
    span_began: Instant,
    /// Of the span before.
    least_before: i64,
}

impl Told {
    pub(super) fn first(now: Instant, wall: WallClock) -> Self {
        let ahead = wall.0.cast_signed();
        Self { origin: now, last: ahead, least: ahead, span_began: now, least_before: ahead }
    }

    pub(super) fn tell(&mut self, now: Instant, wall: WallClock) {
        self.last = wall.0.cast_signed() - self.elapsed_ms(now);
        if now - self.span_began >= SPAN {
            self.least_before = self.least;
            self.least = self.last;
            self.span_began = now;
        }
        self.least = self.least.min(self.last);
    }

    pub(super) fn reading(&self, now: Instant) -> Reading {
        let shown = |ahead: i64| WallClock((ahead + self.elapsed_ms(now)).max(0).cast_unsigned());
        Reading { last: shown(self.last), least: shown(self.least.min(self.least_before)) }
    }

    fn elapsed_ms(&self, now: Instant) -> i64 {
        (now - self.origin).as_millis() as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_000_000;

    fn after(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn between_tellings_a_clock_goes_on() {
        let start = Instant::now();
        let told = Told::first(start, WallClock(WALL));
        let reading = told.reading(after(start, 300));
        assert_eq!(reading, Reading { last: WallClock(WALL + 300), least: WallClock(WALL + 300) });
    }

    #[test]
    fn a_jump_ahead_is_believed_when_it_has_lasted() {
        let start = Instant::now();
        let mut told = Told::first(start, WallClock(WALL));
        for ms in (100..=2_500).step_by(100) {
            let jumped = if ms >= 500 { 3_600_000 } else { 0 };
            told.tell(after(start, ms), WallClock(WALL + jumped + ms));
            let Reading { last, least } = told.reading(after(start, ms));
            assert_eq!(last, WallClock(WALL + jumped + ms));
            let is_believed = least == last;
            match ms {
                500..1_500 => assert!(!is_believed, "after {} ms", ms - 500),
                2_500.. => assert!(is_believed, "after {} ms", ms - 500),
                _ => {}
            }
        }
    }

    #[test]
    fn a_jump_back_is_believed_at_once_and_remembered() {
        let start = Instant::now();
        let mut told = Told::first(start, WallClock(WALL));
        told.tell(after(start, 100), WallClock(100));
        told.tell(after(start, 200), WallClock(WALL + 200));
        let reading = told.reading(after(start, 200));
        assert_eq!(reading, Reading { last: WallClock(WALL + 200), least: WallClock(200) });
    }

    #[test]
    fn a_clock_that_was_silent_is_held_to_what_it_told_before() {
        let start = Instant::now();
        let mut told = Told::first(start, WallClock(WALL));
        told.tell(after(start, 60_000), WallClock(WALL + 3_600_000));
        assert_eq!(told.reading(after(start, 60_000)).least, WallClock(WALL + 60_000));
    }
}
