//! Plays a queue of one message and writes down what its clients saw.

use std::fmt;

use weir_checker::{
    Consumer, Delivery, Event, How, MessageId, Micros, Op, Outcome, ParkedMessage, Process, Terms, Value,
};

use crate::dice::Dice;

pub(crate) const MESSAGE: MessageId = MessageId { partition: 0, id: 7 };
const VALUE: Value = Value { producer: 1, sequence: 0 };
const QUEUE: &str = "q";
/// Most operations of a history.
const OPERATIONS_MAX: u64 = 9;
/// Longest time from an operation's beginning to its moment, and from there to its end.
const SLACK_MAX: u64 = 4;
/// Longest lease.
const HELD_MAX: u64 = 9;

/// Most places that are changed afterwards.
const CHANGES_MAX: u64 = 3;

/// A history of one message.
pub(crate) struct Generated {
    pub(crate) events: Vec<Event>,
    pub(crate) attempts_max: Option<u32>,
    /// Something in it was changed afterwards.
    pub(crate) changed: bool,
}

impl Generated {
    /// Whether a settle is asked again. To the checker that is one request, which only clients know how to make: the
    /// others would take it for two.
    pub(crate) fn repeats(&self) -> bool {
        let settles = self.events.iter().filter_map(|event| match &event.op {
            Op::Settle { lease, how, .. } => Some((event.outcome, *lease, *how)),
            _ => None,
        });
        let settles: Vec<_> = settles.collect();
        let unknown = settles.iter().filter(|(outcome, ..)| *outcome == Outcome::Info);
        let mut again = unknown.map(|(_, lease, how)| (Outcome::Ok, *lease, *how));
        again.any(|again| settles.contains(&again))
    }
}

/// As lines of a history.
impl fmt::Display for Generated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "attempts_max {:?}", self.attempts_max)?;
        self.events.iter().try_for_each(|event| writeln!(f, "{}", serde_json::json!(event)))
    }
}

/// The message, as the player sees it.
#[derive(Clone, Copy, Debug)]
enum State {
    Ready { fails: u32, lapsed: Option<u64> },
    Leased { fails: u32, lease: u64, until: Micros },
    Parked { fails: u32 },
    Gone,
}

struct Player {
    dice: Dice,
    timed: bool,
    attempts_max: Option<u32>,
    now: Micros,
    last_lease: u64,
    state: State,
    events: Vec<Event>,
}

pub(crate) fn generate(seed: u64, timed: bool) -> Generated {
    let mut dice = Dice::new(seed);
    let attempts_max = [None, Some(1), Some(2), Some(3)][dice.below(4) as usize];
    let state = State::Ready { fails: 0, lapsed: None };
    let mut player =
        Player { dice, timed, attempts_max, now: SLACK_MAX, last_lease: 0, state, events: Vec::new() };
    player.enqueue();
    for _ in 0..player.dice.below(OPERATIONS_MAX) {
        player.step();
    }
    let changes = player.dice.below(CHANGES_MAX + 1);
    for _ in 0..changes {
        player.change();
    }
    player.events.sort_by_key(|event| event.to.unwrap_or(Micros::MAX));
    Generated { events: player.events, attempts_max, changed: changes > 0 }
}

impl Player {
    fn step(&mut self) {
        self.now += self.dice.below(4);
        self.time_passes();
        let holder = match self.state {
            State::Leased { lease, .. } | State::Ready { lapsed: Some(lease), .. } => Some(lease),
            _ => None,
        };
        match self.dice.below(10) {
            0..4 if matches!(self.state, State::Ready { .. }) => self.grant(),
            0..8 if holder.is_some() && self.last_lease > 0 => self.settle(holder.unwrap_or(self.last_lease)),
            8 if self.last_lease > 1 => self.late_settle(),
            _ => self.administrate(),
        }
    }

    /// What nobody asks for: leases end.
    fn time_passes(&mut self) {
        let State::Leased { fails, lease, until } = self.state else { return };
        let over = if self.timed { self.now >= until } else { true };
        if over && self.dice.one_in(2) {
            self.state = self.failed(fails + 1, Some(lease));
        }
    }

    fn failed(&self, fails: u32, lapsed: Option<u64>) -> State {
        match self.attempts_max {
            Some(max) if fails >= max => State::Parked { fails },
            _ => State::Ready { fails, lapsed },
        }
    }

    fn enqueue(&mut self) {
        let at = Some(MESSAGE);
        let op = Op::Enqueue { topic: QUEUE.to_owned(), value: VALUE, terms: Terms::default(), at };
        self.happens(op);
        if let Some(event) = self.events.last_mut().filter(|event| event.outcome == Outcome::Info)
            && let Op::Enqueue { at, .. } = &mut event.op
        {
            *at = None;
        }
    }

