//! What was acknowledged to producers and not yet seen by any consumer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use weir_checker::{Event, MessageId, Micros, Op, Outcome};

use crate::report::scale::Time;

/// Parts that the run is cut into.
const PARTS: u32 = 250;

/// By topic: every message, or record by partition and offset.
#[derive(Default)]
pub(in crate::report) struct Backlog(BTreeMap<String, BTreeMap<MessageId, Wait>>);

/// From when to when a message waited.
#[derive(Clone, Copy)]
struct Wait {
    acknowledged: Micros,
    seen: Micros,
}

impl Default for Wait {
    fn default() -> Self {
        Self { acknowledged: Micros::MAX, seen: Micros::MAX }
    }
}

/// How far consumers were behind, at the end of each part of the run.
pub(in crate::report) struct Behind {
    /// Messages that were acknowledged and not seen.
    pub(in crate::report) unseen: Vec<u64>,
    /// For how long the oldest of them had waited, in microseconds.
    pub(in crate::report) oldest: Vec<Micros>,
}

impl Backlog {
    pub(super) fn observe(&mut self, event: &Event) {
        if event.outcome != Outcome::Ok {
            return;
        }
        let end = event.end();
        match &event.op {
            Op::Enqueue { topic, at: Some(id), .. } => self.wait(topic, *id).acknowledged = end,
            Op::Receive { topic, deliveries, .. } => {
                for delivery in deliveries {
                    self.saw(topic, delivery.message, end);
                }
            }
            Op::Append { topic, values, at: Some((partition, first)), .. } => {
                for id in (*first..).take(values.len()) {
                    self.wait(topic, MessageId { partition: *partition, id }).acknowledged = end;
                }
            }
            Op::Poll { topic, partition, records, .. } => {
                for (id, _) in records {
                    self.saw(topic, MessageId { partition: *partition, id: *id }, end);
                }
            }
            _ => {}
        }
    }

    fn wait(&mut self, topic: &str, id: MessageId) -> &mut Wait {
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), BTreeMap::new());
        }
        self.0.get_mut(topic).expect("it is there now").entry(id).or_default()
    }

    fn saw(&mut self, topic: &str, id: MessageId, at: Micros) {
        let wait = self.wait(topic, id);
        wait.seen = wait.seen.min(at);
    }

    /// How far consumers of each topic were behind.
    pub(in crate::report) fn topics(&self, time: Time) -> impl Iterator<Item = (&str, Behind)> {
        self.0.iter().map(move |(topic, waits)| (topic.as_str(), behind(waits.values(), time)))
    }
}

fn behind<'a>(waits: impl Iterator<Item = &'a Wait>, time: Time) -> Behind {
    // A message that was seen before its producer heard of it never waited.
    let mut waits: Vec<_> = waits.filter(|wait| wait.acknowledged < wait.seen).collect();
    waits.sort_unstable_by_key(|wait| wait.acknowledged);
    let mut coming = waits.into_iter().peekable();
    let (mut ends, mut oldest_first) = (BinaryHeap::new(), BinaryHeap::new());
    let mut behind = Behind { unseen: Vec::new(), oldest: Vec::new() };
    for part in 1..=PARTS {
        let now = time.length() * u64::from(part) / u64::from(PARTS);
        while let Some(wait) = coming.next_if(|wait| wait.acknowledged <= now) {
            ends.push(Reverse(wait.seen));
            oldest_first.push(Reverse((wait.acknowledged, wait.seen)));
        }
        while ends.peek().is_some_and(|Reverse(seen)| *seen <= now) {
            ends.pop();
        }
        while oldest_first.peek().is_some_and(|Reverse((_, seen))| *seen <= now) {
            oldest_first.pop();
        }
        behind.unseen.push(ends.len() as u64);
        behind.oldest.push(oldest_first.peek().map_or(0, |Reverse((since, _))| now - since));
    }
    behind
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_unseen_message_counts_until_it_is_seen() {
        let second = 1_000_000;
        let wait = |acknowledged, seen| Wait { acknowledged: acknowledged * second, seen: seen * second };
        let waits = [wait(10, 50), wait(20, 30), wait(60, Micros::MAX / second), wait(40, 40), wait(70, 5)];
        let behind = behind(waits.iter(), Time::new(100 * second));
        // 250 parts of 0.4 s: the end of part n is at 0.4 (n + 1) s.
        let at = |seconds: usize| {
            (behind.unseen[seconds * 5 / 2 - 1], behind.oldest[seconds * 5 / 2 - 1] / second)
        };
        assert_eq!(
            [at(8), at(12), at(24), at(32), at(52), at(80)],
            [(0, 0), (1, 2), (2, 14), (1, 22), (0, 0), (1, 20)]
        );
    }
}
