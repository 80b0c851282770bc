//! L6 and L7. Leaders: one in a term, and not too many terms.

use std::collections::{BTreeMap, BTreeSet};

use super::{ELECTION_STORM, LivenessOptions, TWO_LEADERS, anomaly, known, seconds};
use crate::checks::Fold;
use crate::{Checked, Event, Fault, FaultPhase, Findings, Micros, Op};

/// Ten minutes.
const TEN_MINUTES: Micros = 600_000_000;
/// Elections that each one-way partition may bring about beside: one when it begins, one when it ends.
const TERMS_EACH: u64 = 2;

/// What was seen of one partition's leaders.
#[derive(Default)]
struct Seen {
    leaders: BTreeMap<u64, (String, u64)>,
    /// Time and term, when it rose.
    rises: Vec<(Micros, u64)>,
}

/// The fold.
pub(super) struct Terms {
    options: LivenessOptions,
    partitions: BTreeMap<(String, u32), Seen>,
    /// One-way partitions at work.
    open: BTreeSet<u64>,
    /// Since when at least one is at work.
    since: Micros,
    /// Times with at least one.
    windows: Vec<(Micros, Micros)>,
    now: Micros,
    converged: Findings,
    elections: Findings,
}

impl Terms {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        Self {
            options: options.clone(),
            partitions: BTreeMap::new(),
            open: BTreeSet::new(),
            since: 0,
            windows: Vec::new(),
            now: 0,
            converged: Findings::default(),
            elections: Findings::default(),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        if !self.options.one_way_faults.contains(&fault.kind) {
            return;
        }
        match fault.phase {
            FaultPhase::Begin => {
                if self.open.is_empty() {
                    self.since = self.now;
                }
                self.open.insert(fault.id);
            }
            FaultPhase::End if self.open.remove(&fault.id) && self.open.is_empty() => {
                self.windows.push((self.since, self.now));
            }
            FaultPhase::End | FaultPhase::Once => {}
        }
    }

    fn leader(&mut self, line: u64, (topic, partition): (&str, u32), term: u64, leader: &str) {
        let seen = self.partitions.entry((topic.to_owned(), partition)).or_default();
        if seen.rises.last().is_none_or(|(_, last)| *last < term) {
            seen.rises.push((self.now, term));
        }
        let (other, before) = seen.leaders.entry(term).or_insert_with(|| (leader.to_owned(), line));
        if other != leader {
            let text = format!("{other} and {leader} both lead in term {term}");
            let subject = format!("partition {partition}");
            self.converged.add(anomaly(TWO_LEADERS, self.now, (topic, subject), text, &[*before, line]));
        }
    }

    fn storms(&mut self) {
        let lasted: Micros = self.windows.iter().map(|(begin, end)| end - begin).sum();
        let allowed = TERMS_EACH * self.windows.len() as u64 + self.options.terms_max * lasted / TEN_MINUTES;
        for ((topic, partition), seen) in &self.partitions {
            let at = |time: Micros| {
                let count = seen.rises.partition_point(|(rose, _)| *rose <= time);
                count.checked_sub(1).map(|last| seen.rises[last].1)
            };
            // What was seen first is where counting begins.
            let first = seen.rises.first().map_or(0, |(_, term)| *term);
            let gained = |(begin, end): &(Micros, Micros)| {
                at(*end).unwrap_or(first).saturating_sub(at(*begin).unwrap_or(first))
            };
            let terms: u64 = self.windows.iter().map(gained).sum();
            if terms > allowed {
                let text = format!(
                    "{terms} terms in {} under {} one-way partitions, {allowed} are allowed",
                    seconds(lasted),
                    self.windows.len()
                );
                let subject = format!("partition {partition}");
                self.elections.add(anomaly(ELECTION_STORM, self.now, (topic, subject), text, &[]));
            }
        }
    }

    fn figures(&mut self) {
        let rate = |((topic, partition), seen): (&(String, u32), &Seen)| {
            let ((begin, first), (_, last)) = (seen.rises.first()?, seen.rises.last()?);
            let lasted = self.now.saturating_sub(*begin).max(1);
            Some(((last - first) * TEN_MINUTES / lasted, last - first, format!("{topic}/{partition}")))
        };
        if let Some((rate, terms, place)) = self.partitions.iter().filter_map(rate).max() {
            self.elections.notes.push(format!("most terms: {rate} in 10 minutes ({place}, {terms} in all)"));
        }
    }
}

impl Fold for Terms {
    fn observe(&mut self, line: u64, event: &Event) {
        self.now = self.now.max(known(event));
        match &event.op {
            Op::Fault(fault) => self.fault(fault),
            Op::Leader { topic, partition, term, leader } => {
                self.leader(line, (topic, *partition), *term, leader);
            }
            _ => {}
        }
    }

    fn finish(mut self: Box<Self>) -> Vec<Checked> {
        if !self.open.is_empty() {
            self.windows.push((self.since, self.now));
        }
        self.storms();
        self.figures();
        vec![
            Checked { name: "L6 converge".to_owned(), findings: self.converged },
            Checked { name: "L7 elections".to_owned(), findings: self.elections },
        ]
    }
}
