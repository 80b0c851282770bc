//! L4, promise P9. A ready message and an idle receiver do not stay side by side.
//!
//! Looked at are messages without conditions, of queues without a TTL, from their acknowledgement to their first delivery, while no fault is at work
//! and has not been for a while. A receiver is idle for a message when its receive, begun after the message was
//! ready and over before it was delivered, brings nothing; and it must have received from the message's partition
//! once, as receivers may be bound to some.

use std::collections::{BTreeMap, BTreeSet};

use super::{FALSE_EMPTY, STARVATION, anomaly, known, seconds};
use crate::{
    Check, Consumer, Event, FaultPhase, Findings, MessageId, Micros, Op, Options, Outcome, Phase, Terms,
};

/// After the last fault, leaders have this long to be found again.
const SETTLING: Micros = 5_000_000;

/// A receive that brought nothing.
#[derive(Clone, Copy)]
struct Empty {
    from: Micros,
    to: Micros,
    consumer: Consumer,
    line: u64,
}

#[derive(Default)]
struct Queue {
    /// Acknowledged and not yet delivered: since when, and the line.
    ready: BTreeMap<MessageId, (Micros, u64)>,
    /// Delivered before their acknowledgement was written down.
    early: BTreeSet<MessageId>,
    /// In the order of their ends.
    empty: Vec<Empty>,
    /// For each of them the place of the one that began last among those up to it.
    latest: Vec<usize>,
    /// Who received from which partition.
    serves: BTreeSet<(u32, Consumer)>,
    partitions: BTreeSet<u32>,
}

/// The fold.
pub(super) struct Starvation {
    options: Options,
    starve_max: Micros,
    queues: BTreeMap<String, Queue>,
    active: BTreeSet<u64>,
    /// Since when all is quiet; none while it is not.
    quiet: Option<Micros>,
    now: Micros,
    found: Findings,
}

impl Starvation {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            options: options.clone(),
            starve_max: options.liveness.starve_max,
            queues: BTreeMap::new(),
            active: BTreeSet::new(),
            quiet: Some(0),
            now: 0,
            found: Findings::default(),
        }
    }

    fn queue(&mut self, topic: &str) -> &mut Queue {
        if !self.queues.contains_key(topic) {
            self.queues.insert(topic.to_owned(), Queue::default());
        }
        self.queues.get_mut(topic).expect("it was put there just now")
    }

    /// Faults begin: whoever is still waiting has waited until now.
    fn disturb(&mut self) {
        if let Some(quiet) = self.quiet.take() {
            let now = self.now;
            for (topic, queue) in &self.queues {
                for (id, (since, line)) in &queue.ready {
                    let span = ((*since).max(quiet), now);
                    starved(queue, (topic, *id), (span, *line), self.starve_max, &mut self.found);
                }
            }
        }
    }

    fn enqueued(&mut self, line: u64, event: &Event, topic: &str, id: MessageId) {
        let queue = self.queue(topic);
        queue.partitions.insert(id.partition);
        if !queue.early.remove(&id) {
            queue.ready.insert(id, (known(event), line));
        }
    }

    fn received(&mut self, line: u64, event: &Event) {
        let Op::Receive { topic, consumer, deliveries } = &event.op else { return };
        let (starve_max, quiet) = (self.starve_max, self.quiet);
        let queue = self.queue(topic);
        if let (true, Outcome::Ok, Some(to)) = (deliveries.is_empty(), event.outcome, event.to) {
            queue.empty.push(Empty { from: event.from, to, consumer: *consumer, line });
            let here = queue.empty.len() - 1;
            let before = queue.latest.last().copied();
            let later = before.filter(|place| queue.empty[*place].from > event.from);
            queue.latest.push(later.unwrap_or(here));
        }
        let mut found = Findings::default();
        for delivery in deliveries {
            let id = delivery.message;
            queue.partitions.insert(id.partition);
            queue.serves.insert((id.partition, *consumer));
            let Some((since, sent)) = queue.ready.remove(&id) else {
                if delivery.attempt <= 1 {
                    queue.early.insert(id);
                }
                continue;
            };
            let Some(quiet) = quiet.filter(|_| delivery.attempt <= 1) else { continue };
            let span = (since.max(quiet), event.from);
            starved(queue, (topic, id), (span, sent), starve_max, &mut found);
            falsely_empty(queue, (topic, id), (span, sent), &mut found);
        }
        found.anomalies.into_iter().for_each(|anomaly| self.found.add(anomaly));
    }

    /// Nothing is ready any more, or nobody knows.
    fn forget(&mut self, topic: &str) {
        if let Some(queue) = self.queues.get_mut(topic) {
            queue.ready.clear();
        }
    }
}

