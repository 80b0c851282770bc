//! The queue: two partitions, whose messages change at single moments.

use std::collections::BTreeMap;

use weir_checker::{How, MessageId, Micros, Terms, Value};

/// Deliveries until a message is parked.
pub(crate) const ATTEMPTS_MAX: u32 = 3;
pub(crate) const PARTITIONS: u32 = 2;

/// Something that the queue does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Defect {
    LosesSends,
    StoresRetriesAgain,
    StoresRefused,
    ForgetsAcks,
    LeasesTwice,
    TakesLateSettles,
    CountsLeasesAnew,
    CountsAttemptsAnew,
    CountsTwice,
    NeverParks,
    DropsInsteadOfParking,
    ParksAtOnce,
    LeasesParked,
    IgnoresKeys,
    IgnoresDelays,
    IgnoresClasses,
    IgnoresTtl,
    ExpiresEarly,
    SurvivesPurges,
    SurvivesDiscards,
    RefusesHolders,
    SwapsPayloads,
}

impl Defect {
    /// All, with the anomaly that must show.
    pub(crate) const ALL: &[(Self, &str)] = &[
        (Self::LosesSends, "lost-message"),
        (Self::StoresRetriesAgain, "duplicate-enqueue"),
        (Self::StoresRefused, "dirty-delivery"),
        (Self::ForgetsAcks, "redelivery-after-ack"),
        (Self::LeasesTwice, "lease-double-grant"),
        (Self::TakesLateSettles, "zombie-settle"),
        (Self::CountsLeasesAnew, "lease-token-regress"),
        (Self::CountsAttemptsAnew, "attempt-regress"),
        (Self::CountsTwice, "attempt-skip"),
        (Self::NeverParks, "attempts-exceeded"),
        (Self::DropsInsteadOfParking, "parked-lost-move"),
        (Self::ParksAtOnce, "parked-early-move"),
        (Self::LeasesParked, "parked-duplicate-move"),
        (Self::IgnoresKeys, "fifo-overtaken"),
        (Self::IgnoresDelays, "early-delivery"),
        (Self::IgnoresClasses, "priority-inversion"),
        (Self::IgnoresTtl, "delivered-expired"),
        (Self::ExpiresEarly, "expired-early"),
        (Self::SurvivesPurges, "delivered-after-purge"),
        (Self::SurvivesDiscards, "delivered-after-discard"),
        (Self::RefusesHolders, "unexplained-life"),
        (Self::SwapsPayloads, "wrong-payload"),
    ];
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready { lapsed: Option<u64> },
    Leased { lease: u64, until: Micros, consumer: u32 },
    Parked,
}

#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) value: Value,
    pub(crate) terms: Terms,
    pub(crate) fails: u32,
    pub(crate) state: State,
}

/// A lease, as its holder is told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Granted {
    pub(crate) id: MessageId,
    pub(crate) value: Value,
    pub(crate) lease: u64,
    pub(crate) attempt: u32,
}

/// A lease in a client's hands since a moment.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    pub(crate) id: MessageId,
    pub(crate) lease: u64,
    pub(crate) consumer: u32,
    pub(crate) since: Micros,
}

#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) defect: Option<Defect>,
    pub(crate) messages: BTreeMap<MessageId, Message>,
    pub(crate) ids: [u64; PARTITIONS as usize],
    pub(crate) leases: [u64; PARTITIONS as usize],
}

