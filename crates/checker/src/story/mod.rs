//! Anomalies as people read them: each with the life line of what it is about, every operation that touches it.
//!
//! ```text
//!  Report ─► chosen ─► evidence: the lines that prove them ─┐
//!  history ─► those lines' events ──────────────────────────┴─► Life::begin
//!          └► once more, every event ─────────────────────────► Life::observe ─► Life::shorten ─► text
//! ```

pub mod describe;
mod life;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

pub use life::Life;
pub use trace::Trace;

use crate::{Anomaly, Event, Report};

/// Most anomalies with the same name whose story is told.
const SAME_NAME_MAX: usize = 4;
/// Most anomalies whose story is told.
const STORIES_MAX: usize = 40;

/// The anomalies whose story is told: some of every name, those proved first.
pub fn chosen(report: &Report) -> Vec<&Anomaly> {
    let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for anomaly in report.anomalies() {
        let count = counts.entry((&anomaly.check, &anomaly.name)).or_default();
        *count += 1;
        if *count <= SAME_NAME_MAX && chosen.len() < STORIES_MAX {
            chosen.push(anomaly);
        }
    }
    chosen
}

/// The lines of the history that prove them.
pub fn evidence(anomalies: &[&Anomaly]) -> BTreeSet<u64> {
    anomalies.iter().flat_map(|anomaly| &anomaly.evidence).copied().collect()
}

/// The stories of a report's anomalies, from a history in memory.
pub fn of<'a>(report: &'a Report, history: &[Event]) -> Vec<Life<'a>> {
    let chosen = chosen(report);
    let proof = evidence(&chosen).into_iter().filter_map(|line| {
        let event = usize::try_from(line).ok().and_then(|line| history.get(line))?;
        Some((line, event.clone()))
    });
    let proof: BTreeMap<u64, Event> = proof.collect();
    let mut lives: Vec<Life<'a>> = chosen.into_iter().map(|anomaly| Life::begin(anomaly, &proof)).collect();
    for life in &mut lives {
        (0..).zip(history).for_each(|(line, event)| life.observe(line, event));
        life.shorten();
    }
    lives
}
