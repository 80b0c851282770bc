//! The life line of each anomaly: every operation that touches what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use weir_checker::{Anomaly, Event, Report};

use super::run::Run;
use super::trace::Trace;

/// Most anomalies with the same name that get a card.
const SAME_NAME_MAX: usize = 4;
/// Most anomalies that get a card.
const CARDS_MAX: usize = 40;
/// Most operations that a card shows.
const SHOWN_MAX: usize = 60;
/// Most operations that are gathered before the nearest ones are chosen.
const GATHERED_MAX: usize = 4_000;

/// One anomaly with its operations.
pub(super) struct Life<'a> {
    /// It.
    pub(super) anomaly: &'a Anomaly,
    /// What it is about.
    pub(super) trace: Trace,
    /// Line numbers, from 0, with their events.
    pub(super) events: BTreeMap<u64, Event>,
    /// How many more operations touch it.
    pub(super) more: usize,
}

/// The anomalies that get a card: some of every name, those proved first.
pub(super) fn chosen(report: &Report) -> Vec<&Anomaly> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for anomaly in report.anomalies() {
        let count = counts.entry((&anomaly.check, &anomaly.name)).or_default();
        *count += 1;
        if *count <= SAME_NAME_MAX && chosen.len() < CARDS_MAX {
            chosen.push(anomaly);
        }
    }
    chosen
}

/// The lines of the history that prove them.
pub(super) fn evidence(anomalies: &[&Anomaly]) -> BTreeSet<u64> {
    anomalies.iter().flat_map(|anomaly| &anomaly.evidence).copied().collect()
}

/// Goes through the history once more and gathers what touches each anomaly.
pub(super) fn gather<'a>(
    run: &Run,
    anomalies: Vec<&'a Anomaly>,
    evidence: &BTreeMap<u64, Event>,
) -> io::Result<Vec<Life<'a>>> {
    let mut lives: Vec<_> = anomalies.into_iter().map(|anomaly| Life::begin(anomaly, evidence)).collect();
    if lives.is_empty() {
        return Ok(lives);
    }
    for event in run.events()? {
        let (line, event) = event?;
        for life in &mut lives {
            life.observe(line, &event);
        }
    }
    lives.iter_mut().for_each(Life::shorten);
    Ok(lives)
}

impl<'a> Life<'a> {
    fn begin(anomaly: &'a Anomaly, evidence: &BTreeMap<u64, Event>) -> Self {
        let mut trace = Trace::of(anomaly);
        let proof = anomaly.evidence.iter().filter_map(|line| Some((*line, evidence.get(line)?.clone())));
        let events: BTreeMap<_, _> = proof.collect();
        // What the proof tells of the subject is known before the history is read from its beginning.
        for event in events.values() {
            trace.touches(event);
        }
        Self { anomaly, trace, events, more: 0 }
    }

    fn observe(&mut self, line: u64, event: &Event) {
        if !self.trace.touches(event) || self.events.contains_key(&line) {
            return;
        }
        if self.events.len() < GATHERED_MAX {
            self.events.insert(line, event.clone());
        } else {
            self.more += 1;
        }
    }

    /// Keeps the proof, and of the rest what is nearest to it.
    fn shorten(&mut self) {
        let far =
            |line: u64| self.anomaly.evidence.iter().map(|proof| proof.abs_diff(line)).min().unwrap_or(line);
        let mut lines: Vec<_> = self.events.keys().map(|line| (far(*line), *line)).collect();
        lines.sort_unstable();
        let dropped: Vec<_> = lines.into_iter().skip(SHOWN_MAX).filter(|(far, _)| *far > 0).collect();
        self.more += dropped.len();
        for (_, line) in dropped {
            self.events.remove(&line);
        }
    }
}
