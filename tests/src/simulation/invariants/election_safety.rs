//! Election safety: at most one leader per group and term. Also writes down who leads, how many terms there were, and
//! for how long nobody led.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_broker::Leadership;
use weir_types::{GroupId, Term};

use super::super::cluster::{Cluster, name};
use super::super::trace::Trace;
use super::super::world::World;

/// What was seen so far.
#[derive(Default)]
pub(in super::super) struct Leaders {
    known: BTreeMap<(usize, GroupId), Leadership>,
    led_by: BTreeMap<(GroupId, Term), usize>,
    spells: BTreeMap<GroupId, Spell>,
    violations: Vec<String>,
}

/// How a group is led.
#[derive(Clone, Copy, Debug)]
struct Spell {
    first_term: Term,
    last_term: Term,
    led_last: Duration,
    longest_without: Duration,
}

impl Leaders {
    /// Looks at every node that is running, and does not stand still, and writes down what changed. Returns the nodes
    /// that are in a later term than before: they have voted, or heard of a new leader.
    pub(in super::super) fn look(&mut self, world: &World, cluster: &Cluster, trace: &Trace) -> Vec<usize> {
        let (at, mut raised) = (world.elapsed(), Vec::new());
        for node in (0..cluster.size()).filter(|node| !world.is_frozen(*node)) {
            let Some(broker) = cluster.broker(node) else { continue };
            broker.each_leadership(&mut |group, leadership| {
                if leadership.here {
                    self.led(at, group, leadership.term);
                }
                let known = self.known.insert((node, group), leadership);
                if known != Some(leadership) {
                    self.changed(at, (node, group), leadership, trace);
                }
                if known.is_some_and(|known| known.term < leadership.term) && !raised.contains(&node) {
                    raised.push(node);
                }
            });
        }
        raised
    }

    /// A node that starts again knows nothing.
    pub(in super::super) fn forget(&mut self, node: usize) {
        self.known.retain(|(of, _), _| *of != node);
    }

    /// Begins to count terms and time anew.
    pub(in super::super) fn count_from(&mut self, at: Duration) {
        for spell in self.spells.values_mut() {
            *spell = Spell {
                first_term: spell.last_term,
                led_last: at,
                longest_without: Duration::ZERO,
                ..*spell
            };
        }
    }

    /// Most elections of one group since the count began, and the longest time without a leader.
    pub(in super::super) fn counted(&self, at: Duration) -> (u64, Duration) {
        let terms = self.spells.values().map(|spell| spell.last_term.0 - spell.first_term.0);
        let without =
            self.spells.values().map(|spell| spell.longest_without.max(at.saturating_sub(spell.led_last)));
        (terms.max().unwrap_or(0), without.max().unwrap_or_default())
    }

    /// Terms with two leaders.
    pub(in super::super) fn violations(&self) -> &[String] {
        &self.violations
    }

    fn led(&mut self, at: Duration, group: GroupId, term: Term) {
        let fresh =
            Spell { first_term: term, last_term: term, led_last: at, longest_without: Duration::ZERO };
        let spell = self.spells.entry(group).or_insert(fresh);
        spell.longest_without = spell.longest_without.max(at.saturating_sub(spell.led_last));
        spell.led_last = at;
        spell.last_term = spell.last_term.max(term);
    }

    fn changed(
        &mut self,
        at: Duration,
        (node, group): (usize, GroupId),
        Leadership { term, leader, here }: Leadership,
        trace: &Trace,
    ) {
        let node_name = name(node);
        let led = match leader {
            Some((replica, on)) => format!("replica {replica} on node {on} leads"),
            None => "nobody leads".to_owned(),
        };
        let serves = if here { ", and serves" } else { "" };
        trace.note_at(at, format_args!("{node_name} group {group} term {term}: {led}{serves}"));
        if here {
            let first = *self.led_by.entry((group, term)).or_insert(node);
            if first != node {
                let other = name(first);
                self.violations
                    .push(format!("group {group} had two leaders in term {term}: {other} and {node_name}"));
            }
        }
    }
}