impl Queue {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }

    pub(crate) fn enqueue(&mut self, partition: u32, value: Value, terms: Terms) -> MessageId {
        let id = &mut self.ids[partition as usize];
        *id += 1;
        let id = MessageId { partition, id: *id };
        let lost = self.has(Defect::LosesSends) && id.id.is_multiple_of(7);
        if !lost {
            let state = State::Ready { lapsed: None };
            self.messages.insert(id, Message { value, terms, fails: 0, state });
        }
        id
    }

    /// Leases that are over end, and messages whose time is over go.
    pub(crate) fn time_is(&mut self, now: Micros) {
        let over: Vec<MessageId> = self
            .messages
            .iter()
            .filter_map(|(id, message)| match message.state {
                State::Leased { until, .. } if until <= now => Some(*id),
                _ => None,
            })
            .collect();
        for id in over {
            let State::Leased { lease, .. } = self.messages[&id].state else { continue };
            self.failed(id, Some(lease));
        }
        let early = if self.has(Defect::ExpiresEarly) { 60_000_000 } else { 0 };
        let keeps = self.has(Defect::IgnoresTtl);
        self.messages.retain(|_, message| {
            let expired = message.terms.expires.is_some_and(|at| at.saturating_sub(early) <= now);
            !expired || keeps || !matches!(message.state, State::Ready { .. })
        });
    }

    fn failed(&mut self, id: MessageId, lapsed: Option<u64>) {
        let (never, drops) = (self.has(Defect::NeverParks), self.has(Defect::DropsInsteadOfParking));
        let (at_once, anew) = (self.has(Defect::ParksAtOnce), self.has(Defect::CountsAttemptsAnew));
        let twice = self.has(Defect::CountsTwice);
        let Some(message) = self.messages.get_mut(&id) else { return };
        message.fails += if twice { 2 } else { 1 };
        let parks = (message.fails >= ATTEMPTS_MAX && !never) || at_once;
        if parks && drops {
            self.messages.remove(&id);
            return;
        }
        if anew && message.fails == 2 {
            message.fails = 0;
        }
        message.state = if parks { State::Parked } else { State::Ready { lapsed } };
    }

    /// The first that may go: by class, then by arrival; of a key only the first.
    fn next(&self, partition: u32, now: Micros) -> Option<MessageId> {
        let of_partition = || self.messages.iter().filter(|(id, _)| id.partition == partition);
        let may_go = |id: &MessageId, message: &Message| {
            let free = match message.state {
                State::Ready { .. } => true,
                State::Leased { .. } => self.has(Defect::LeasesTwice) && id.id.is_multiple_of(5),
                State::Parked => self.has(Defect::LeasesParked),
            };
            let due =
                message.terms.not_before.is_none_or(|due| due <= now) || self.has(Defect::IgnoresDelays);
            let head = message.terms.key.is_none() || self.has(Defect::IgnoresKeys) || {
                let before = of_partition().take_while(|(other, _)| *other != id);
                before
                    .filter(|(_, it)| it.state != State::Parked)
                    .all(|(_, it)| it.terms.key != message.terms.key)
            };
            free && due && head
        };
        let class = |message: &Message| {
            if self.has(Defect::IgnoresClasses) { 0 } else { message.terms.priority.unwrap_or(0) }
        };
        let ready = of_partition().filter(|(id, message)| may_go(id, message));
        ready.min_by_key(|(id, message)| (u8::MAX - class(message), **id)).map(|(id, _)| *id)
    }

    pub(crate) fn receive(
        &mut self,
        partition: u32,
        max: u64,
        consumer: u32,
        (now, held): (Micros, Micros),
    ) -> Vec<Granted> {
        let mut granted = Vec::new();
        for _ in 0..max {
            let Some(id) = self.next(partition, now) else { break };
            let restarts = self.has(Defect::CountsLeasesAnew) && self.leases[partition as usize] > 40;
            let swaps = self.has(Defect::SwapsPayloads);
            let lease = &mut self.leases[partition as usize];
            *lease = if restarts { 1 } else { *lease + 1 };
            let lease = *lease;
            let Some(message) = self.messages.get_mut(&id) else { break };
            message.state = State::Leased { lease, until: now + held, consumer };
            let (mut value, attempt) = (message.value, message.fails + 1);
            if swaps && id.id.is_multiple_of(6) {
                value.sequence = value.sequence.saturating_sub(1);
            }
            granted.push(Granted { id, value, lease, attempt });
        }
        granted
    }

    /// Whether it succeeded.
    pub(crate) fn settle(&mut self, held: Held, how: How, now: Micros) -> bool {
        let Held { id, lease, consumer, .. } = held;
        let (late, refuses) = (self.has(Defect::TakesLateSettles), self.has(Defect::RefusesHolders));
        let forgets = self.has(Defect::ForgetsAcks) && id.id.is_multiple_of(5);
        let Some(message) = self.messages.get_mut(&id) else { return false };
        match message.state {
            State::Leased { lease: current, .. }
                if current == lease && !(refuses && lease.is_multiple_of(9)) => {}
            State::Leased { .. } if late => {}
            State::Ready { lapsed } if lapsed == Some(lease) => {
                message.fails = message.fails.saturating_sub(1);
            }
            _ => return false,
        }
        match how {
            How::Ack if forgets => message.state = State::Ready { lapsed: None },
            How::Ack => {
                self.messages.remove(&id);
            }
            How::Nack => self.failed(id, None),
            How::Release => message.state = State::Ready { lapsed: None },
            How::Reject => {
                message.fails += 1;
                message.state = State::Parked;
            }
            How::Extend(more) => {
                message.state = State::Leased { lease, until: now + more, consumer };
            }
        }
        true
    }

    pub(crate) fn close(&mut self, who: u32) {
        for message in self.messages.values_mut() {
            if matches!(message.state, State::Leased { consumer, .. } if consumer == who) {
                message.state = State::Ready { lapsed: None };
            }
        }
    }

    pub(crate) fn parked(&self) -> Vec<MessageId> {
        let parked = self.messages.iter().filter(|(_, message)| message.state == State::Parked);
        parked.map(|(id, _)| *id).collect()
    }

    pub(crate) fn redrive(&mut self, id: MessageId) {
        if let Some(message) = self.messages.get_mut(&id) {
            message.fails = 0;
            message.terms.expires = None;
            message.state = State::Ready { lapsed: None };
        }
    }

    pub(crate) fn discard(&mut self, id: MessageId) {
        if self.has(Defect::SurvivesDiscards) {
            self.redrive(id);
        } else {
            self.messages.remove(&id);
        }
    }

    pub(crate) fn purge(&mut self) {
        let survives = self.has(Defect::SurvivesPurges);
        self.messages.retain(|id, _| survives && id.id.is_multiple_of(2));
    }
}
