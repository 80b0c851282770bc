//! What an anomaly is about, so that the operations that touch it are found in a history.

use std::collections::BTreeSet;

use crate::{Anomaly, Event, MessageId, Op, Value};

/// A message, value, or a group's place in a partition, and all that turned out to be the same thing.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    topic: String,
    /// Messages of a queue; records of a stream by partition and offset.
    messages: BTreeSet<MessageId>,
    values: BTreeSet<Value>,
    group: Option<(String, u32)>,
}

impl Trace {
    /// What the anomaly's subject names, else what its text does.
    pub fn of(anomaly: &Anomaly) -> Self {
        let mut trace = Self { topic: anomaly.topic.clone(), ..Self::default() };
        trace.name(&anomaly.subject);
        if trace.messages.is_empty() && trace.values.is_empty() && trace.group.is_none() {
            trace.name(&anomaly.text);
        }
        trace
    }

    /// Takes up the messages, values and groups that are named in a text: `3:17`, `2-840`, `partition 3 offset 17`,
    /// `group g partition 3`.
    fn name(&mut self, text: &str) {
        let strange = |c: char| !c.is_alphanumeric() && !matches!(c, ':' | '-' | '_' | '.' | '/');
        let words: Vec<&str> = text.split(strange).map(|word| word.trim_matches(['.', ':'])).collect();
        self.messages.extend(words.iter().filter_map(|word| word.parse::<MessageId>().ok()));
        self.values.extend(words.iter().filter_map(|word| word.parse::<Value>().ok()));
        let after = |name: &str| words.windows(2).find(|pair| pair[0] == name).map(|pair| pair[1]);
        let Some(partition) = after("partition").and_then(|word| word.parse().ok()) else { return };
        if let Some(id) = after("offset").and_then(|word| word.parse().ok()) {
            self.messages.insert(MessageId { partition, id });
        }
        self.group = after("group").map(|group| (group.to_owned(), partition));
    }

    /// Whether it is about this message or value of this topic.
    pub fn follows(&self, topic: &str, message: Option<MessageId>, value: Option<Value>) -> bool {
        let known = |id: MessageId| topic == self.topic && self.messages.contains(&id);
        message.is_some_and(known) || value.is_some_and(|value| self.values.contains(&value))
    }

    /// Whether the operation touches it. What the operation tells about it is learned: a message's value, a value's
    /// message.
    pub fn touches(&mut self, event: &Event) -> bool {
        match &event.op {
            Op::Enqueue { topic, value, at, .. } => self.learn(topic, *at, Some(*value)),
            Op::Receive { topic, deliveries, .. } => {
                let each = deliveries.iter().map(|delivery| (delivery.message, delivery.value));
                self.learn_any(topic, each)
            }
            Op::ListParked { topic, messages } => {
                self.learn_any(topic, messages.iter().map(|parked| (parked.message, parked.value)))
            }
            Op::Settle { topic, message, .. } | Op::Cancel { topic, message } => {
                self.follows(topic, Some(*message), None)
            }
            Op::Redrive { topic, messages } | Op::Discard { topic, messages } => {
                messages.iter().any(|message| self.follows(topic, Some(*message), None))
            }
            Op::Purge { topic } => *topic == self.topic && !self.messages.is_empty(),
            Op::AckAndAppend { queue, message, value, .. } => {
                self.follows(queue, Some(*message), Some(*value))
            }
            Op::Append { topic, values, at, .. } => {
                let place =
                    |number: u64| at.map(|(partition, first)| MessageId { partition, id: first + number });
                let each: Vec<_> = (0..).zip(values).map(|(number, value)| (place(number), *value)).collect();
                each.into_iter().fold(false, |any, (id, value)| self.learn(topic, id, Some(value)) || any)
            }
            Op::Poll { topic, group, partition, offset, records, .. } => {
                let id = |id| MessageId { partition: *partition, id };
                let last = records.last().map_or(*offset, |(last, _)| *last);
                // A poll that passed over a record tells as much as one that brought it.
                let passed = *topic == self.topic
                    && self.messages.range(id(*offset)..=id(last.max(*offset))).count() > 0;
                let learned =
                    self.learn_any(topic, records.iter().map(|(offset, value)| (id(*offset), *value)));
                passed
                    || learned
                    || group.as_ref().is_some_and(|(group, _)| self.groups(topic, group, *partition))
            }
            Op::Assign { topic, group, partitions, .. } => {
                partitions.iter().any(|partition| self.groups(topic, group, *partition))
            }
            Op::CommitAndAppend { topic, group, partition, stream, value, .. } => {
                self.follows(stream, None, Some(*value)) || self.groups(topic, group, *partition)
            }
            Op::Commit { topic, group, partition, .. } | Op::Position { topic, group, partition, .. } => {
                self.groups(topic, group, *partition)
            }
            _ => false,
        }
    }

