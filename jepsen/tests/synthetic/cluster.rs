//! Five nodes, who leads what, and what happens to them.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_checker::{Digested, Event, Fault, FaultPhase, MessageState, Micros, Op};

use super::{SECOND, harness};

/// Topics and their partitions.
pub(crate) const PARTITIONS: [(&str, u32); 5] =
    [("orders", 0), ("orders", 1), ("orders", 2), ("audit", 0), ("audit", 1)];
const NODES: [&str; 5] = ["n1", "n2", "n3", "n4", "n5"];
/// How long it takes until another node leads.
const FAILOVER: Micros = 900_000;

/// One fault: kind, from, to, nodes, links.
pub(crate) struct Planned {
    kind: &'static str,
    pub(crate) from: Micros,
    pub(crate) to: Micros,
    nodes: Vec<&'static str>,
    links: Vec<(&'static str, &'static str)>,
}

pub(crate) struct Cluster {
    pub(crate) length: Micros,
    pub(crate) faults: Vec<Planned>,
    /// By partition: from when on which node leads in which term.
    reigns: Vec<Vec<(Micros, u64, &'static str)>>,
}

impl Cluster {
    pub(crate) fn new(length: Micros) -> Self {
        let faults = faults(length);
        let reigns = (0..PARTITIONS.len()).map(|partition| reigns(partition, &faults)).collect();
        Self { length, faults, reigns }
    }

    /// Who leads a partition at a moment.
    pub(crate) fn leader(&self, partition: usize, at: Micros) -> &'static str {
        self.reigns[partition].iter().rev().find(|(from, _, _)| *from <= at).map_or("n1", |(_, _, node)| node)
    }

    /// For how long a partition has no leader from this moment on; None when it has one.
    pub(crate) fn leaderless(&self, partition: usize, at: Micros) -> Option<Micros> {
        let leader = self.leader(partition, at);
        let hit = self
            .faults
            .iter()
            .find(|f| f.stops_leaders() && f.from <= at && at < f.to && f.nodes.contains(&leader))?;
        let next = self.reigns[partition]
            .iter()
            .find(|(from, _, _)| *from > at)
            .map_or(hit.to, |(from, _, _)| *from);
        Some(next.min(hit.to + SECOND) - at)
    }

    /// How much slower everything is at a moment.
    pub(crate) fn slowness(&self, at: Micros) -> u64 {
        let slow =
            self.faults.iter().any(|fault| fault.kind == "slow-fsync" && fault.from <= at && at < fault.to);
        if slow { 30 } else { 1 }
    }

    /// Faults, sightings of leaders, and digests at the end.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events: Vec<_> = (0..).zip(&self.faults).flat_map(|(id, fault)| fault.events(id)).collect();
        for (reigns, (topic, partition)) in self.reigns.iter().zip(PARTITIONS) {
            for (place, (from, term, leader)) in reigns.iter().enumerate() {
                let until = reigns.get(place + 1).map_or(self.length, |next| next.0 - FAILOVER);
                let sightings = (0..).map(|n| from + n * SECOND).take_while(|at| *at <= until);
                events.extend(sightings.map(|at| {
                    let (topic, leader) = (topic.to_owned(), (*leader).to_owned());
                    harness(at, Op::Leader { topic, partition, term: *term, leader })
                }));
            }
            events.extend(NODES[..3].iter().map(|node| self.digest(node, topic, partition)));
        }
        events
    }

    fn digest(&self, node: &str, topic: &str, partition: u32) -> Event {
        let wrong = node == "n3" && topic == "audit" && partition == 1;
        let queue = topic == "orders";
        harness(
            self.length - SECOND / 2,
            Op::Digest(Digested {
                node: node.to_owned(),
                topic: topic.to_owned(),
                partition,
                applied: 48_211 + u64::from(partition) * 371,
                hash: format!(
                    "{:032x}",
                    0x9e37_79b9_7f4a_7c15_u128 * (u128::from(partition) + 3 + u128::from(wrong))
                ),
                messages: if queue {
                    vec![(17, MessageState::Parked), (40, MessageState::Ready)]
                } else {
                    Vec::new()
                },
                bounds: (!queue).then_some((0, 9_120)),
            }),
        )
    }

    /// What was planned.
    pub(crate) fn steps(&self) -> Vec<Value> {
        self.faults
            .iter()
            .map(|f| json!({ "at": f.from / 1000, "lasts": (f.to - f.from) / 1000, "kind": f.kind }))
            .collect()
    }
}

