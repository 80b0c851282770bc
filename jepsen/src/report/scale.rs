//! From times and latencies to places in a chart. Every chart is 1000 wide and 100 high, whatever the screen.

use weir_checker::Micros;

/// A chart's width in its own units.
pub(super) const WIDTH: f64 = 1_000.0;
/// A chart's height in its own units.
pub(super) const HEIGHT: f64 = 100.0;

/// The smallest latency that a chart tells apart, in microseconds.
const LATENCY_MIN: f64 = 100.0;
/// How many powers of ten a chart of latencies shows: up to 100 s.
const LATENCY_DECADES: f64 = 6.0;
/// Most ticks on a time axis.
const TICKS_MAX: u64 = 12;

/// The time axis that all charts of a page share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    length: Micros,
}

impl Time {
    /// From 0 to `length`, in microseconds; at least a second.
    pub(super) fn new(length: Micros) -> Self {
        Self { length: length.max(1_000_000) }
    }

    /// The whole length in microseconds.
    pub(super) fn length(self) -> Micros {
        self.length
    }

    /// Where a moment is.
    pub(super) fn x(self, at: Micros) -> f64 {
        at.min(self.length) as f64 * WIDTH / self.length as f64
    }

    /// Which of `count` equal parts a moment falls into.
    pub(super) fn part(self, at: Micros, count: usize) -> usize {
        let part = u128::from(at.min(self.length)) * count as u128 / u128::from(self.length);
        (part as usize).min(count - 1)
    }

    /// Round moments, evenly spaced.
    pub(super) fn ticks(self) -> impl Iterator<Item = Micros> {
        const STEPS: [u64; 15] = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200];
        let seconds = self.length / 1_000_000;
        let step = STEPS.into_iter().find(|step| seconds / step < TICKS_MAX).unwrap_or(seconds);
        (0..=seconds / step).map(move |tick| tick * step * 1_000_000)
    }
}

/// Where a latency is: longer is higher, each power of ten takes the same room.
pub(super) fn latency_y(latency: Micros) -> f64 {
    let decades = (latency as f64 / LATENCY_MIN).max(1.0).log10();
    HEIGHT - decades.min(LATENCY_DECADES) / LATENCY_DECADES * HEIGHT
}

/// A number short enough for a path: one decimal, and none when it is zero.
pub(super) fn short(number: f64) -> String {
    let text = format!("{number:.1}");
    text.strip_suffix(".0").map_or_else(|| text.clone(), str::to_owned)
}

/// A moment as a reader says it: `83.250 s`.
pub(super) fn seconds(at: Micros) -> String {
    format!("{}.{:03} s", at / 1_000_000, at % 1_000_000 / 1_000)
}

/// A length of time with three digits that matter: `840 µs`, `12.5 ms`, `3.20 s`, `4 min 10 s`.
pub(super) fn duration(length: Micros) -> String {
    match length {
        0..1_000 => format!("{length} µs"),
        1_000..1_000_000 => three(length as f64 / 1e3, "ms"),
        1_000_000..120_000_000 => three(length as f64 / 1e6, "s"),
        _ => format!("{} min {} s", length / 60_000_000, length / 1_000_000 % 60),
    }
}

fn three(number: f64, unit: &str) -> String {
    let decimals = if number < 10.0 { 2 } else { usize::from(number < 100.0) };
    format!("{number:.decimals$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_axis_has_at_most_a_dozen_round_ticks() {
        for seconds in [1, 7, 60, 61, 300, 599, 3_600, 86_400] {
            let ticks: Vec<_> = Time::new(seconds * 1_000_000).ticks().collect();
            assert!((2..=13).contains(&ticks.len()), "{seconds} s: {ticks:?}");
            assert!(ticks.iter().all(|tick| *tick <= seconds * 1_000_000));
        }
    }

    #[test]
    fn longer_latencies_are_higher_and_stay_in_the_chart() {
        let ys: Vec<_> = [1, 100, 1_000, 1_000_000, 100_000_000, Micros::MAX].map(latency_y).into();
        assert!(ys.is_sorted_by(|a, b| a >= b), "{ys:?}");
        assert!(ys.iter().all(|y| (0.0..=HEIGHT).contains(y)), "{ys:?}");
    }

    #[test]
    fn durations_keep_three_digits() {
        let words = [840, 12_500, 3_200_000, 250_000_000].map(duration);
        assert_eq!(words, ["840 µs", "12.5 ms", "3.20 s", "4 min 10 s"]);
    }

    #[test]
    fn the_last_moment_falls_into_the_last_part() {
        let time = Time::new(10_000_000);
        assert_eq!((time.part(0, 4), time.part(5_000_000, 4), time.part(Micros::MAX, 4)), (0, 2, 3));
    }
}
