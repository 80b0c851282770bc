//! Windows of event time.

use std::time::Duration;

/// A span of event time: from `start_ms` on, up to and without `end_ms`, in milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// Its first millisecond.
    pub start_ms: u64,
    /// The millisecond behind its last one.
    pub end_ms: u64,
}

/// Windows that a record may be in, at most.
const WINDOWS_PER_RECORD_MAX: u64 = 1_000;

/// How event time is cut into windows, for each key by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One after the other, or overlapping: `every` is at most `size`.
    Aligned { size_ms: u64, every_ms: u64 },
    /// As long as records come.
    Session { gap_ms: u64 },
}

impl Windows {
    /// Windows that follow each other, aligned to the Unix epoch: a record is in one.
    ///
    /// # Panics
    /// For a size below one millisecond.
    pub fn tumbling(size: Duration) -> Self {
        Self::sliding(size, size)
    }

    /// Windows that overlap, aligned to the Unix epoch: a record is in several, 1,000 at most.
    ///
    /// # Panics
    /// For a size or a distance below one millisecond, for a distance beyond the size, which would leave gaps, and for one
    /// below a thousandth of it.
    pub fn sliding(size: Duration, every: Duration) -> Self {
        let (size_ms, every_ms) = (millis(size), millis(every));
        assert!(every_ms <= size_ms, "windows of {size:?} every {every:?} leave gaps");
        assert!(size_ms.div_ceil(every_ms) <= WINDOWS_PER_RECORD_MAX, "a record is in at most 1,000 windows");
        Self(Kind::Aligned { size_ms, every_ms })
    }

    /// Windows that last as long as records come: one that has had none for `gap` is over.
    ///
    /// # Panics
    /// For a gap below one millisecond.
    pub fn session(gap: Duration) -> Self {
        Self(Kind::Session { gap_ms: millis(gap) })
    }

    /// The windows of a record with this timestamp, from the earliest on. A session's window is what the record alone
    /// would make; those that meet become one.
    pub(crate) fn of(self, timestamp_ms: u64) -> Vec<Window> {
        match self.0 {
            Kind::Aligned { size_ms, every_ms } => {
                let last = timestamp_ms - timestamp_ms % every_ms;
                let back = (size_ms - (timestamp_ms - last) - 1) / every_ms;
                let starts = (0..=back).rev().filter_map(|back| last.checked_sub(back * every_ms));
                starts.map(|start_ms| Window { start_ms, end_ms: start_ms.saturating_add(size_ms) }).collect()
            }
            Kind::Session { gap_ms } => {
                vec![Window { start_ms: timestamp_ms, end_ms: timestamp_ms.saturating_add(gap_ms) }]
            }
        }
    }

    pub(crate) fn is_session(self) -> bool {
        matches!(self.0, Kind::Session { .. })
    }
}

impl Window {
    /// Whether two sessions are one: the later begins before the earlier is over.
    pub(crate) fn meets(&self, other: &Self) -> bool {
        self.start_ms < other.end_ms && other.start_ms < self.end_ms
    }

    pub(crate) fn and(&self, other: &Self) -> Self {
        Self { start_ms: self.start_ms.min(other.start_ms), end_ms: self.end_ms.max(other.end_ms) }
    }
}

fn millis(duration: Duration) -> u64 {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    assert!(millis > 0, "a window lasts at least a millisecond");
    millis
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(windows: Windows, timestamp_ms: u64) -> Vec<(u64, u64)> {
        windows.of(timestamp_ms).into_iter().map(|window| (window.start_ms, window.end_ms)).collect()
    }

    #[test]
    fn a_record_is_in_one_tumbling_window() {
        let windows = Windows::tumbling(Duration::from_millis(10));
        assert_eq!(spans(windows, 0), [(0, 10)]);
        assert_eq!(spans(windows, 9), [(0, 10)]);
        assert_eq!(spans(windows, 10), [(10, 20)]);
    }

    #[test]
    fn a_record_is_in_every_sliding_window_that_covers_it_and_in_no_other() {
        for (size, every) in [(10, 5), (10, 3), (7, 7), (10, 4), (1, 1)] {
            let windows = Windows::sliding(Duration::from_millis(size), Duration::from_millis(every));
            for timestamp in 0..60 {
                let all = (0..=timestamp / every).map(|place| place * every);
                let expected: Vec<_> =
                    all.filter(|start| timestamp < start + size).map(|start| (start, start + size)).collect();
                assert_eq!(spans(windows, timestamp), expected, "{timestamp} in {size} every {every}");
            }
        }
    }

    #[test]
    fn a_record_is_in_as_many_windows_as_it_may() {
        let windows = |size| Windows::sliding(Duration::from_millis(size), Duration::from_millis(10));
        assert_eq!(windows(10_000).of(1_000_000).len() as u64, WINDOWS_PER_RECORD_MAX);
        let beyond = std::panic::catch_unwind(|| windows(10_001));
        assert!(beyond.is_err(), "a record at the beginning of a window would be in 1,001");
    }

    #[test]
    fn sessions_meet_when_one_begins_before_the_other_is_over() {
        let windows = Windows::session(Duration::from_millis(10));
        let [first, second, third] = [0, 9, 19].map(|timestamp| windows.of(timestamp)[0]);
        assert!(first.meets(&second) && second.meets(&first) && !second.meets(&third));
        assert_eq!(first.and(&second), Window { start_ms: 0, end_ms: 19 });
    }
}
