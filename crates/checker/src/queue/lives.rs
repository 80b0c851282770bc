//! Collects the life of every message of a share of the partitions, and shows it to its judges.

use std::collections::BTreeMap;

use super::case::Case;
use super::life::{Act, Grant, Life, Look, Seen, Sent, Settle};
use super::topic::Topic;
use super::{MESSAGE_CHECKS, PARTITION_CHECKS, automaton};
use crate::appended::Appended;
use crate::checks::{Fold, Shard};
use crate::{Checked, Event, Findings, How, MessageId, Op, Options, Outcome, Terms, Value};

/// The code with which a settle is refused whose lease is not the message's current one.
const LEASE_LOST: &str = "lease-lost";

/// One partition's messages, by id.
pub(super) type Partition = BTreeMap<u64, Life>;

/// The fold.
pub(super) struct Lives {
    options: Options,
    shard: Shard,
    /// Topics in the order in which they were first seen.
    topics: Vec<(String, Topic, BTreeMap<u32, Partition>)>,
    streams: Appended<Seen>,
}

impl Lives {
    pub(super) fn new(options: &Options, shard: Shard) -> Self {
        Self { options: options.clone(), shard, topics: Vec::new(), streams: Appended::default() }
    }

    fn place(&mut self, topic: &str) -> usize {
        let known = self.topics.iter().position(|(name, ..)| name == topic);
        known.unwrap_or_else(|| {
            self.topics.push((topic.to_owned(), Topic::default(), BTreeMap::new()));
            self.topics.len() - 1
        })
    }

    /// Drops everything that is known of a topic.
    pub(super) fn forget(&mut self, topic: &str) {
        self.topics.retain(|(name, ..)| name != topic);
    }

    /// Everything that was collected, joined.
    pub(super) fn into_topics(self) -> Vec<(String, Topic, BTreeMap<u32, Partition>)> {
        let joined = |(name, topic, partitions): (String, Topic, BTreeMap<u32, Partition>)| {
            let partitions =
                partitions.into_iter().map(|(number, partition)| (number, joined(&topic, partition)));
            let partitions = partitions.collect();
            (name, topic, partitions)
        };
        self.topics.into_iter().map(joined).collect()
    }

    fn topic(&mut self, topic: &str) -> &mut Topic {
        let place = self.place(topic);
        &mut self.topics[place].1
    }

    /// The message's life, if this shard keeps it.
    fn life(&mut self, topic: &str, id: MessageId) -> Option<&mut Life> {
        let place = self.place(topic);
        if !self.shard.takes(place as u64 + u64::from(id.partition)) {
            return None;
        }
        Some(self.topics[place].2.entry(id.partition).or_default().entry(id.id).or_default())
    }

    fn enqueue(&mut self, topic: &str, at: Option<MessageId>, (seen, value, terms): (Seen, Value, &Terms)) {
        let terms = (*terms != Terms::default()).then(|| Box::new(terms.clone()));
        let sent = Sent { seen, value, terms };
        if let Some(id) = at {
            if let Some(life) = self.life(topic, id) {
                life.sent.get_or_insert(sent);
            }
            return;
        }
        let tried = self.topic(topic).unplaced.entry(value).or_insert_with(|| sent.clone());
        tried.seen = tried.seen.or(seen);
    }

    fn receive(&mut self, seen: Seen, event: &Event) {
        let Op::Receive { topic, consumer, deliveries } = &event.op else { return };
        if seen.outcome == Outcome::Info {
            let unheard = &mut self.topic(topic).unheard;
            let place = unheard.partition_point(|other| other.from <= seen.from);
            unheard.insert(place, seen);
        }
        for delivery in deliveries {
            let grant = Grant {
                seen,
                consumer: *consumer,
                value: delivery.value,
                lease: delivery.lease,
                attempt: delivery.attempt,
                held: delivery.held,
            };
            if let Some(life) = self.life(topic, delivery.message) {
                push(&mut life.grants, grant);
            }
        }
    }

    fn settle(&mut self, seen: Seen, event: &Event) {
        let lease_lost = event.error.as_deref().is_some_and(|error| error.starts_with(LEASE_LOST));
        let (topic, message, settle) = match &event.op {
            Op::Settle { topic, message, lease, how, .. } => {
                (topic, message, Settle { seen, lease: *lease, how: *how, lease_lost, appended: None })
            }
            Op::AckAndAppend { queue, message, lease, stream, value, .. } => {
                self.streams.expect(stream, *value);
                let appended = Some(Box::new((stream.clone(), *value)));
                (queue, message, Settle { seen, lease: *lease, how: How::Ack, lease_lost, appended })
            }
            _ => return,
        };
        if let Some(life) = self.life(topic, *message) {
            push(&mut life.settles, settle);
        }
    }

