//! The life line of each anomaly: every operation that touches what it is about.

use std::collections::BTreeMap;
use std::io;

use weir_checker::story::Life;
use weir_checker::{Anomaly, Event};

use super::run::Run;

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