    fn grant(&mut self) {
        let State::Ready { fails, .. } = self.state else { return };
        self.last_lease += 1 + self.dice.below(2);
        let lease = self.last_lease;
        let held = self.timed.then(|| self.dice.below(HELD_MAX));
        let attempt = fails + 1;
        let delivery = Delivery { message: MESSAGE, value: Some(VALUE), lease, attempt, held };
        let (topic, consumer) = (QUEUE.to_owned(), Consumer(1));
        self.seen(Op::Receive { topic, consumer, deliveries: vec![delivery] }, Outcome::Ok);
        self.state = State::Leased { fails, lease, until: self.now + held.unwrap_or(0) };
    }

    fn settle(&mut self, lease: u64) {
        let fails = match self.state {
            State::Leased { fails, .. } => fails,
            State::Ready { fails, .. } => fails - 1,
            _ => return,
        };
        let more = self.dice.below(HELD_MAX);
        let how = [How::Ack, How::Nack, How::Release, How::Reject, How::Extend(more), How::Nack];
        let how = how[self.dice.below(6) as usize];
        if !self.happens(settle(lease, how)) {
            return;
        }
        self.state = match how {
            How::Ack => State::Gone,
            How::Nack => self.failed(fails + 1, None),
            How::Release => State::Ready { fails, lapsed: None },
            How::Reject => State::Parked { fails: fails + 1 },
            How::Extend(more) => {
                let until = if self.timed { self.now + more } else { self.now };
                State::Leased { fails, lease, until }
            }
        };
    }

    /// An earlier holder is refused.
    fn late_settle(&mut self) {
        let lease = 1 + self.dice.below(self.last_lease - 1);
        let granted = self.events.iter().any(|event| {
            matches!(&event.op, Op::Receive { deliveries, .. } if deliveries.iter().any(|it| it.lease == lease))
        });
        let current = match self.state {
            State::Leased { lease, .. } | State::Ready { lapsed: Some(lease), .. } => Some(lease),
            _ => None,
        };
        if granted && current != Some(lease) {
            self.seen(settle(lease, How::Ack), Outcome::Fail);
        }
    }

    fn administrate(&mut self) {
        let State::Parked { fails } = self.state else { return };
        let (topic, messages) = (QUEUE.to_owned(), vec![MESSAGE]);
        match self.dice.below(4) {
            0 => {
                if self.happens(Op::Redrive { topic, messages }) {
                    self.state = State::Ready { fails: 0, lapsed: None };
                }
            }
            1 => {
                if self.happens(Op::Discard { topic, messages }) {
                    self.state = State::Gone;
                }
            }
            _ => {
                let parked = ParkedMessage { message: MESSAGE, value: Some(VALUE), attempts: fails };
                self.seen(Op::ListParked { topic, messages: vec![parked] }, Outcome::Ok);
            }
        }
    }

    /// Something that changes the message is asked for: mostly it happens, and mostly its client hears of it.
    fn happens(&mut self, op: Op) -> bool {
        let unheard = self.dice.one_in(6);
        let enqueue = matches!(op, Op::Enqueue { .. });
        self.seen(op, if unheard { Outcome::Info } else { Outcome::Ok });
        !unheard || enqueue || self.dice.one_in(2)
    }

    fn seen(&mut self, op: Op, outcome: Outcome) {
        let (before, after) = (self.dice.below(SLACK_MAX), self.dice.below(SLACK_MAX));
        let from = self.now - before.min(self.now);
        let to = (outcome != Outcome::Info).then_some(self.now + after);
        let error = (outcome == Outcome::Fail).then(|| "lease-lost: superseded".to_owned());
        let process = Process(self.events.len() as u32 + 1);
        self.events.push(Event { from, to, process, node: None, op, outcome, error });
    }

    /// One place is changed: a time, an outcome, a number.
    fn change(&mut self) {
        if self.events.is_empty() {
            return;
        }
        let place = self.dice.below(self.events.len() as u64) as usize;
        let (choice, by) = (self.dice.below(5), 1 + self.dice.below(6));
        let event = &mut self.events[place];
        match (choice, &mut event.op) {
            (0, _) => {
                event.from += by;
                event.to = event.to.map(|to| to + by);
            }
            (1, _) => {
                event.from = event.from.saturating_sub(by);
                event.to = event.to.map(|to| to.saturating_sub(by).max(event.from));
            }
            (2, Op::Receive { deliveries, .. }) => deliveries[0].attempt += by as u32 % 2 + 1,
            (2, Op::ListParked { messages, .. }) => messages[0].attempts += 1,
            (3, Op::Settle { lease, .. }) => *lease = lease.saturating_sub(1).max(1),
            (_, Op::Settle { .. }) if event.outcome != Outcome::Info => {
                let refused = event.outcome == Outcome::Ok;
                event.outcome = if refused { Outcome::Fail } else { Outcome::Ok };
                event.error = refused.then(|| "lease-lost: superseded".to_owned());
            }
            _ => {
                self.events.remove(place);
            }
        }
    }
}

fn settle(lease: u64, how: How) -> Op {
    Op::Settle { topic: QUEUE.to_owned(), consumer: Consumer(1), message: MESSAGE, lease, how }
}
