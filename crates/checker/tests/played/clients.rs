//! The clients: they ask for everything that a queue offers, hear of most of it, ask again under the same request, come
//! late, and write down what they saw.

use weir_checker::{
    Consumer, Delivery, Digested, Event, How, MessageId, MessageState, Micros, Op, Outcome, ParkedMessage,
    Phase, Process, Terms, Value,
};

use crate::dice::Dice;
use crate::queue::{Defect, Granted, Held, PARTITIONS, Queue, State};

const TOPIC: &str = "q";
const CONSUMERS: u64 = 4;
const PRODUCERS: u64 = 3;
const STEPS: u64 = 260;
/// Longest time from an operation's beginning to its moment, and from there to its end.
const SLACK_MAX: Micros = 30_000;
/// Longest pause between two operations.
const PAUSE_MAX: Micros = 200_000;
/// Longest lease.
const HELD_MAX: Micros = 3_000_000;

struct Play {
    dice: Dice,
    queue: Queue,
    now: Micros,
    events: Vec<Event>,
    held: Vec<Held>,
    sequences: [u64; PRODUCERS as usize],
}

/// Plays to the end, and shows what was left.
pub(crate) fn play(seed: u64, defect: Option<Defect>) -> Vec<Event> {
    let queue = Queue { defect, ..Queue::default() };
    let mut play = Play {
        dice: Dice::new(seed),
        queue,
        now: 1_000_000,
        events: Vec::new(),
        held: Vec::new(),
        sequences: [0; 3],
    };
    for _ in 0..STEPS {
        play.now += play.dice.below(PAUSE_MAX);
        play.queue.time_is(play.now);
        play.step();
    }
    play.now += 2 * SLACK_MAX;
    play.queue.time_is(play.now);
    play.end();
    play.events.sort_by_key(|event| event.to.unwrap_or(event.from));
    play.events
}

impl Play {
    fn step(&mut self) {
        match self.dice.below(100) {
            0..34 => self.enqueue(),
            34..60 => self.receive(),
            60..92 => self.settle(),
            92..94 => self.close(),
            94..99 => self.administrate(),
            _ => self.purge(),
        }
    }

    fn note(&mut self, op: Op, outcome: Outcome) -> Micros {
        let from = self.now - self.dice.below(SLACK_MAX);
        let to = self.now + self.dice.below(SLACK_MAX);
        self.write((from, Some(to).filter(|_| outcome != Outcome::Info)), op, outcome);
        to
    }

    fn write(&mut self, (from, to): (Micros, Option<Micros>), op: Op, outcome: Outcome) {
        let error = match (outcome, &op) {
            (Outcome::Ok, _) => None,
            (Outcome::Fail, Op::Settle { .. }) => Some("lease-lost: it has another lease".to_owned()),
            (Outcome::Fail, _) => Some("throttled: not now".to_owned()),
            (Outcome::Info, _) => Some("client-timeout: no answer".to_owned()),
        };
        let process = Process(self.events.len() as u32);
        self.events.push(Event { from, to, process, node: None, op, outcome, error });
    }

    /// Whether something is heard of, and whether something that is not heard of happens.
    fn fortune(&mut self) -> (Outcome, bool) {
        match self.dice.below(40) {
            0 => (Outcome::Info, true),
            1 => (Outcome::Info, false),
            2 => (Outcome::Fail, false),
            _ => (Outcome::Ok, true),
        }
    }

    fn enqueue(&mut self) {
        let producer = self.dice.below(PRODUCERS) as u32;
        let sequence = &mut self.sequences[producer as usize];
        *sequence += 1;
        let value = Value { producer, sequence: *sequence };
        let partition = self.dice.below(u64::from(PARTITIONS)) as u32;
        let terms = self.terms();
        let op = |at| Op::Enqueue { topic: TOPIC.to_owned(), value, terms: terms.clone(), at };
        let (outcome, happens) = self.fortune();
        let stores_refused = outcome == Outcome::Fail && self.queue.defect == Some(Defect::StoresRefused);
        let id = (happens || stores_refused).then(|| self.queue.enqueue(partition, value, terms.clone()));
        self.note(op(id.filter(|_| outcome == Outcome::Ok)), outcome);
        if outcome != Outcome::Ok && self.dice.one_in(2) && !stores_refused {
            // The same again: the queue knows what it has.
            self.now += 2 * SLACK_MAX;
            let again = self.queue.defect == Some(Defect::StoresRetriesAgain);
            let id =
                id.filter(|_| !again).unwrap_or_else(|| self.queue.enqueue(partition, value, terms.clone()));
            self.note(op(Some(id)), Outcome::Ok);
        }
    }

    fn terms(&mut self) -> Terms {
        let mut terms = Terms::default();
        match self.dice.below(12) {
            0..3 => terms.key = Some(format!("k{}", self.dice.below(2))),
            3 => terms.not_before = Some(self.now + 4_000_000),
            4 => terms.expires = Some(self.now + 6_000_000),
            5 => terms.expires = Some(self.now + 120_000_000),
            6..8 => terms.priority = Some(self.dice.below(4) as u8),
            _ => {}
        }
        terms
    }

