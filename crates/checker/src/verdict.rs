//! What comes of a check.

use serde::{Deserialize, Serialize};

use crate::{Event, Micros};

/// The three possible ends. The worst of several wins: invalid over unknown over valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every property holds, and the run was worth something.
    Valid,
    /// Nothing was proved either way. Never green.
    Unknown,
    /// A property is violated.
    Invalid,
}

/// One violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anomaly {
    /// The check's number, such as `Q6`, `S` for streams, `L1`.
    pub check: String,
    /// The anomaly's name, such as `redelivery-after-ack`.
    pub name: String,
    /// When it was proved.
    pub at: Micros,
    /// The topic.
    pub topic: String,
    /// The message, value, partition or group that it is about, in words.
    pub subject: String,
    /// One sentence with the numbers.
    pub text: String,
    /// The events that prove it: line numbers of the history, from 0, in order.
    pub evidence: Vec<u64>,
}

/// What one check found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Findings {
    /// Violations, the first ones when there are very many; `more` counts the rest.
    pub anomalies: Vec<Anomaly>,
    /// Violations beyond those listed.
    pub more: u64,
    /// Why nothing could be proved, if so.
    pub unknown: Vec<String>,
    /// Things worth knowing that violate nothing: figures, gaps, repeated records.
    pub notes: Vec<String>,
}

/// Most violations that one [`Findings`] lists.
const LISTED_MAX: usize = 1_000;

impl Findings {
    /// Adds a violation: lists it, or counts it when there are very many.
    pub fn add(&mut self, anomaly: Anomaly) {
        if self.anomalies.len() < LISTED_MAX {
            self.anomalies.push(anomaly);
        } else {
            self.more += 1;
        }
    }

    /// What they amount to.
    pub fn verdict(&self) -> Verdict {
        if !self.anomalies.is_empty() {
            Verdict::Invalid
        } else if !self.unknown.is_empty() {
            Verdict::Unknown
        } else {
            Verdict::Valid
        }
    }
}

/// One check: a fold over a history.
pub trait Check: Send {
    /// Its number and name: `Q6 redelivery-after-ack`.
    fn name(&self) -> &'static str;
    /// Takes note of the event in line `line` (from 0).
    fn observe(&mut self, line: u64, event: &Event);
    /// What it found, after the last event.
    fn finish(self: Box<Self>) -> Findings;
}