/// A message waited from one time to another: was anybody idle meanwhile?
fn starved(
    queue: &Queue,
    (topic, id): (&str, MessageId),
    ((since, until), sent): ((Micros, Micros), u64),
    starve_max: Micros,
    found: &mut Findings,
) {
    let waited = until.saturating_sub(since);
    if waited <= starve_max {
        return;
    }
    let first = queue.empty.partition_point(|empty| empty.to <= since);
    let inside = queue.empty[first..].iter().take_while(|empty| empty.to < until);
    let mut idle =
        inside.filter(|empty| empty.from > since && queue.serves.contains(&(id.partition, empty.consumer)));
    if let Some(empty) = idle.next() {
        let text = format!(
            "ready for {} without a delivery, and consumer {} got nothing",
            seconds(waited),
            empty.consumer.0
        );
        found.add(anomaly(STARVATION, until, (topic, format!("message {id}")), text, &[sent, empty.line]));
    }
}

/// A message was ready all the time, and the queue has no other partition: was any receive empty?
fn falsely_empty(
    queue: &Queue,
    (topic, id): (&str, MessageId),
    ((since, until), sent): ((Micros, Micros), u64),
    found: &mut Findings,
) {
    if queue.partitions.len() != 1 || until <= since {
        return;
    }
    let before = queue.empty.partition_point(|empty| empty.to < until);
    let Some(empty) = before.checked_sub(1).map(|last| queue.empty[queue.latest[last]]) else { return };
    if empty.from > since {
        let text = format!("ready all along, and consumer {} got nothing", empty.consumer.0);
        found.add(anomaly(FALSE_EMPTY, until, (topic, format!("message {id}")), text, &[sent, empty.line]));
    }
}

impl Check for Starvation {
    fn name(&self) -> &'static str {
        "L4 starvation"
    }

    fn observe(&mut self, line: u64, event: &Event) {
        self.now = self.now.max(known(event));
        match &event.op {
            Op::Fault(fault) => match fault.phase {
                FaultPhase::Begin | FaultPhase::Once => {
                    self.disturb();
                    if fault.phase == FaultPhase::Begin {
                        self.active.insert(fault.id);
                    } else if self.active.is_empty() {
                        self.quiet = Some(self.now + SETTLING);
                    }
                }
                FaultPhase::End => {
                    if self.active.remove(&fault.id) && self.active.is_empty() {
                        self.quiet = Some(self.now + SETTLING);
                    }
                }
            },
            Op::Phase(Phase::Healed) => {
                self.disturb();
                self.active.clear();
                self.quiet = Some(self.now + SETTLING);
            }
            // Receivers stop when all is over.
            Op::Phase(Phase::End) => self.disturb(),
            Op::Enqueue { topic, terms, at: Some(id), .. }
                if event.outcome == Outcome::Ok
                    && *terms == Terms::default()
                    && self.options.queue(topic).ttl.is_none() =>
            {
                self.enqueued(line, event, topic, *id);
            }
            Op::Receive { .. } => self.received(line, event),
            Op::Purge { topic } | Op::Discard { topic, .. } => self.forget(topic),
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Findings {
        self.found
    }
}