    fn receive(&mut self) {
        let partition = self.dice.below(u64::from(PARTITIONS)) as u32;
        let consumer = self.dice.below(CONSUMERS) as u32;
        let (max, held) = (1 + self.dice.below(3), 500_000 + self.dice.below(HELD_MAX));
        let unheard = self.dice.one_in(60);
        let granted = self.queue.receive(partition, max, consumer, (self.now, held));
        if !unheard {
            self.deliver(consumer, &granted, Some(held));
            return;
        }
        let op =
            Op::Receive { topic: TOPIC.to_owned(), consumer: Consumer(consumer), deliveries: Vec::new() };
        self.note(op, Outcome::Info);
        if self.dice.one_in(2) {
            // The same again: what is still this consumer's.
            self.now += 2 * SLACK_MAX + self.dice.below(HELD_MAX);
            self.queue.time_is(self.now);
            let mine = |it: &Granted| {
                let state = self.queue.messages.get(&it.id).map(|message| message.state);
                matches!(state, Some(State::Leased { lease, .. }) if lease == it.lease)
            };
            let granted: Vec<Granted> = granted.into_iter().filter(mine).collect();
            self.deliver(consumer, &granted, None);
        }
    }

    fn deliver(&mut self, consumer: u32, granted: &[Granted], held: Option<Micros>) {
        let deliveries = granted.iter().map(|it| Delivery {
            message: it.id,
            value: Some(it.value),
            lease: it.lease,
            attempt: it.attempt,
            held,
        });
        let deliveries = deliveries.collect();
        let op = Op::Receive { topic: TOPIC.to_owned(), consumer: Consumer(consumer), deliveries };
        let since = self.note(op, Outcome::Ok);
        self.held.extend(granted.iter().map(|it| Held { id: it.id, lease: it.lease, consumer, since }));
    }

    fn settle(&mut self) {
        let earliest = self.now.saturating_sub(SLACK_MAX);
        let ready = self.held.iter().filter(|held| held.since < earliest).count() as u64;
        if ready == 0 {
            return;
        }
        let place = self.dice.below(ready) as usize;
        let Some((place, held)) =
            self.held.iter().copied().enumerate().filter(|(_, held)| held.since < earliest).nth(place)
        else {
            return;
        };
        let how = match self.dice.below(20) {
            0..10 => How::Ack,
            10..14 => How::Nack,
            14..16 => How::Release,
            16 => How::Reject,
            17 => How::Extend(self.dice.below(HELD_MAX)),
            // It is forgotten, or comes late.
            _ => return,
        };
        if !matches!(how, How::Extend(_)) {
            self.held.remove(place);
        }
        let op = || Op::Settle {
            topic: TOPIC.to_owned(),
            consumer: Consumer(held.consumer),
            message: held.id,
            lease: held.lease,
            how,
        };
        let (heard, happens) = match self.fortune() {
            (Outcome::Fail, _) => (Outcome::Ok, true),
            other => other,
        };
        let answer = |done: bool| if done { Outcome::Ok } else { Outcome::Fail };
        if heard == Outcome::Ok {
            let done = self.queue.settle(held, how, self.now);
            self.note(op(), answer(done));
            return;
        }
        let first = happens.then(|| self.queue.settle(held, how, self.now));
        self.note(op(), Outcome::Info);
        if self.dice.one_in(2) {
            // The same again: the first answer, if there is one.
            self.now += 2 * SLACK_MAX + self.dice.below(PAUSE_MAX);
            self.queue.time_is(self.now);
            let done = first.unwrap_or_else(|| self.queue.settle(held, how, self.now));
            self.note(op(), answer(done));
        }
    }

    fn close(&mut self) {
        let consumer = self.dice.below(CONSUMERS) as u32;
        self.queue.close(consumer);
        let op = Op::CloseSession { topic: TOPIC.to_owned(), consumer: Consumer(consumer) };
        self.note(op, Outcome::Ok);
    }

    fn administrate(&mut self) {
        let parked = self.queue.parked();
        let messages = parked.iter().map(|id| {
            let message = &self.queue.messages[id];
            ParkedMessage { message: *id, value: Some(message.value), attempts: message.fails }
        });
        let messages = messages.collect();
        self.note(Op::ListParked { topic: TOPIC.to_owned(), messages }, Outcome::Ok);
        self.now += 2 * SLACK_MAX;
        self.queue.time_is(self.now);
        let chosen: Vec<MessageId> =
            self.queue.parked().into_iter().filter(|_| self.dice.one_in(2)).collect();
        let topic = TOPIC.to_owned();
        if chosen.is_empty() {
            return;
        }
        // A step may fail after others went well.
        let fails = chosen.len() > 1 && self.dice.one_in(4);
        let done = if fails { &chosen[..chosen.len() / 2] } else { &chosen[..] };
        let discards = self.dice.one_in(3);
        for id in done {
            if discards {
                self.queue.discard(*id);
            } else {
                self.queue.redrive(*id);
            }
        }
        let messages = chosen;
        let op = if discards { Op::Discard { topic, messages } } else { Op::Redrive { topic, messages } };
        self.note(op, if fails { Outcome::Fail } else { Outcome::Ok });
    }

    fn purge(&mut self) {
        if self.dice.one_in(3) {
            self.queue.purge();
            self.note(Op::Purge { topic: TOPIC.to_owned() }, Outcome::Ok);
        }
    }

    fn end(&mut self) {
        let (from, to) = (self.now, self.now + 1);
        self.write((from, Some(from)), Op::Phase(Phase::End), Outcome::Ok);
        for partition in 0..PARTITIONS {
            let of_partition = self.queue.messages.iter().filter(|(id, _)| id.partition == partition);
            let messages = of_partition.map(|(id, message)| {
                let state = match message.state {
                    State::Ready { .. } => MessageState::Ready,
                    State::Leased { .. } => MessageState::Leased,
                    State::Parked => MessageState::Parked,
                };
                (id.id, state)
            });
            let digested = Digested {
                node: "n1".to_owned(),
                topic: TOPIC.to_owned(),
                partition,
                applied: 1,
                hash: "x".to_owned(),
                messages: messages.collect(),
                bounds: None,
            };
            self.write((from, Some(to)), Op::Digest(digested), Outcome::Ok);
        }
    }
}