    fn administrate(&mut self, seen: Seen, op: &Op) {
        match op {
            Op::ListParked { topic, messages } => {
                for parked in messages {
                    let Some(life) = self.life(topic, parked.message) else { continue };
                    let again = life.looks.last_mut().filter(|look| look.seen.line == seen.line);
                    if let Some(look) = again {
                        look.times += 1;
                    } else {
                        let (value, attempts) = (parked.value, parked.attempts);
                        life.looks.push(Look { seen, value, attempts, times: 1 });
                    }
                }
            }
            Op::Redrive { topic, messages } | Op::Discard { topic, messages } => {
                let seen = if messages.len() > 1 { seen.in_steps() } else { seen };
                let act = if matches!(op, Op::Redrive { .. }) { Act::Redrive } else { Act::Discard };
                for id in messages {
                    if let Some(life) = self.life(topic, *id) {
                        life.acts.push((act, seen));
                    }
                }
            }
            Op::Cancel { topic, message } => {
                if let Some(life) = self.life(topic, *message) {
                    life.acts.push((Act::Cancel, seen));
                }
            }
            Op::Purge { topic } => self.topic(topic).purges.push(seen.in_steps()),
            Op::CloseSession { topic, consumer } if seen.may_have_happened() => {
                self.topic(topic).closes.entry(*consumer).or_default().push(seen);
            }
            Op::Digest(digested) if digested.bounds.is_none() => {
                self.topic(&digested.topic).digest(seen, digested);
            }
            _ => {}
        }
    }
}

impl Fold for Lives {
    fn observe(&mut self, line: u64, event: &Event) {
        let seen = Seen::of(line, event);
        match &event.op {
            Op::Enqueue { topic, value, terms, at } => self.enqueue(topic, *at, (seen, *value, terms)),
            Op::Receive { .. } => self.receive(seen, event),
            Op::Settle { .. } | Op::AckAndAppend { .. } => self.settle(seen, event),
            Op::Poll { .. } | Op::Bounds { .. } | Op::Phase(_) => {
                self.streams.observe(seen, seen.from, seen.is_ok(), &event.op);
            }
            other => self.administrate(seen, other),
        }
    }

    fn finish(mut self: Box<Self>) -> Vec<Checked> {
        let mut of_messages: Vec<Findings> = MESSAGE_CHECKS.iter().map(|_| Findings::default()).collect();
        let mut of_partitions: Vec<Findings> = PARTITION_CHECKS.iter().map(|_| Findings::default()).collect();
        let mut search = automaton::Judge::new(self.options.states_max);
        for (name, topic, partitions) in &mut self.topics {
            let queue = self.options.queue(name);
            for (number, partition) in std::mem::take(partitions) {
                let partition = joined(topic, partition);
                for (id, life) in &partition {
                    let id = MessageId { partition: number, id: *id };
                    let case =
                        Case { name, topic, streams: &self.streams, id, life, options: &self.options, queue };
                    search.judge(&case);
                    for ((_, judge), found) in MESSAGE_CHECKS.iter().zip(&mut of_messages) {
                        judge(&case, found);
                    }
                }
                for ((_, judge), found) in PARTITION_CHECKS.iter().zip(&mut of_partitions) {
                    let whole = super::Whole { name, topic, number, partition: &partition, queue };
                    judge(&whole, found);
                }
            }
        }
        let of_messages = MESSAGE_CHECKS.iter().map(|(name, _)| *name).zip(of_messages);
        let of_partitions = PARTITION_CHECKS.iter().map(|(name, _)| *name).zip(of_partitions);
        let all = of_messages.chain(of_partitions).chain([(automaton::NAME, search.finish())]);
        all.map(|(name, findings)| Checked { name: name.to_owned(), findings }).collect()
    }
}

/// Most messages have one of each: the first takes no more room than it needs.
fn push<T>(list: &mut Vec<T>, item: T) {
    if list.is_empty() {
        list.reserve_exact(1);
    }
    list.push(item);
}

/// Joins what belongs together: sends with earlier tries of theirs and with messages that they may have made, by their
/// payload; settles with earlier tries; and puts grants in the order of their leases.
fn joined(topic: &Topic, mut partition: Partition) -> Partition {
    for life in partition.values_mut() {
        life.grants.sort_by_key(|grant| (grant.lease, grant.seen.to));
        join_settles(&mut life.settles);
        if let Some(sent) = &mut life.sent {
            if let Some(tried) = topic.unplaced.get(&sent.value) {
                sent.seen = sent.seen.or(tried.seen);
            }
        } else {
            let granted = life.grants.iter().find_map(|grant| grant.value);
            let value = granted.or_else(|| life.looks.iter().find_map(|look| look.value));
            life.sent = value.and_then(|value| topic.unplaced.get(&value).cloned());
        }
    }
    partition
}

/// Of a request that is asked again under the same name the answer is the first one's: it may have happened since.
fn join_settles(settles: &mut Vec<Settle>) {
    let mut place = 0;
    while place < settles.len() {
        let again = settles[place].clone();
        let tries = |other: &Settle| {
            other.seen.outcome == Outcome::Info
                && other.seen.from < again.seen.from
                && (other.lease, other.how, &other.appended) == (again.lease, again.how, &again.appended)
        };
        if again.seen.is_ok() && settles.iter().any(tries) {
            let from = settles.iter().filter(|other| tries(other)).map(|other| other.seen.from).min();
            settles[place].seen.from = from.unwrap_or(again.seen.from);
            settles.retain(|other| !tries(other));
            place = 0;
        } else {
            place += 1;
        }
    }
}