impl Planned {
    /// Whether a node that suffers cannot lead.
    fn stops_leaders(&self) -> bool {
        matches!(self.kind, "kill" | "kill-all" | "pause" | "partition" | "power-cut")
    }

    fn events(&self, id: u64) -> impl Iterator<Item = Event> {
        let once = self.from == self.to;
        let phases = if once {
            vec![(self.from, FaultPhase::Once)]
        } else {
            vec![(self.from, FaultPhase::Begin), (self.to, FaultPhase::End)]
        };
        phases.into_iter().map(move |(at, phase)| {
            harness(
                at,
                Op::Fault(Fault {
                    kind: self.kind.to_owned(),
                    id,
                    phase,
                    nodes: self.nodes.iter().map(|node| (*node).to_owned()).collect(),
                    links: self
                        .links
                        .iter()
                        .map(|(from, to)| ((*from).to_owned(), (*to).to_owned()))
                        .collect(),
                    led: 2,
                    followed: 3,
                    majority: self.nodes.len() < 3,
                    detail: String::new(),
                }),
            )
        })
    }
}

fn faults(length: Micros) -> Vec<Planned> {
    let cut = |minority: &[&'static str]| {
        let others = NODES.into_iter().filter(|node| !minority.contains(node));
        others
            .flat_map(|other| minority.iter().flat_map(move |node| [(*node, other), (other, *node)]))
            .collect::<Vec<_>>()
    };
    let at =
        |kind, from: u64, to: u64, nodes: &[&'static str], links: &[(&'static str, &'static str)]| Planned {
            kind,
            from: length * from / 1000,
            to: length * to / 1000,
            nodes: nodes.to_vec(),
            links: links.to_vec(),
        };
    vec![
        at("kill", 80, 110, &["n1"], &[]),
        at("partition", 160, 215, &["n2", "n5"], &cut(&["n2", "n5"])),
        at("kill", 205, 230, &["n3"], &[]),
        at("pause", 270, 285, &["n4"], &[]),
        at("one-way", 330, 390, &["n1"], &[("n1", "n2"), ("n1", "n3"), ("n1", "n4"), ("n1", "n5")]),
        at("garbage", 410, 410, &["n2"], &[]),
        at("slow-fsync", 430, 500, &["n2"], &[]),
        at("power-cut", 540, 560, &["n4"], &[]),
        at("kill-all", 620, 632, &NODES, &[]),
        at("single-link", 680, 740, &["n2", "n3"], &[("n2", "n3"), ("n3", "n2")]),
        at("pause", 700, 712, &["n5"], &[]),
    ]
}

/// The leaders of one partition: the next node takes over when the leader suffers, and the preferred one comes back.
fn reigns(partition: usize, faults: &[Planned]) -> Vec<(Micros, u64, &'static str)> {
    let preferred = NODES[partition % NODES.len()];
    let mut terms = BTreeMap::from([(0, preferred)]);
    let mut leader = preferred;
    for fault in faults.iter().filter(|fault| fault.stops_leaders()) {
        if !fault.nodes.contains(&leader) {
            continue;
        }
        let next = NODES.into_iter().find(|node| !fault.nodes.contains(node)).unwrap_or(preferred);
        let begin = if fault.nodes.len() == NODES.len() { fault.to } else { fault.from };
        terms.insert(begin + FAILOVER, next);
        terms.insert(fault.to + 6 * SECOND, preferred);
        leader = preferred;
    }
    let mut reigns: Vec<_> = (3..).zip(terms).map(|(term, (from, node))| (from, term, node)).collect();
    reigns.dedup_by_key(|reign| reign.2);
    reigns
}
