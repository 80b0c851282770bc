//! How many operations ended how, over time.

use weir_checker::{Event, Micros, Outcome};

use crate::report::scale::Time;

/// Parts that the run is cut into.
const PARTS: usize = 200;

/// Operations per part of the run.
pub(in crate::report) struct Rates {
    time: Time,
    parts: Vec<[u32; 3]>,
}

impl Rates {
    pub(super) fn new(time: Time) -> Self {
        // A part is no shorter than a tenth of a second: less is noise.
        let parts = (time.length() / 100_000).clamp(1, PARTS as u64);
        Self { time, parts: vec![[0; 3]; parts as usize] }
    }

    /// Counts a client's operation where it ended, at `now` if it has no end.
    pub(super) fn observe(&mut self, event: &Event, now: Micros) {
        let part = self.time.part(event.to.unwrap_or(now), self.parts.len());
        self.parts[part][place(event.outcome)] += 1;
    }

    /// Operations of this outcome per second, one number per part.
    pub(in crate::report) fn per_second(&self, outcome: Outcome) -> Vec<f64> {
        let seconds = self.time.length() as f64 / 1e6 / self.parts.len() as f64;
        self.parts.iter().map(|counts| f64::from(counts[place(outcome)]) / seconds).collect()
    }
}

fn place(outcome: Outcome) -> usize {
    match outcome {
        Outcome::Ok => 0,
        Outcome::Fail => 1,
        Outcome::Info => 2,
    }
}
