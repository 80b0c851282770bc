//! L2. Long enough after the heal, nothing that was acknowledged is left: every record is read, every message is out of its
//! queue.
//!
//! Only streams that somebody reads have to be read, and only in their retained part. A message is out when it was acked,
//! rejected, listed as parked, dropped, or is missing in the states of replicas that were read last; of an
//! unanswered ack nobody knows. A history without a drain is not judged.

use std::collections::{BTreeMap, BTreeSet};

use super::{LivenessOptions, UNDRAINED, anomaly, known, seconds};
use crate::{
    Check, Digested, Event, Findings, How, MessageId, MessageState, Micros, Op, Outcome, Phase, Terms,
};

/// Records of one page.
const PAGE: u64 = 64;

/// One partition of a stream.
#[derive(Default)]
struct Log {
    /// By page: bits of records that were acknowledged, and of those that were read.
    pages: BTreeMap<u64, (u64, u64)>,
    /// The first retained offset.
    start: u64,
}

impl Log {
    fn acknowledged(&mut self, offset: u64) {
        self.pages.entry(offset / PAGE).or_default().0 |= 1 << (offset % PAGE);
    }

    fn read(&mut self, offset: u64) {
        self.pages.entry(offset / PAGE).or_default().1 |= 1 << (offset % PAGE);
    }

    /// How many were acknowledged and not read, and the first of them.
    fn unread(&self) -> Option<(u64, u64)> {
        let left = self.pages.range(self.start / PAGE..).filter_map(|(page, (acked, read))| {
            let first = page * PAGE;
            let retained = if first >= self.start { u64::MAX } else { u64::MAX << (self.start - first) };
            let left = acked & !read & retained;
            (left != 0).then(|| (u64::from(left.count_ones()), first + u64::from(left.trailing_zeros())))
        });
        left.reduce(|(count, first), (more, _)| (count + more, first))
    }
}

/// What is known of a message that is not surely out.
#[derive(Clone, Copy, Default)]
struct Waiting {
    delivered: bool,
    /// An ack, or something else that ends it, has no answer.
    perhaps_out: bool,
}

#[derive(Default)]
struct Queue {
    waiting: BTreeMap<MessageId, Waiting>,
    /// Out before their acknowledgement was written down.
    early: BTreeSet<MessageId>,
    /// The states of the replica that had applied most, by partition: applied index, and what is ready or leased.
    held: BTreeMap<u32, (u64, BTreeSet<u64>)>,
}

/// What is left at a time.
struct Left {
    /// Topic, partition, how many records are unread, and the first of them.
    unread: Vec<(String, u32, u64, u64)>,
    /// By topic.
    waiting: Vec<(String, BTreeMap<MessageId, Waiting>)>,
}

/// The fold.
pub(super) struct Drain {
    max: Micros,
    logs: BTreeMap<String, BTreeMap<u32, Log>>,
    /// Streams that somebody reads.
    read: BTreeSet<String>,
    queues: BTreeMap<String, Queue>,
    healed: Option<Micros>,
    /// When the drain began, after the heal.
    since: Option<Micros>,
    now: Micros,
    /// What was left when time was up.
    late: Option<Left>,
}

impl Drain {
    pub(super) fn new(options: &LivenessOptions) -> Self {
        Self {
            max: options.drain_max,
            logs: BTreeMap::new(),
            read: BTreeSet::new(),
            queues: BTreeMap::new(),
            healed: None,
            since: None,
            now: 0,
            late: None,
        }
    }

    fn log(&mut self, topic: &str, partition: u32) -> &mut Log {
        if !self.logs.contains_key(topic) {
            self.logs.insert(topic.to_owned(), BTreeMap::new());
        }
        self.logs.get_mut(topic).expect("it was put there just now").entry(partition).or_default()
    }

    fn queue(&mut self, topic: &str) -> &mut Queue {
        if !self.queues.contains_key(topic) {
            self.queues.insert(topic.to_owned(), Queue::default());
        }
        self.queues.get_mut(topic).expect("it was put there just now")
    }

    fn left(&self) -> Left {
        let mut unread = Vec::new();
        for (topic, partitions) in &self.logs {
            for (partition, log) in partitions {
                unread.extend(log.unread().map(|(count, first)| (topic.clone(), *partition, count, first)));
            }
        }
        let waiting = self.queues.iter().filter(|(_, queue)| !queue.waiting.is_empty());
        Left {
            unread,
            waiting: waiting.map(|(topic, queue)| (topic.clone(), queue.waiting.clone())).collect(),
        }
    }

    fn stream(&mut self, event: &Event) {
        match &event.op {
            Op::Append { topic, values, at: Some((partition, first)), .. }
                if event.outcome == Outcome::Ok =>
            {
                let log = self.log(topic, *partition);
                (*first..).zip(values).for_each(|(offset, _)| log.acknowledged(offset));
            }
            Op::Poll { topic, partition, records, .. } => {
                let log = self.log(topic, *partition);
                for (offset, _) in records {
                    log.read(*offset);
                }
                if !self.read.contains(topic) {
                    self.read.insert(topic.clone());
                }
            }
            Op::Bounds { topic, partition, start, .. } if event.outcome == Outcome::Ok => {
                let log = self.log(topic, *partition);
                log.start = log.start.max(*start);
            }
            _ => {}
        }
    }

