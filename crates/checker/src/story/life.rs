//! The life line of what one anomaly is about.

use std::collections::BTreeMap;
use std::fmt;

use super::{Trace, describe};
use crate::{Anomaly, Event, Micros, Outcome};

/// Most operations of one life line that are shown.
const SHOWN_MAX: usize = 60;
/// Most operations that are gathered before the nearest ones are chosen.
const GATHERED_MAX: usize = 4_000;

/// One anomaly with its operations. As text it is its sentence, and a line for each operation; `*` marks the proof.
#[derive(Clone, Debug)]
pub struct Life<'a> {
    /// It.
    pub anomaly: &'a Anomaly,
    /// What it is about.
    pub trace: Trace,
    /// Line numbers, from 0, with their events.
    pub events: BTreeMap<u64, Event>,
    /// How many more operations touch it.
    pub more: usize,
}

impl<'a> Life<'a> {
    /// A life line with nothing but its proof; `evidence` has at least the events that prove the anomaly.
    pub fn begin(anomaly: &'a Anomaly, evidence: &BTreeMap<u64, Event>) -> Self {
        let mut trace = Trace::of(anomaly);
        let proof = anomaly.evidence.iter().filter_map(|line| Some((*line, evidence.get(line)?.clone())));
        let events: BTreeMap<_, _> = proof.collect();
        // What the proof tells of the subject is known before the history is read from its beginning.
        for event in events.values() {
            trace.touches(event);
        }
        Self { anomaly, trace, events, more: 0 }
    }

    /// Takes the event in line `line` up, if it touches what the anomaly is about.
    pub fn observe(&mut self, line: u64, event: &Event) {
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
    pub fn shorten(&mut self) {
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

impl fmt::Display for Life<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Anomaly { check, name, at, topic, subject, text, evidence } = self.anomaly;
        write!(f, "{check} {name} at {} s: {topic} {subject}: {text}", seconds(*at))?;
        for (line, event) in &self.events {
            let mark = if evidence.contains(line) { '*' } else { ' ' };
            write!(f, "\n  {mark} line {line}: {}", self.told(event))?;
        }
        if self.more > 0 {
            write!(f, "\n    and {} more operations that touch it", self.more)?;
        }
        Ok(())
    }
}

impl Life<'_> {
    fn told(&self, event: &Event) -> String {
        let until = event.to.map_or_else(|| "open".to_owned(), seconds);
        let outcome = match event.outcome {
            Outcome::Ok => "ok",
            Outcome::Fail => "failed",
            Outcome::Info => "unknown",
        };
        let node = event.node.as_ref().map_or_else(String::new, |node| format!(" at {node}"));
        let error = event.error.as_ref().map_or_else(String::new, |error| format!(" ({error})"));
        let (from, process) = (seconds(event.from), event.process.0);
        let words = describe::words(&event.op, &self.trace);
        format!("{from} to {until} s, process {process}{node}, {outcome}: {words}{error}")
    }
}

fn seconds(time: Micros) -> String {
    format!("{}.{:06}", time / 1_000_000, time % 1_000_000)
}
