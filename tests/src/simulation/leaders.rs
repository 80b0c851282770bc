//! Who leads, as every node sees it, looked at after every step. One file, one property:
//!
//! | property | source | what is compared |
//! |---|---|---|
//! | election safety: at most one leader per group and term | Raft, §5.2 | nodes that say that they lead |

use std::collections::BTreeMap;
use std::time::Duration;

use weir_broker::Leadership;
use weir_types::{GroupId, Term};

use super::cluster::{Cluster, NAMES, NODES};
use super::trace::Trace;

/// What was seen so far.
#[derive(Default)]
pub(super) struct Leaders {
    known: BTreeMap<(usize, GroupId), Leadership>,
    led_by: BTreeMap<(GroupId, Term), usize>,
    violations: Vec<String>,
}

impl Leaders {
    /// Looks at every running node, and writes down what changed.
    pub(super) fn look(&mut self, at: Duration, cluster: &Cluster, trace: &Trace) {
        for node in 0..NODES {
            let Some(broker) = cluster.broker(node) else { continue };
            for (group, leadership) in broker.leaderships() {
                if self.known.insert((node, group), leadership) != Some(leadership) {
                    self.changed(at, (node, group), leadership, trace);
                }
            }
        }
    }

    /// A node that starts again knows nothing.
    pub(super) fn forget(&mut self, node: usize) {
        self.known.retain(|(of, _), _| *of != node);
    }

    /// Terms with two leaders.
    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    fn changed(
        &mut self,
        at: Duration,
        (node, group): (usize, GroupId),
        Leadership { term, leader, here }: Leadership,
        trace: &Trace,
    ) {
        let name = NAMES[node];
        let led = match leader {
            Some((replica, on)) => format!("replica {replica} on node {on} leads"),
            None => "nobody leads".to_owned(),
        };
        let serves = if here { ", and serves" } else { "" };
        trace.note_at(at, format_args!("{name} group {group} term {term}: {led}{serves}"));
        if here {
            let first = *self.led_by.entry((group, term)).or_insert(node);
            if first != node {
                let other = NAMES[first];
                self.violations
                    .push(format!("group {group} had two leaders in term {term}: {other} and {name}"));
            }
        }
    }
}