    fn messages(&mut self, event: &Event) {
        let ok = event.outcome == Outcome::Ok;
        match &event.op {
            Op::Enqueue { topic, terms, at: Some(id), .. } if ok && *terms == Terms::default() => {
                let queue = self.queue(topic);
                if !queue.early.remove(id) {
                    queue.waiting.insert(*id, Waiting::default());
                }
            }
            Op::Receive { topic, deliveries, .. } => {
                let queue = self.queue(topic);
                for delivery in deliveries {
                    if let Some(waiting) = queue.waiting.get_mut(&delivery.message) {
                        waiting.delivered = true;
                    }
                }
            }
            Op::Settle { topic, message, how: How::Ack | How::Reject, .. } => {
                self.queue(topic).ends(*message, event.outcome);
            }
            Op::AckAndAppend { queue, message, .. } => self.queue(queue).ends(*message, event.outcome),
            Op::ListParked { topic, messages } if ok => {
                let queue = self.queue(topic);
                for parked in messages {
                    queue.ends(parked.message, Outcome::Ok);
                }
            }
            Op::Discard { topic, messages } => {
                let queue = self.queue(topic);
                for message in messages {
                    queue.ends(*message, event.outcome);
                }
            }
            Op::Cancel { topic, message } => self.queue(topic).ends(*message, event.outcome),
            Op::Redrive { topic, messages } if event.outcome != Outcome::Fail => {
                let queue = self.queue(topic);
                for message in messages {
                    queue.waiting.insert(*message, Waiting { delivered: true, perhaps_out: !ok });
                }
            }
            Op::Purge { topic } if event.outcome != Outcome::Fail => self.queue(topic).waiting.clear(),
            _ => {}
        }
    }

    fn digest(&mut self, digested: &Digested) {
        let Digested { topic, partition, applied, messages, bounds, .. } = digested;
        if bounds.is_some() {
            return;
        }
        let held = self.queue(topic).held.entry(*partition).or_default();
        if *applied >= held.0 {
            let inside = messages
                .iter()
                .filter(|(_, state)| matches!(state, MessageState::Ready | MessageState::Leased));
            *held = (*applied, inside.map(|(id, _)| *id).collect());
        }
    }

    fn begins(&mut self, phase: Phase, at: Micros) {
        match phase {
            Phase::Healed => {
                self.healed = Some(at);
                (self.since, self.late) = (None, None);
            }
            Phase::Drain => {
                self.since = self.healed.map(|healed| healed.max(at));
                // States of replicas count that are read from here on.
                self.queues.values_mut().for_each(|queue| queue.held.clear());
            }
            _ => {}
        }
    }

    fn judge_queue(
        &self,
        topic: &str,
        waiting: BTreeMap<MessageId, Waiting>,
        (late, waited): (bool, Micros),
        found: &mut Findings,
    ) {
        let held = self.queues.get(topic).map(|queue| &queue.held);
        let inside = |id: &MessageId| {
            held.and_then(|held| held.get(&id.partition)).map(|(_, ids)| ids.contains(&id.id))
        };
        let (mut surely, mut perhaps) = (Vec::new(), 0_u64);
        for (id, Waiting { delivered, perhaps_out }) in waiting {
            match inside(&id) {
                // Out by now; nobody saw when.
                Some(false) => {}
                None if delivered || perhaps_out => perhaps += 1,
                Some(true) | None => surely.push(id),
            }
        }
        if let Some(first) = surely.first() {
            let text = format!(
                "{} messages were still in the queue {} after the drain began, such as {first}",
                surely.len(),
                seconds(waited)
            );
            if late {
                found.add(anomaly(UNDRAINED, self.now, (topic, "messages".to_owned()), text, &[]));
            } else {
                found.unknown.push(format!("{topic}: the history ends early: {text}"));
            }
        }
        if perhaps > 0 {
            found.unknown.push(format!(
                "{topic}: {perhaps} messages may still be in the queue, and no state of a replica says"
            ));
        }
    }
}

impl Queue {
    /// A message is out, or perhaps.
    fn ends(&mut self, id: MessageId, outcome: Outcome) {
        match outcome {
            Outcome::Ok => {
                if self.waiting.remove(&id).is_none() {
                    self.early.insert(id);
                }
            }
            Outcome::Info => {
                if let Some(waiting) = self.waiting.get_mut(&id) {
                    waiting.perhaps_out = true;
                }
            }
            Outcome::Fail => {}
        }
    }
}

impl Check for Drain {
    fn name(&self) -> &'static str {
        "L2 drain"
    }

    fn observe(&mut self, _: u64, event: &Event) {
        self.now = self.now.max(known(event));
        if self.late.is_none() && self.since.is_some_and(|since| self.now > since + self.max) {
            self.late = Some(self.left());
        }
        match &event.op {
            Op::Phase(phase) => self.begins(*phase, known(event)),
            Op::Digest(digested) => self.digest(digested),
            Op::Append { .. } | Op::Poll { .. } | Op::Bounds { .. } => self.stream(event),
            _ => self.messages(event),
        }
    }

    fn finish(mut self: Box<Self>) -> Findings {
        let mut found = Findings::default();
        let Some(since) = self.since else { return found };
        let (late, left) = match self.late.take() {
            Some(left) => (true, left),
            None => (false, self.left()),
        };
        let waited = if late { self.max } else { self.now.saturating_sub(since) };
        for (topic, partition, count, first) in
            left.unread.iter().filter(|(topic, ..)| self.read.contains(topic))
        {
            let text = format!(
                "{count} records were unread {} after the drain began, from offset {first} on",
                seconds(waited)
            );
            if late {
                let subject = format!("partition {partition}");
                found.add(anomaly(UNDRAINED, self.now, (topic, subject), text, &[]));
            } else {
                found.unknown.push(format!("{topic}/{partition}: the history ends early: {text}"));
            }
        }
        for (topic, waiting) in left.waiting {
            self.judge_queue(&topic, waiting, (late, waited), &mut found);
        }
        found
    }
}
