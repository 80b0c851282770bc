//! All that the checks found in one history.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Anomaly, Event, Findings, Micros, Outcome, Verdict};

/// Most anomalies of one check that a report lists.
pub const ANOMALIES_LISTED_MAX: usize = 100;
/// Most anomalies, reasons and notes of one check that a terminal shows.
const SHOWN_MAX: usize = 10;

/// One check and what it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Its number and name.
    pub name: String,
    /// What it found.
    pub findings: Findings,
}

/// How much there was to judge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Lines of the history.
    pub events: u64,
    /// Those of clients that happened.
    pub ok: u64,
    /// Those of clients that did not happen.
    pub fail: u64,
    /// Those of clients of which nobody knows.
    pub info: u64,
    /// When the last of them ended, in microseconds since the history began.
    pub length: Micros,
}

impl Figures {
    /// Counts one event.
    pub(crate) fn count(&mut self, event: &Event) {
        self.events += 1;
        self.length = self.length.max(event.to.unwrap_or(event.from));
        if event.op.is_of_the_harness() {
            return;
        }
        match event.outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Fail => self.fail += 1,
            Outcome::Info => self.info += 1,
        }
    }
}

/// The verdict over a history, and how it came about. As text it is a table for terminals.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The worst of all.
    pub verdict: Verdict,
    /// Every check, by name.
    pub checks: Vec<Checked>,
    /// How much there was to judge.
    pub figures: Figures,
}

impl Report {
    /// Puts findings of the same name together. They come out in the order of their names' numbers; anomalies in the
    /// order in which they were proved.
    pub(crate) fn of(found: Vec<Checked>, figures: Figures) -> Self {
        let mut checks: Vec<Checked> = Vec::new();
        for Checked { name, findings } in found {
            match checks.iter_mut().find(|checked| checked.name == name) {
                Some(same) => same.findings.append(findings),
                None => checks.push(Checked { name, findings }),
            }
        }
        for checked in &mut checks {
            checked.findings.tidy();
        }
        checks.sort_by_cached_key(|checked| number(&checked.name));
        let verdicts = checks.iter().map(|checked| checked.findings.verdict());
        Self { verdict: verdicts.max().unwrap_or(Verdict::Unknown), checks, figures }
    }

    /// All anomalies, check by check.
    pub fn anomalies(&self) -> impl Iterator<Item = &Anomaly> {
        self.checks.iter().flat_map(|checked| &checked.findings.anomalies)
    }
}

/// `Q6 redelivery-after-ack` comes before `Q12 fifo`.
fn number(name: &str) -> (String, u32, String) {
    let letters: String = name.chars().take_while(|c| c.is_alphabetic()).collect();
    let digits: String = name[letters.len()..].chars().take_while(char::is_ascii_digit).collect();
    (letters, digits.parse().unwrap_or(0), name.to_owned())
}

impl Findings {
    /// Takes over what another shard found.
    fn append(&mut self, mut other: Self) {
        self.anomalies.append(&mut other.anomalies);
        self.more += other.more;
        self.unknown.append(&mut other.unknown);
        self.notes.append(&mut other.notes);
    }

    /// Earliest anomalies first, and no more of them than a report lists.
    fn tidy(&mut self) {
        self.anomalies.sort_by(|a, b| (a.at, &a.name, &a.subject).cmp(&(b.at, &b.name, &b.subject)));
        self.more += self.anomalies.len().saturating_sub(ANOMALIES_LISTED_MAX) as u64;
        self.anomalies.truncate(ANOMALIES_LISTED_MAX);
        self.unknown.sort();
        self.unknown.dedup();
        self.notes.sort();
        self.notes.dedup();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.checks.iter().map(|checked| checked.name.len()).max().unwrap_or(0);
        for Checked { name, findings } in &self.checks {
            let count = findings.anomalies.len() as u64 + findings.more;
            writeln!(f, "{name:width$}  {:7}  {count:>6}", word(findings.verdict()))?;
        }
        for Checked { name, findings } in &self.checks {
            details(f, name, findings)?;
        }
        let Figures { events, ok, fail, info, length } = self.figures;
        let seconds = length / 1_000_000;
        writeln!(f, "\n{events} lines over {seconds} s: {ok} ok, {fail} failed, {info} unknown")?;
        write!(f, "{}", word(self.verdict))
    }
}

fn details(f: &mut fmt::Formatter<'_>, name: &str, findings: &Findings) -> fmt::Result {
    let Findings { anomalies, more, unknown, notes } = findings;
    if anomalies.is_empty() && unknown.is_empty() && notes.is_empty() {
        return Ok(());
    }
    writeln!(f, "\n{name}")?;
    for Anomaly { name, at, topic, subject, text, evidence, .. } in anomalies.iter().take(SHOWN_MAX) {
        writeln!(f, "  {name} at {}.{:06} s: {topic} {subject}: {text}", at / 1_000_000, at % 1_000_000)?;
        writeln!(f, "    lines {evidence:?}")?;
    }
    let hidden = anomalies.len().saturating_sub(SHOWN_MAX) as u64 + more;
    if hidden > 0 {
        writeln!(f, "  … and {hidden} more")?;
    }
    for reason in unknown.iter().take(SHOWN_MAX) {
        writeln!(f, "  unknown: {reason}")?;
    }
    for note in notes.iter().take(SHOWN_MAX) {
        writeln!(f, "  note: {note}")?;
    }
    Ok(())
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Valid => "valid",
        Verdict::Unknown => "unknown",
        Verdict::Invalid => "INVALID",
    }
}
