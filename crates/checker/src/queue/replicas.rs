//! Q2, promise P12. Replicas that have applied the same entries hold the same.

use std::collections::BTreeMap;

use super::case::anomaly;
use super::life::Seen;
use crate::{Check, Digested, Event, Findings, MessageState, Op};

/// Applied indexes of one partition that are remembered with all their messages: replicas are asked side by side.
const REMEMBERED_MAX: usize = 16;
/// Messages that a report names.
const NAMED_MAX: usize = 5;

/// Keeps the first state that was seen of each partition at each applied index.
#[derive(Default)]
pub(super) struct Replicas {
    partitions: BTreeMap<(String, u32), BTreeMap<u64, (Seen, Digested)>>,
    found: Findings,
}

impl Check for Replicas {
    fn name(&self) -> &'static str {
        "Q2 lost-on-replica"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        let Op::Digest(digested) = &event.op else { return };
        if digested.bounds.is_some() {
            return;
        }
        let seen = Seen::of(line, event);
        let states = self.partitions.entry((digested.topic.clone(), digested.partition)).or_default();
        match states.get(&digested.applied) {
            None => {
                states.insert(digested.applied, (seen, digested.clone()));
                if states.len() > REMEMBERED_MAX {
                    states.pop_first();
                }
            }
            Some((before, other)) if other.hash != digested.hash || other.messages != digested.messages => {
                let text = format!(
                    "nodes {} and {} differ at applied index {}: {}",
                    other.node,
                    digested.node,
                    digested.applied,
                    difference(other, digested)
                );
                let about = (digested.topic.as_str(), format!("partition {}", digested.partition));
                self.found.add(anomaly(("Q2", "lost-on-replica"), about, text, &[before, &seen]));
            }
            Some(_) => {}
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        self.found
    }
}

fn difference(one: &Digested, other: &Digested) -> String {
    let states =
        |digested: &Digested| digested.messages.iter().copied().collect::<BTreeMap<u64, MessageState>>();
    let (one, other) = (states(one), states(other));
    let ids = one.keys().chain(other.keys()).copied().collect::<std::collections::BTreeSet<u64>>();
    let differ: Vec<u64> = ids.into_iter().filter(|id| one.get(id) != other.get(id)).collect();
    let state =
        |of: &BTreeMap<u64, MessageState>, id| format!("{:?}", of.get(&id).unwrap_or(&MessageState::Gone));
    let named =
        differ.iter().take(NAMED_MAX).map(|id| format!("{id} {}/{}", state(&one, *id), state(&other, *id)));
    let named: Vec<String> = named.collect();
    match differ.len() {
        0 => "in something that is not a message's state".to_owned(),
        count => format!("{count} messages, such as {}", named.join(", ")),
    }
}
