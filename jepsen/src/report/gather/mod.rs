//! What the charts show, gathered in one pass over the history. Memory is bounded by the screen and not by the history's
//! length, but for [`Backlog`], which notes each message.

mod backlog;
mod digests;
mod faults;
mod latency;
mod leaders;
mod rates;

use std::collections::{BTreeMap, BTreeSet};

use weir_checker::{Event, Lost, Micros, Op, Phase};

pub(super) use backlog::Backlog;
pub(super) use digests::{Digests, Held, agree};
pub(super) use faults::{Faults, Span};
pub(super) use latency::{Latencies, Latency, OUTCOMES, WEIGHTS};
pub(super) use leaders::{Leaders, Reign};
pub(super) use rates::Rates;

use super::scale::Time;

/// Most lines about the harness itself that are kept.
const LOST_MAX: usize = 200;

/// All of it.
pub(super) struct Gathered {
    pub(super) latencies: Latencies,
    pub(super) rates: Rates,
    pub(super) faults: Faults,
    pub(super) leaders: Leaders,
    pub(super) backlog: Backlog,
    pub(super) digests: Digests,
    pub(super) phases: Vec<(Micros, Phase)>,
    pub(super) lost: Vec<(Micros, Lost)>,
    /// The events in the lines that were asked for.
    pub(super) wanted: BTreeMap<u64, Event>,
    lines: BTreeSet<u64>,
    now: Micros,
}

impl Gathered {
    /// Nothing yet, of a run on this time axis; events in these lines will be kept.
    pub(super) fn new(time: Time, lines: BTreeSet<u64>) -> Self {
        Self {
            latencies: Latencies::new(time),
            rates: Rates::new(time),
            faults: Faults::default(),
            leaders: Leaders::default(),
            backlog: Backlog::default(),
            digests: Digests::default(),
            phases: Vec::new(),
            lost: Vec::new(),
            wanted: BTreeMap::new(),
            lines,
            now: 0,
        }
    }

    /// Takes note of the event in line `line`.
    pub(super) fn observe(&mut self, line: u64, event: &Event) {
        // An event without an end was written when its client gave up: after the lines before it.
        self.now = self.now.max(event.to.unwrap_or(event.from));
        if self.lines.contains(&line) {
            self.wanted.insert(line, event.clone());
        }
        match &event.op {
            Op::Fault(fault) => self.faults.observe(event.from, fault),
            Op::Phase(phase) => self.phases.push((event.from, *phase)),
            Op::Leader { topic, partition, term, leader } => {
                self.leaders.observe(event.to.unwrap_or(event.from), (topic, *partition), *term, leader);
            }
            Op::Digest(digest) => self.digests.observe(digest),
            Op::Lost(lost) if self.lost.len() < LOST_MAX => self.lost.push((event.from, lost.clone())),
            Op::Lost(_) | Op::Reshaped { .. } => {}
            _ => {
                self.latencies.observe(event, self.now);
                self.rates.observe(event, self.now);
                self.backlog.observe(event);
            }
        }
    }
}
