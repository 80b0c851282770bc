//! L6. After the heal and the last write, all replicas come to have applied the same.
//!
//! States are read replica by replica, so that only a whole round of them says something: every replica that was ever
//! seen, each once. A round ends when somebody is asked again. One round in which all are equal is enough.

use std::collections::{BTreeMap, BTreeSet};

use super::{LivenessOptions, NOT_CONVERGED, anomaly, asked, known, seconds};
use crate::{Check, Digested, Event, Findings, Micros, Op, Outcome, Phase};

/// What was seen of one partition.
#[derive(Default)]
struct Replicas {
    /// Every node that ever had one.
    nodes: BTreeSet<String>,
    /// The round that is being read: applied index and hash, by node.
    round: BTreeMap<String, (u64, String)>,
    /// When the round's last state was read, and its line.
    read: (Micros, u64),
    /// Rounds since the last write.
    rounds: Vec<Round>,
    /// When the last write was over, as far as anybody knows.
    written: Micros,
}

/// A round that is over.
struct Round {
    nodes: usize,
    equal: bool,
    read: (Micros, u64),
}

impl Replicas {
    fn end_round(&mut self) {
        let mut states = self.round.values();
        let first = states.next();
        let equal = states.all(|state| Some(state) == first);
        if !self.round.is_empty() {
            self.rounds.push(Round { nodes: self.round.len(), equal, read: self.read });
        }
        self.round.clear();
    }

    fn begin_anew(&mut self) {
        self.round.clear();
        self.rounds.clear();
    }
}

/// The fold.
pub(super) struct Converge {
    options: LivenessOptions,
    partitions: BTreeMap<(String, u32), Replicas>,
    healed: Option<Micros>,
    any: bool,
}

impl Converge {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        Self { options: options.clone(), partitions: BTreeMap::new(), healed: None, any: false }
    }

    fn digest(&mut self, line: u64, now: Micros, digested: &Digested) {
        let Digested { node, topic, partition, applied, hash, .. } = digested;
        let replicas = self.partitions.entry((topic.clone(), *partition)).or_default();
        replicas.nodes.insert(node.clone());
        if self.healed.is_none() {
            return;
        }
        self.any = true;
        if replicas.round.contains_key(node) {
            replicas.end_round();
        }
        replicas.round.insert(node.clone(), (*applied, hash.clone()));
        replicas.read = (now, line);
    }

    fn wrote(&mut self, event: &Event) {
        let writes = match &event.op {
            Op::Receive { deliveries, .. } => !deliveries.is_empty(),
            Op::Poll { .. } | Op::Position { .. } | Op::Bounds { .. } | Op::ListParked { .. } => false,
            _ => true,
        };
        let Some((topic, partitions)) = asked(&event.op).filter(|_| writes && event.outcome != Outcome::Fail)
        else {
            return;
        };
        let wrote = |replicas: &mut Replicas| {
            replicas.written = replicas.written.max(known(event));
            replicas.begin_anew();
        };
        if partitions.is_empty() {
            let all = self.partitions.iter_mut().filter(|((other, _), _)| other == topic);
            all.for_each(|(_, replicas)| wrote(replicas));
        }
        for partition in partitions {
            wrote(self.partitions.entry((topic.to_owned(), partition)).or_default());
        }
    }
}

impl Check for Converge {
    fn name(&self) -> &'static str {
        "L6 converge"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        match &event.op {
            Op::Phase(Phase::Healed) => {
                self.healed = Some(known(event));
                self.any = false;
                self.partitions.values_mut().for_each(Replicas::begin_anew);
            }
            Op::Digest(digested) => self.digest(line, known(event), digested),
            _ => self.wrote(event),
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        let mut found = Findings::default();
        let Some(healed) = self.healed else { return found };
        if !self.any {
            found.unknown.push("no states of replicas were read after the heal".to_owned());
        }
        for ((topic, partition), mut replicas) in self.partitions {
            replicas.end_round();
            let Replicas { nodes, rounds, written, .. } = replicas;
            let whole = |round: &&Round| round.nodes == nodes.len();
            if nodes.is_empty() || !self.any || rounds.iter().any(|round| round.equal && whole(&round)) {
                continue;
            }
            let last = rounds.last().map(|round| round.read);
            let waited = last.map_or(0, |(at, _)| at.saturating_sub(written.max(healed)));
            let silent =
                rounds.last().filter(|round| !whole(round)).map_or(0, |round| nodes.len() - round.nodes);
            let seen = format!(
                "{} after the last write; {silent} of {} told nothing at last",
                seconds(waited),
                nodes.len()
            );
            match last.filter(|_| waited > self.options.converge_max) {
                Some((at, line)) => {
                    let text = format!("replicas were not equal {seen}");
                    found.add(anomaly(
                        NOT_CONVERGED,
                        at,
                        (&topic, format!("partition {partition}")),
                        text,
                        &[line],
                    ));
                }
                None => {
                    found
                        .unknown
                        .push(format!("{topic}/{partition}: replicas were never seen equal, up to {seen}"));
                }
            }
        }
        found
    }
}