    fn groups(&self, topic: &str, name: &str, partition: u32) -> bool {
        let same = |(group, own): &(String, u32)| group == name && *own == partition;
        topic == self.topic && self.group.as_ref().is_some_and(same)
    }

    fn learn_any(&mut self, topic: &str, each: impl Iterator<Item = (MessageId, Option<Value>)>) -> bool {
        each.fold(false, |any, (message, value)| self.learn(topic, Some(message), value) || any)
    }

    fn learn(&mut self, topic: &str, message: Option<MessageId>, value: Option<Value>) -> bool {
        let followed = self.follows(topic, message, value);
        if followed && topic == self.topic {
            self.messages.extend(message);
        }
        // A record at an offset is followed by that offset alone: another value there is the very anomaly.
        if followed {
            self.values.extend(value);
        }
        followed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Consumer, Outcome, Process, Terms};

    fn about(subject: &str) -> Trace {
        Trace::of(&Anomaly {
            check: "Q1".to_owned(),
            name: "lost-message".to_owned(),
            at: 0,
            topic: "orders".to_owned(),
            subject: subject.to_owned(),
            text: "no delivery of 9-9".to_owned(),
            evidence: Vec::new(),
        })
    }

    fn event(op: Op) -> Event {
        Event { from: 0, to: Some(1), process: Process(1), node: None, op, outcome: Outcome::Ok, error: None }
    }

    fn enqueue(topic: &str, value: &str, at: &str) -> Event {
        let (value, at) = (value.parse().expect("a value"), at.parse().expect("an id"));
        event(Op::Enqueue { topic: topic.to_owned(), value, terms: Terms::default(), at: Some(at) })
    }

    fn purge(topic: &str) -> Event {
        event(Op::Purge { topic: topic.to_owned() })
    }

    #[test]
    fn a_message_leads_to_its_value_and_back() {
        let mut trace = about("message 3:17");
        assert!(!trace.touches(&enqueue("orders", "1-5", "3:18")));
        assert!(!trace.touches(&enqueue("other", "1-4", "3:17")), "another topic's message of the same id");
        assert!(trace.touches(&enqueue("orders", "1-6", "3:17")));
        assert!(trace.touches(&enqueue("orders", "1-6", "2:40")), "the same value once more");
        assert!(trace.follows("orders", Some("2:40".parse().expect("an id")), None));
        assert!(trace.touches(&purge("orders")) && !trace.touches(&purge("other")));
    }

    #[test]
    fn a_subject_without_names_is_looked_for_in_the_text() {
        assert!(about("the whole topic").touches(&enqueue("orders", "9-9", "0:1")));
        assert!(!about("3:17").touches(&enqueue("orders", "9-9", "0:1")));
    }

    #[test]
    fn a_poll_that_passes_over_an_offset_touches_it() {
        let mut trace = about("partition 2, offset 7");
        let poll = |offset, records: &[u64]| {
            let records = records.iter().map(|offset| (*offset, None)).collect();
            let consumer = Consumer(1);
            event(Op::Poll {
                topic: "orders".to_owned(),
                consumer,
                group: None,
                partition: 2,
                offset,
                records,
            })
        };
        assert!(trace.touches(&poll(5, &[5, 6, 8])));
        assert!(!trace.touches(&poll(5, &[5, 6])));
        assert!(!trace.touches(&poll(8, &[8, 9])));
    }

    #[test]
    fn commits_of_the_same_group_and_partition_belong_together() {
        let mut trace = about("group billing, partition 2");
        let position = |group: &str, partition| {
            let (group, topic) = (group.to_owned(), "orders".to_owned());
            event(Op::Position { group, topic, partition, offset: None })
        };
        assert!(trace.touches(&position("billing", 2)));
        assert!(!trace.touches(&position("billing", 1)) && !trace.touches(&position("audit", 2)));
    }
}
