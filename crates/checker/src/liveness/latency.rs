//! L1. After the heal, writes are as fast again as they were.

use super::{LivenessOptions, SLOW_AFTER_HEAL, anomaly, known, seconds};
use crate::{Check, Event, Findings, Micros, Op, Outcome, Phase};

/// Writes of one window whose 99th percentile is looked at.
const WINDOW: Micros = 5_000_000;
/// From one window to the next.
const STEP: Micros = 1_000_000;
/// Fewest writes that have a 99th percentile.
const WRITES_MIN: usize = 50;

/// Latencies of writes that succeeded. Reads wait for records, and say nothing.
pub(super) struct Latency {
    options: LivenessOptions,
    phase: Option<Phase>,
    warm: Vec<Micros>,
    /// When it was, and the line.
    healed: Option<(Micros, u64)>,
    /// Beginning and latency of each write since.
    since: Vec<(Micros, Micros)>,
}

impl Latency {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        Self { options: options.clone(), phase: None, warm: Vec::new(), healed: None, since: Vec::new() }
    }
}

impl Check for Latency {
    fn name(&self) -> &'static str {
        "L1 available-after-heal"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        match &event.op {
            Op::Phase(phase) => {
                self.phase = Some(*phase);
                if *phase == Phase::Healed {
                    self.healed = Some((known(event), line));
                    self.since.clear();
                }
            }
            Op::Enqueue { .. }
            | Op::Settle { .. }
            | Op::Append { .. }
            | Op::Commit { .. }
            | Op::CommitAndAppend { .. }
                if event.outcome == Outcome::Ok =>
            {
                let took = known(event).saturating_sub(event.from);
                match self.phase {
                    Some(Phase::Warm) => self.warm.push(took),
                    Some(Phase::Healed | Phase::Recovery) => self.since.push((event.from, took)),
                    _ => {}
                }
            }
            _ => {}
        }
    }

    fn finish(mut self: Box<Self>) -> Findings {
        let mut found = Findings::default();
        let Some((healed, line)) = self.healed else { return found };
        let Some(usual) = percentile(&mut self.warm) else {
            found.notes.push("fewer writes in the warm phase than a 99th percentile needs".to_owned());
            return found;
        };
        let limit = (2 * usual).max(self.options.latency_floor);
        self.since.sort_unstable();
        let end = self.since.last().map_or(healed, |(from, _)| *from);
        let mut begin = healed;
        while begin + WINDOW <= end.max(healed + WINDOW) {
            let first = self.since.partition_point(|(from, _)| *from < begin);
            let last = self.since.partition_point(|(from, _)| *from < begin + WINDOW);
            let mut window: Vec<Micros> = self.since[first..last].iter().map(|(_, took)| *took).collect();
            if percentile(&mut window).is_some_and(|now| now <= limit) {
                break;
            }
            begin += STEP;
        }
        let waited = begin - healed;
        let good = begin + WINDOW <= end.max(healed + WINDOW);
        if waited > self.options.fast_again_max {
            let text = format!(
                "the 99th percentile of writes was not below {} again for {} after the heal; it had been {}",
                seconds(limit),
                seconds(waited),
                seconds(usual)
            );
            found.add(anomaly(SLOW_AFTER_HEAL, begin, ("", "all writes".to_owned()), text, &[line]));
        } else if good {
            found.notes.push(format!("writes were fast again {} after the heal", seconds(waited)));
        } else {
            let seen = seconds(end.saturating_sub(healed));
            found
                .unknown
                .push(format!("writes went on for only {seen} after the heal, and were not yet fast again"));
        }
        found
    }
}

/// The 99th percentile by the nearest rank; none of too few.
fn percentile(latencies: &mut [Micros]) -> Option<Micros> {
    if latencies.len() < WRITES_MIN {
        return None;
    }
    let rank = (latencies.len() * 99).div_ceil(100) - 1;
    Some(*latencies.select_nth_unstable(rank).1)
}
