//! L1 and L3. How long a partition that was asked went without a success.
//!
//! A silence begins with the last success, or with the first question after it, or with the heal or the end of the last
//! fault that broke the majority, whichever is latest; a success ends it, or the next such fault. Topics are watched too:
//! a failed send does not say which partition it was for. Partitions that were split or merged are not watched any more:
//! once they are empty nobody asks them again, and a last question that failed would count for ever. That they become
//! empty is asked by L2.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    LivenessOptions, Name, SILENT_MAJORITY, STUCK, UNAVAILABLE_AFTER_HEAL, anomaly, answered, asked, known,
    seconds,
};
use crate::checks::Fold;
use crate::{Checked, Event, Fault, FaultPhase, Findings, Micros, Op, Phase};

/// A topic as a whole, or one of its partitions.
type Place = (String, Option<u32>);

#[derive(Clone, Copy, Debug, Default)]
struct Watched {
    /// The last success.
    ok: Micros,
    /// The first question since then that has no answer yet, or a bad one, and its line.
    waits: Option<(Micros, u64)>,
    /// It has succeeded since the heal.
    well: bool,
}

/// The fold.
pub(super) struct Silence {
    options: LivenessOptions,
    watched: BTreeMap<Place, Watched>,
    /// Partitions that were split or merged.
    sealed: BTreeSet<Place>,
    /// Faults at work that break the majority, or keep clients from it.
    broken: BTreeSet<u64>,
    /// Since when none is at work.
    whole_since: Micros,
    phase: Option<Phase>,
    /// The time of the latest event.
    now: Micros,
    longest: Option<(Micros, Place, Micros)>,
    after_heal: Findings,
    meanwhile: Findings,
}

impl Silence {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        Self {
            options: options.clone(),
            watched: BTreeMap::new(),
            sealed: BTreeSet::new(),
            broken: BTreeSet::new(),
            whole_since: 0,
            phase: None,
            now: 0,
            longest: None,
            after_heal: Findings::default(),
            meanwhile: Findings::default(),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        let innocent = fault.majority && !self.options.client_faults.contains(&fault.kind);
        match fault.phase {
            FaultPhase::Begin if !innocent => {
                self.stop_all();
                self.broken.insert(fault.id);
            }
            FaultPhase::End if self.broken.remove(&fault.id) && self.broken.is_empty() => {
                self.whole_since = self.now;
            }
            // The majority is restored with the end at the latest; until the next success nothing is held against it.
            FaultPhase::Once if !innocent => {
                self.stop_all();
                self.whole_since = self.now;
            }
            FaultPhase::Begin | FaultPhase::End | FaultPhase::Once => {}
        }
    }

    fn begins(&mut self, phase: Phase) {
        if matches!(phase, Phase::Healed | Phase::End) {
            self.stop_all();
        }
        if phase == Phase::Healed {
            self.broken.clear();
            self.whole_since = self.now;
            self.watched.values_mut().for_each(|watched| watched.well = false);
        }
        self.phase = Some(phase);
    }

    /// Judges every silence so far, and lets it begin anew.
    fn stop_all(&mut self) {
        let now = self.now;
        for place in self.watched.keys().cloned().collect::<Vec<_>>() {
            self.stop(&place, now);
            self.watched.entry(place).or_default().waits = None;
        }
    }

    /// Judges the silence of a place until `end`.
    fn stop(&mut self, place: &Place, end: Micros) {
        let Some(watched) = self.watched.get(place).copied() else { return };
        let Some((asked, line)) = watched.waits else { return };
        let healed = self.phase.is_some_and(|phase| phase >= Phase::Healed);
        let judged = matches!(self.phase, Some(phase) if phase > Phase::Warm);
        if !judged || !self.broken.is_empty() {
            return;
        }
        let begin = asked.max(watched.ok).max(self.whole_since);
        let silence = end.saturating_sub(begin);
        if self.longest.as_ref().is_none_or(|(longest, ..)| silence > *longest) {
            self.longest = Some((silence, place.clone(), begin));
        }
        let name: Name = if healed && !watched.well {
            if silence <= self.options.first_ok_max {
                return;
            }
            if silence > self.options.stuck_after { STUCK } else { UNAVAILABLE_AFTER_HEAL }
        } else if silence > self.options.silent_max {
            SILENT_MAJORITY
        } else {
            return;
        };
        let subject =
            place.1.map_or_else(|| "whole topic".to_owned(), |partition| format!("partition {partition}"));
        let text =
            format!("no success for {} from {} on, though it was asked", seconds(silence), seconds(begin));
        let found = if name == SILENT_MAJORITY { &mut self.meanwhile } else { &mut self.after_heal };
        found.add(anomaly(name, end, (&place.0, subject), text, &[line]));
    }

    fn client(&mut self, line: u64, event: &Event) {
        let Some((topic, partitions)) = asked(&event.op) else { return };
        let places = partitions.into_iter().map(Some).chain([None]);
        for place in places.map(|partition| (topic.to_owned(), partition)) {
            if self.sealed.contains(&place) {
                continue;
            }
            let watched = self.watched.entry(place.clone()).or_default();
            let from = event.from.max(watched.ok);
            if watched.waits.is_none_or(|(waits, _)| from < waits) {
                watched.waits = Some((from, line));
            }
            if answered(event) {
                self.stop(&place, known(event));
                let watched = self.watched.entry(place).or_default();
                *watched = Watched { ok: known(event), waits: None, well: true };
            }
        }
    }
}

impl Fold for Silence {
    fn observe(&mut self, line: u64, event: &Event) {
        self.now = self.now.max(known(event));
        match &event.op {
            Op::Fault(fault) => self.fault(fault),
            Op::Phase(phase) => self.begins(*phase),
            Op::Reshaped { topic, parents, .. } => {
                for place in parents.iter().map(|parent| (topic.clone(), Some(*parent))) {
                    self.watched.remove(&place);
                    self.sealed.insert(place);
                }
            }
            // What is over is over: last looks are no demand.
            _ if self.phase == Some(Phase::End) => {}
            _ => self.client(line, event),
        }
    }

    fn finish(mut self: Box<Self>) -> Vec<Checked> {
        if self.phase != Some(Phase::End) {
            self.stop_all();
        }
        if let Some((silence, (topic, partition), begin)) = self.longest.take() {
            let place = partition.map_or_else(|| topic.clone(), |partition| format!("{topic}/{partition}"));
            self.meanwhile.notes.push(format!(
                "longest silence of a partition that was asked while a majority was healthy: {} ({place}, from {} on)",
                seconds(silence),
                seconds(begin)
            ));
        }
        vec![
            Checked { name: "L1 available-after-heal".to_owned(), findings: self.after_heal },
            Checked { name: "L3 majority-available".to_owned(), findings: self.meanwhile },
        ]
    }
}
