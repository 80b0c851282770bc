//! What came of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_checker::{How, MessageId, Op, Options, QueueOptions};

use super::workload::Journal;
use super::world::World;
use super::{Driver, Scenario, Trace};
use crate::recorder::Recorder;

/// What came of a run.
pub struct Outcome {
    /// Everything that happened.
    pub trace: Trace,
    /// Every broken promise, in words; none when all is well.
    pub violations: Vec<String>,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// A few figures.
    pub summary: String,
    /// How often each kind of fault happened.
    pub faults: BTreeMap<String, u32>,
}

impl Driver<'_> {
    pub(super) fn outcome(self, world: &World, journal: &Journal, scenario: Option<&Scenario>) -> Outcome {
        let recorder = &journal.recorder;
        let broken = recorder.broken_promises(&known(self.options));
        let mut violations = self.violations;
        violations.extend(broken);
        violations.extend(self.leaders.violations().iter().cloned());
        violations.extend(self.invariants.violations().iter().cloned());
        violations.extend(journal.violations());
        let (elections, leaderless) = self.counted.unwrap_or_default();
        let gap = longest_gap(recorder);
        if let Some(scenario) = scenario {
            violations.extend(scenario.judge(elections, leaderless, gap));
        }
        for violation in &violations {
            self.trace.note_at(world.elapsed(), format_args!("VIOLATION {violation}"));
        }
        let summary = format!(
            "{}, {} faults, {elections} elections of one group at most, leaderless for {:.1} s at most, \
             {:.1} s between two acknowledgements at most",
            counts(recorder),
            self.faults.happened().len(),
            leaderless.as_secs_f64(),
            gap.as_secs_f64(),
        );
        let mut faults = BTreeMap::new();
        for fault in self.faults.happened() {
            *faults.entry(fault.kind_name()).or_default() += 1;
        }
        Outcome { violations, elapsed: world.elapsed(), summary, faults, trace: self.trace.clone() }
    }
}

/// What the checks have to know beside the history.
fn known(options: &super::Options) -> Options {
    let queue = QueueOptions {
        attempts_max: Some(options.attempts_max),
        inflight_per_key_max: options.rules.leases_per_key as usize,
        parked_hold_key: options.rules.parked_hold_key,
        ..QueueOptions::default()
    };
    Options { clock_rate_percent: options.clock_rate_percent(), queue, ..Options::default() }
}

fn counts(recorder: &Recorder) -> String {
    let (mut sent, mut delivered, mut acked, mut read) = (0, 0, 0, 0);
    recorder.each(|event| match &event.op {
        Op::Enqueue { .. } if event.outcome == weir_checker::Outcome::Ok => sent += 1,
        Op::Append { values, .. } if event.outcome == weir_checker::Outcome::Ok => sent += values.len(),
        Op::Receive { deliveries, .. } => delivered += deliveries.len(),
        Op::Settle { how: How::Ack, .. } => acked += 1,
        Op::Poll { records, .. } => read += records.len(),
        _ => {}
    });
    format!("{sent} acknowledged, {delivered} deliveries, {acked} acks, {read} reads")
}

/// The longest time between two acknowledgements of one partition.
fn longest_gap(recorder: &Recorder) -> Duration {
    let mut last: BTreeMap<(bool, u32), u64> = BTreeMap::new();
    let mut longest = 0;
    recorder.each(|event| {
        let partition = match &event.op {
            Op::Enqueue { at: Some(MessageId { partition, .. }), .. } => (false, *partition),
            Op::Append { at: Some((partition, _)), .. } => (true, *partition),
            _ => return,
        };
        let Some(to) = event.to else { return };
        if let Some(before) = last.insert(partition, to) {
            longest = longest.max(to - before);
        }
    });
    Duration::from_micros(longest)
}
