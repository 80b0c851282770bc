//! Counts and latencies of one side of a run: kept by each task for itself, added up in the end.

use std::ops::Range;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// The longest latency that is told apart.
const LATENCY_MAX: Duration = Duration::from_mins(10);
/// Decimal digits of a latency that are kept.
const DIGITS: u8 = 3;

/// What one task saw within the measured window.
#[derive(Clone, Debug)]
pub struct Meter {
    /// From the beginning of the run.
    window: Range<Duration>,
    latency: Histogram<u64>,
    /// Messages of each second of the window.
    seconds: Vec<u64>,
    errors: u64,
}

/// What a side of a run came to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Side {
    /// Messages within the window.
    pub messages: u64,
    /// Messages per second.
    pub rate: f64,
    /// Bodies, in 10^6 bytes per second.
    pub megabytes: f64,
    /// Messages in the worst whole second.
    pub worst_second: u64,
    /// Calls that failed, within the window and before it.
    pub errors: u64,
    /// From the intended moment on, in milliseconds.
    pub latency: Latency,
}

/// Quantiles, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[expect(missing_docs, reason = "quantiles by their names")]
pub struct Latency {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

impl Meter {
    /// Counts what happens within `window`.
    pub fn new(window: Range<Duration>) -> Self {
        let latency = Histogram::new_with_bounds(1, LATENCY_MAX.as_micros() as u64, DIGITS);
        let seconds = vec![0; window.end.saturating_sub(window.start).as_secs() as usize];
        Self { window, latency: latency.expect("the bounds are in order"), seconds, errors: 0 }
    }

    /// A message was done `now`, and was to be sent at `intended`, both from the beginning of the run.
    pub fn record(&mut self, intended: Duration, now: Duration) {
        if !self.window.contains(&now) {
            return;
        }
        self.latency.saturating_record(now.saturating_sub(intended).as_micros() as u64);
        if let Some(second) = self.seconds.get_mut(now.saturating_sub(self.window.start).as_secs() as usize) {
            *second += 1;
        }
    }

    /// A call failed.
    pub fn fail(&mut self) {
        self.errors += 1;
    }

    /// Adds what another task saw.
    pub fn add(&mut self, other: &Self) {
        self.latency.add(&other.latency).expect("all meters have the same bounds");
        self.errors += other.errors;
        self.seconds.iter_mut().zip(&other.seconds).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// What it comes to, for messages of this size.
    pub fn side(&self, size: usize) -> Side {
        let length = self.window.end.saturating_sub(self.window.start).as_secs_f64();
        let messages = self.latency.len();
        let rate = messages as f64 / length;
        let at = |quantile: f64| self.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Side {
            messages,
            rate,
            megabytes: rate * size as f64 / 1e6,
            worst_second: self.seconds.iter().copied().min().unwrap_or(messages),
            errors: self.errors,
            latency: Latency {
                p50: at(0.5),
                p90: at(0.9),
                p99: at(0.99),
                p999: at(0.999),
                max: self.latency.max() as f64 / 1_000.0,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn only_what_is_done_within_the_window_counts_and_from_its_intended_moment_on() {
        let mut meter = Meter::new(ms(1_000)..ms(3_000));
        meter.record(ms(0), ms(999));
        meter.record(ms(900), ms(1_000));
        meter.record(ms(1_500), ms(2_999));
        meter.record(ms(2_900), ms(3_000));
        let side = meter.side(1_000_000);
        assert_eq!((side.messages, side.worst_second), (2, 1));
        assert!((side.rate - 1.0).abs() < 1e-9 && (side.megabytes - 1.0).abs() < 1e-9);
        assert!((side.latency.max - 1_499.0).abs() < 2.0 && (side.latency.p50 - 100.0).abs() < 0.2);
    }

    #[test]
    fn meters_of_several_tasks_add_up() {
        let window = ms(0)..ms(2_000);
        let (mut one, mut other) = (Meter::new(window.clone()), Meter::new(window));
        one.record(ms(10), ms(20));
        other.record(ms(1_010), ms(1_030));
        other.fail();
        one.add(&other);
        let side = one.side(10);
        assert_eq!((side.messages, side.errors, side.worst_second), (2, 1, 1));
    }
}
