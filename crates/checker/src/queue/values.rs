//! Follows every payload from its producer to where it was seen. Judged in `lost.rs` and `phantom.rs`.

use std::collections::{BTreeMap, BTreeSet};

use super::life::Seen;
use super::topic::Topic;
use super::{lost, phantom};
use crate::checks::{Fold, Shard};
use crate::{Checked, Event, Findings, MessageId, Micros, Op, Options, Phase, Terms, Value};

/// How a payload was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) seen: Seen,
    pub(super) at: Option<MessageId>,
    pub(super) expires: Option<Micros>,
}

/// What became of one payload.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fate {
    pub(super) sent: Option<Sent>,
    /// The message under which it was first seen, delivered or parked.
    pub(super) seen: Option<(MessageId, Seen)>,
    /// The first other message that brought it.
    pub(super) again: Option<(MessageId, Seen)>,
    /// Its first delivery.
    pub(super) delivered: Option<Seen>,
}

/// All payloads of one queue, and what is needed to judge them.
#[derive(Default)]
pub(super) struct Payloads {
    pub(super) name: String,
    pub(super) topic: Topic,
    pub(super) fates: BTreeMap<Value, Fate>,
    /// Messages that were discarded or called off, for all that is known.
    pub(super) dropped: BTreeSet<MessageId>,
    /// When nothing was left to be read, if the history goes on until then.
    pub(super) over: Option<Micros>,
    /// No queue of this name loses messages to a TTL unless they carry one.
    pub(super) ttl: Option<Micros>,
    /// The last moment of the history.
    pub(super) last: Micros,
}

/// The fold.
pub(super) struct Values {
    options: Options,
    shard: Shard,
    topics: Vec<Payloads>,
    over: Option<Micros>,
    last: Micros,
}

impl Values {
    pub(super) fn new(options: &Options, shard: Shard) -> Self {
        Self { options: options.clone(), shard, topics: Vec::new(), over: None, last: 0 }
    }

    fn topic(&mut self, name: &str) -> &mut Payloads {
        let known = self.topics.iter().position(|payloads| payloads.name == name);
        let place = known.unwrap_or_else(|| {
            let ttl = self.options.queue(name).ttl;
            self.topics.push(Payloads { name: name.to_owned(), ttl, ..Payloads::default() });
            self.topics.len() - 1
        });
        &mut self.topics[place]
    }

    fn fate(&mut self, topic: &str, value: Value) -> Option<&mut Fate> {
        // By producer: how a loss lies among its sends is part of the finding.
        if !self.shard.takes(u64::from(value.producer)) {
            return None;
        }
        Some(self.topic(topic).fates.entry(value).or_default())
    }

    fn enqueue(&mut self, topic: &str, value: Value, at: Option<MessageId>, (seen, terms): (Seen, &Terms)) {
        let Some(fate) = self.fate(topic, value) else { return };
        let sent = fate.sent.get_or_insert(Sent { seen, at, expires: terms.expires });
        sent.seen = sent.seen.or(seen);
        sent.at = sent.at.or(at);
        if let Some(id) = at {
            fate.notice(id, seen);
        }
    }
}

impl Fate {
    fn notice(&mut self, id: MessageId, seen: Seen) {
        match self.seen {
            None => self.seen = Some((id, seen)),
            Some((first, _)) if first != id => {
                self.again.get_or_insert((id, seen));
            }
            Some(_) => {}
        }
    }
}

impl Fold for Values {
    fn observe(&mut self, line: u64, event: &Event) {
        let seen = Seen::of(line, event);
        self.last = self.last.max(seen.known());
        match &event.op {
            Op::Enqueue { topic, value, terms, at } => self.enqueue(topic, *value, *at, (seen, terms)),
            Op::Receive { topic, deliveries, .. } => {
                for delivery in deliveries {
                    let Some(fate) = delivery.value.and_then(|value| self.fate(topic, value)) else {
                        continue;
                    };
                    fate.notice(delivery.message, seen);
                    fate.delivered.get_or_insert(seen);
                }
            }
            Op::ListParked { topic, messages } => {
                for parked in messages {
                    if let Some(fate) = parked.value.and_then(|value| self.fate(topic, value)) {
                        fate.notice(parked.message, seen);
                        // To be parked is to be kept.
                        fate.delivered.get_or_insert(seen);
                    }
                }
            }
            Op::Discard { topic, messages } if seen.may_have_happened() || messages.len() > 1 => {
                self.topic(topic).dropped.extend(messages);
            }
            Op::Cancel { topic, message } if seen.may_have_happened() => {
                self.topic(topic).dropped.insert(*message);
            }
            Op::Purge { topic } => self.topic(topic).topic.purges.push(seen.in_steps()),
            Op::Digest(digested) if digested.bounds.is_none() => {
                self.topic(&digested.topic).topic.digest(seen, digested);
            }
            Op::Phase(Phase::End) => self.over = Some(seen.from),
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Vec<Checked> {
        let (mut lost, mut phantom) = (Findings::default(), Findings::default());
        let (mut dirty, mut duplicate) = (Findings::default(), Findings::default());
        for mut payloads in self.topics {
            payloads.over = self.over;
            payloads.last = self.last;
            lost::judge(&payloads, self.options.clock_offset, &mut lost);
            phantom::judge(&payloads, &mut phantom, &mut dirty, &mut duplicate);
        }
        let all = [
            ("Q1 lost-message", lost),
            ("Q3 phantom", phantom),
            ("Q4 dirty-delivery", dirty),
            ("Q5 duplicate-enqueue", duplicate),
        ];
        all.map(|(name, findings)| Checked { name: name.to_owned(), findings }).into()
    }
}
