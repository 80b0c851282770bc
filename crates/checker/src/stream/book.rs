//! Where violations are written down.

use super::ops::{OpId, Ops};
use super::{CHECKS, Name};
use crate::{Anomaly, Checked, Findings};

/// Findings of every check of streams.
pub(super) struct Book(Vec<Findings>);

impl Book {
    pub(super) fn new() -> Self {
        Self(CHECKS.iter().map(|_| Findings::default()).collect())
    }

    fn of(&mut self, check: &str) -> &mut Findings {
        let place = CHECKS.iter().position(|name| name.split(' ').next() == Some(check));
        &mut self.0[place.expect("an anomaly belongs to a check of streams")]
    }

    /// A violation that these operations prove. `about` is the topic, and what of it in words.
    pub(super) fn add(
        &mut self,
        (check, name): Name,
        (topic, subject): (&str, String),
        text: String,
        (ops, evidence): (&Ops, &[OpId]),
    ) {
        let seen = evidence.iter().map(|op| ops.of(*op));
        let at = seen.clone().map(|seen| if seen.to == u64::MAX { seen.from } else { seen.to }).max();
        let mut lines: Vec<u64> = seen.map(|seen| seen.line).collect();
        lines.sort_unstable();
        lines.dedup();
        self.of(check).add(Anomaly {
            check: check.to_owned(),
            name: name.to_owned(),
            at: at.unwrap_or(0),
            topic: topic.to_owned(),
            subject,
            text,
            evidence: lines,
        });
    }

    /// Something worth knowing.
    pub(super) fn note(&mut self, check: &str, text: String) {
        self.of(check).notes.push(text);
    }

    /// Takes over what another book says.
    pub(super) fn take(&mut self, other: Self) {
        for (findings, mut more) in self.0.iter_mut().zip(other.0) {
            more.anomalies.drain(..).for_each(|anomaly| findings.add(anomaly));
            findings.more += more.more;
            findings.notes.append(&mut more.notes);
        }
    }

    pub(super) fn close(self) -> Vec<Checked> {
        let checks = CHECKS.iter().zip(self.0);
        checks.map(|(name, findings)| Checked { name: (*name).to_owned(), findings }).collect()
    }
}
