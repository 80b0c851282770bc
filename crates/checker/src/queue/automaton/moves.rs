//! A message's life as the automaton's input.

use std::fmt;

use super::super::case::Case;
use super::super::life::{Act, Seen};
use super::state::State;
use crate::{How, Micros, Outcome};

/// A lease of the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) id: u64,
    pub(super) attempt: u32,
    /// How long it surely lasts; None when it may end at any time.
    pub(super) held: Option<Micros>,
    /// From when on it may have ended with its session.
    pub(super) closed_from: Option<Micros>,
}

/// What an operation asks of the automaton. Leases go by their place among the message's leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    Enqueue,
    Grant(u16),
    Ack(u16),
    Nack(u16),
    Release(u16),
    Reject(u16),
    /// The lease starts anew, and surely lasts so long.
    Extend(u16, Micros),
    /// The answer to any of these was that the lease is no longer the holder's.
    LeaseLost(u16),
    /// A settle under a lease that nobody was given succeeded.
    Forged,
    /// A listing of parked messages shows so many attempts.
    Look(u32),
    Redrive,
    Discard,
    Cancel,
    Purge,
}

/// An operation of the history.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub(super) seen: Seen,
    pub(super) what: What,
}

impl fmt::Display for Move {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {} ({:?})", self.seen.line, self.what)
    }
}

/// All operations of one message, and what the automaton has to know.
#[derive(Default)]
pub(super) struct Problem {
    pub(super) start: State,
    /// Those that happened, by their beginnings.
    pub(super) musts: Vec<Move>,
    /// Those that may have happened, or may yet.
    pub(super) mays: Vec<Move>,
    /// In the order in which they were granted.
    pub(super) leases: Vec<Lease>,
    pub(super) attempts_max: Option<u32>,
    /// In FIFO order a lease ends when an earlier message of the key comes back.
    pub(super) revocable: bool,
    /// From when on there may be leases that nobody heard of.
    pub(super) unheard_from: Option<Micros>,
}

impl Problem {
    /// Takes another message in hand.
    pub(super) fn set(&mut self, case: &Case<'_>) {
        self.musts.clear();
        self.mays.clear();
        self.leases.clear();
        self.attempts_max = case.queue.attempts_max;
        self.revocable = case.life.key().is_some();
        self.unheard_from = case.topic.unheard.first().map(|receive| receive.from);
        // What was refused or never sent, and came nevertheless, is another check's business.
        let sent = case.life.sent.as_ref().filter(|sent| sent.seen.may_have_happened());
        self.start = if sent.is_some() { State::Absent } else { State::READY };
        if let Some(sent) = sent {
            self.add(sent.seen, What::Enqueue);
        }
        self.grants(case);
        self.settles(case);
        for look in case.life.looks.iter().filter(|look| look.seen.is_ok()) {
            self.add(look.seen, What::Look(look.attempts));
        }
        for (act, seen) in &case.life.acts {
            let what = match act {
                Act::Redrive => What::Redrive,
                Act::Discard => What::Discard,
                Act::Cancel => What::Cancel,
            };
            self.add(*seen, what);
        }
        // Whether a purge met the message is another check's business.
        let since = sent.map_or(0, |sent| sent.seen.from);
        let purges = case.topic.purges.iter().filter(|seen| seen.to >= since);
        self.mays.extend(
            purges.map(|seen| Move { seen: Seen { outcome: Outcome::Info, ..*seen }, what: What::Purge }),
        );
        self.musts.sort_by_key(|it| it.seen.from);
    }

    fn add(&mut self, seen: Seen, what: What) {
        match seen.outcome {
            Outcome::Ok => self.musts.push(Move { seen, what }),
            Outcome::Info => self.mays.push(Move { seen, what }),
            Outcome::Fail => {}
        }
    }

    /// One lease that was seen twice is one grant: before it was first seen.
    fn grants(&mut self, case: &Case<'_>) {
        for grant in &case.life.grants {
            let seen = Seen { outcome: Outcome::Ok, ..grant.seen };
            if self.leases.last().is_some_and(|last| last.id == grant.lease) {
                let last = self.musts.last_mut().expect("a lease is a must");
                last.seen.from = last.seen.from.min(seen.from);
                last.seen.to = last.seen.to.min(seen.to);
                continue;
            }
            self.add(seen, What::Grant(self.leases.len() as u16));
            self.leases.push(Lease {
                id: grant.lease,
                attempt: grant.attempt,
                held: case.surely_held(grant),
                closed_from: case.closed_from(grant),
            });
        }
    }

    fn settles(&mut self, case: &Case<'_>) {
        for settle in &case.life.settles {
            let Ok(lease) = self.leases.binary_search_by_key(&settle.lease, |lease| lease.id) else {
                self.add(settle.seen, What::Forged);
                continue;
            };
            let held = self.leases[lease].held;
            let lease = lease as u16;
            let what = match settle.how {
                How::Ack => What::Ack(lease),
                How::Nack => What::Nack(lease),
                How::Release => What::Release(lease),
                How::Reject => What::Reject(lease),
                How::Extend(more) => What::Extend(lease, held.map_or(0, |_| case.options.surely(more))),
            };
            // A session that is about to end lets nobody extend, though its leases still run.
            let proof = settle.lease_lost && !matches!(settle.how, How::Extend(_));
            if settle.seen.outcome == Outcome::Fail && proof {
                self.add(Seen { outcome: Outcome::Ok, ..settle.seen }, What::LeaseLost(lease));
            }
            self.add(settle.seen, what);
        }
    }

    /// Everything that the history says.
    pub(super) fn seen(&self) -> impl Iterator<Item = &Seen> {
        self.musts.iter().chain(&self.mays).map(|it| &it.seen)
    }
}
