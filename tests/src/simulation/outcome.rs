//! What came of a run.

use std::collections::BTreeMap;
use std::time::Duration;

use super::workload::Journal;
use super::{Driver, Scenario, Trace};
use crate::check;
use crate::history::{History, Op, Topic};

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
    pub(super) fn outcome(
        self,
        sim: &turmoil::Sim<'_>,
        journal: &Journal,
        scenario: Option<&Scenario>,
    ) -> Outcome {
        let history = &journal.history;
        let mut violations = self.violations;
        violations.extend(broken_promises(history));
        violations.extend(self.leaders.violations().iter().cloned());
        violations.extend(self.invariants.violations().iter().cloned());
        violations.extend(journal.violations());
        let (elections, leaderless) = self.counted.unwrap_or_default();
        let gap = longest_gap(history);
        if let Some(scenario) = scenario {
            violations.extend(scenario.judge(elections, leaderless, gap));
        }
        for violation in &violations {
            self.trace.note_at(sim.elapsed(), format_args!("VIOLATION {violation}"));
        }
        let summary = format!(
            "{}, {} faults, {elections} elections of one group at most, leaderless for {:.1} s at most, \
             {:.1} s between two acknowledgements at most",
            counts(history),
            self.faults.happened().len(),
            leaderless.as_secs_f64(),
            gap.as_secs_f64(),
        );
        let mut faults = BTreeMap::new();
        for fault in self.faults.happened() {
            *faults.entry(fault.kind_name()).or_default() += 1;
        }
        Outcome { violations, elapsed: sim.elapsed(), summary, faults, trace: self.trace.clone() }
    }
}

/// What the history breaks of the contract.
fn broken_promises(history: &History) -> Vec<String> {
    let mut checks = check::all();
    history.each(|span, op| checks.iter_mut().for_each(|check| check.observe(span, op)));
    let broken = checks.iter().flat_map(|check| {
        check.violations().into_iter().map(|violation| format!("{}: {violation}", check.property()))
    });
    broken.collect()
}

fn counts(history: &History) -> String {
    let sent = history.count(|op| matches!(op, Op::Sent { at: Some(_), .. }));
    let delivered = history.count(|op| matches!(op, Op::Delivered { .. }));
    let acked = history.count(|op| matches!(op, Op::Settled { ack: true, .. }));
    let read = history.count(|op| matches!(op, Op::Read { .. }));
    format!("{sent} acknowledged, {delivered} deliveries, {acked} acks, {read} reads")
}

/// The longest time between two acknowledgements of one partition.
fn longest_gap(history: &History) -> Duration {
    let mut last: BTreeMap<(Topic, u32), u64> = BTreeMap::new();
    let mut longest = 0;
    history.each(|span, op| {
        if let Op::Sent { topic, at: Some((partition, _)), .. } = op
            && let Some(before) = last.insert((*topic, *partition), span.to)
        {
            longest = longest.max(span.to - before);
        }
    });
    Duration::from_micros(longest)
}
