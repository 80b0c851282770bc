//! L6. After the heal and the last write, all replicas come to have applied the same.
//!
//! States are read replica by replica, so that only a whole round of them says something: every replica that was ever
//! seen, each once. One round in which all are equal is enough.

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
    /// When the last write was over, as far as anybody knows.
    written: Micros,
    /// All were equal since the heal and the last write.
    equal: bool,
    /// The last round in which they were not, or that is not whole: when, and its last line.
    unequal: Option<(Micros, u64)>,
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
        if replicas.round.insert(node.clone(), (*applied, hash.clone())).is_some() {
            // Somebody is asked again before all were: somebody does not answer.
            replicas.unequal = Some((now, line));
        }
        if replicas.round.len() < replicas.nodes.len() {
            return;
        }
        let mut states = std::mem::take(&mut replicas.round).into_values();
        let first = states.next();
        if states.all(|state| Some(&state) == first.as_ref()) {
            replicas.equal = true;
        } else {
            replicas.unequal = Some((now, line));
        }
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
            replicas.equal = false;
            replicas.round.clear();
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
                for replicas in self.partitions.values_mut() {
                    replicas.round.clear();
                    (replicas.equal, replicas.unequal) = (false, None);
                }
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
        for ((topic, partition), replicas) in self.partitions {
            let Replicas { nodes, round, written, equal, unequal } = replicas;
            if equal || nodes.is_empty() || !self.any {
                continue;
            }
            let begin = written.max(healed);
            let waited = unequal.map_or(0, |(at, _)| at.saturating_sub(begin));
            let silent: Vec<&String> = nodes.iter().filter(|node| !round.contains_key(*node)).collect();
            let who = if round.is_empty() { String::new() } else { format!("; no state of {silent:?}") };
            match unequal.filter(|_| waited > self.options.converge_max) {
                Some((at, line)) => {
                    let text = format!("replicas were not equal {} after the last write{who}", seconds(waited));
                    let subject = format!("partition {partition}");
                    found.add(anomaly(NOT_CONVERGED, at, (&topic, subject), text, &[line]));
                }
                None => found.unknown.push(format!(
                    "{topic}/{partition}: replicas were seen for {} after the last write, and never equal{who}",
                    seconds(waited)
                )),
            }
        }
        found
    }
}
