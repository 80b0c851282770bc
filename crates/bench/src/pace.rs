//! When messages are to be sent.

use std::time::{Duration, Instant};

use rustix::thread::{ClockId, NanosleepRelativeResult, clock_nanosleep_relative};
use rustix::time::Timespec;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Arrivals at a constant rate, dealt to publishers in turn.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    rate: f64,
    publishers: u32,
}

impl Pace {
    /// So many messages per second, of so many publishers together.
    pub fn new(rate: f64, publishers: u32) -> Self {
        Self { rate, publishers }
    }

    /// When the arrival of this number is due, from the beginning on.
    pub fn due(&self, number: u64) -> Duration {
        Duration::from_secs_f64(number as f64 / self.rate)
    }

    /// Whose it is.
    pub fn publisher(&self, number: u64) -> u32 {
        (number % u64::from(self.publishers)) as u32
    }

    /// Hands each arrival to its publisher when it is due, for `length`, or until `stop`. Blocks: a thread of its own keeps
    /// the schedule to some 50 µs, where timers of the runtime are rounded to a millisecond. A publisher that is behind
    /// finds its arrivals waiting: as many as the schedule has, no more.
    pub fn keep(
        &self,
        began: Instant,
        length: Duration,
        to: &[mpsc::UnboundedSender<Duration>],
        stop: &CancellationToken,
    ) {
        for number in 0.. {
            let due = self.due(number);
            if due >= length || stop.is_cancelled() {
                return;
            }
            wait_until(began + due);
            if to[self.publisher(number) as usize].send(due).is_err() {
                return;
            }
        }
    }
}

fn wait_until(moment: Instant) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return };
        if left == Timespec::default() {
            return;
        }
        // Otherwise a signal came: the rest.
        if let NanosleepRelativeResult::Ok = clock_nanosleep_relative(ClockId::Monotonic, &left) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_are_spread_evenly_and_dealt_in_turn() {
        let pace = Pace::new(2_000.0, 3);
        assert_eq!(pace.due(0), Duration::ZERO);
        assert_eq!(pace.due(2_000), Duration::from_secs(1));
        assert_eq!(pace.due(1), Duration::from_micros(500));
        assert_eq!((0..6).map(|number| pace.publisher(number)).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    }
}
