//! The automaton itself.

use std::fmt;

use super::moves::{Problem, What};
use crate::Micros;

/// Where a message stands. `fails` counts the deliveries that ended badly.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum State {
    /// Not sent yet.
    #[default]
    Absent,
    /// To be leased; `lapsed` is the lease that ran out last, whose holder may still come.
    Ready { fails: u32, lapsed: Option<u16> },
    /// Under the lease.
    Leased { fails: u32, lease: u16 },
    /// Set aside.
    Parked { fails: u32 },
    /// Acked, discarded, called off or purged.
    Gone,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(f, "not there"),
            Self::Ready { fails, .. } => write!(f, "ready after {fails} failed deliveries"),
            Self::Leased { fails, lease } => {
                write!(f, "under its lease {} after {fails} failed deliveries", lease + 1)
            }
            Self::Parked { fails } => write!(f, "parked after {fails} failed deliveries"),
            Self::Gone => write!(f, "gone"),
        }
    }
}

/// A state, reached at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    pub(super) state: State,
    /// The earliest moment at which it can have been reached.
    pub(super) now: Micros,
    /// Until when the lease surely runs; 0 without one.
    pub(super) until: Micros,
}

impl State {
    /// In the queue, never delivered.
    pub(super) const READY: Self = Self::Ready { fails: 0, lapsed: None };

    fn at(self, now: Micros) -> At {
        At { state: self, now, until: 0 }
    }
}

impl At {
    /// Every state that an operation may lead to; none when it cannot happen here.
    pub(super) fn after(self, what: What, problem: &Problem, mut reach: impl FnMut(Self)) {
        let now = self.now;
        match (what, self.state) {
            (What::Enqueue, State::Absent) | (What::Redrive, State::Parked { .. }) => {
                reach(State::READY.at(now));
            }
            (What::Grant(lease), State::Ready { fails, .. }) => {
                self.granted(lease, fails, problem).into_iter().for_each(reach);
            }
            (What::LeaseLost(lease), state) => {
                let holds = matches!(state, State::Leased { lease: current, .. } if current == lease);
                if !holds {
                    reach(self);
                }
            }
            (What::Look(attempts), State::Parked { fails }) => {
                let unheard = problem.unheard_from.is_some_and(|from| from <= now);
                if attempts == fails || (unheard && attempts > fails) {
                    reach(State::Parked { fails: attempts }.at(now));
                }
            }
            (What::Discard, State::Parked { .. }) | (What::Cancel, State::READY) => {
                reach(State::Gone.at(now));
            }
            (What::Purge, state) if state != State::Absent => reach(State::Gone.at(now)),
            (
                What::Ack(lease)
                | What::Nack(lease)
                | What::Release(lease)
                | What::Reject(lease)
                | What::Extend(lease, _),
                _,
            ) => {
                if let Some(fails) = self.held_under(lease) {
                    settle(what, fails, now, problem, reach);
                }
            }
            _ => {}
        }
    }

    /// The lease's number among the message's leases tells whether it is its turn: all before it were granted before.
    fn granted(self, lease: u16, fails: u32, problem: &Problem) -> Option<Self> {
        let granted = problem.leases[usize::from(lease)];
        let now = match granted.attempt.cmp(&(fails + 1)) {
            std::cmp::Ordering::Less => return None,
            std::cmp::Ordering::Equal => self.now,
            // Leases in between failed, of which nobody heard.
            std::cmp::Ordering::Greater => self.now.max(problem.unheard_from?),
        };
        if problem.attempts_max.is_some_and(|max| granted.attempt > max) {
            return None;
        }
        let state = State::Leased { fails: granted.attempt - 1, lease };
        Some(Self { state, now, until: now + granted.held.unwrap_or(0) })
    }

    /// A holder may settle as long as its lease runs, and after it ran out until there is another one: it is then
    /// as if it had not run out. Answers the failed deliveries before this one.
    fn held_under(self, lease: u16) -> Option<u32> {
        match self.state {
            State::Leased { fails, lease: current } if current == lease => Some(fails),
            State::Ready { fails, lapsed } if lapsed == Some(lease) => Some(fails.saturating_sub(1)),
            _ => None,
        }
    }

    /// Every state that it may go to by itself.
    pub(super) fn silently(self, problem: &Problem, mut reach: impl FnMut(Self)) {
        match self.state {
            State::Leased { fails, lease } => {
                failed(fails + 1, Some(lease), self.now.max(self.until), problem, &mut reach);
                let returned = State::Ready { fails, lapsed: None };
                if problem.revocable {
                    reach(returned.at(self.now));
                } else if let Some(closed) = problem.leases[usize::from(lease)].closed_from {
                    reach(returned.at(self.now.max(closed)));
                }
            }
            State::Ready { fails, lapsed } => {
                // Somebody else had it and gave it back unharmed.
                if lapsed.is_some() {
                    reach(State::Ready { fails, lapsed: None }.at(self.now));
                }
                // Deliveries that nobody heard of used its attempts up.
                if let Some(from) = problem.unheard_from {
                    let fails = problem.attempts_max.unwrap_or(0).max(fails + 1);
                    reach(State::Parked { fails }.at(self.now.max(from)));
                }
            }
            State::Absent | State::Parked { .. } | State::Gone => {}
        }
    }
}

/// What a settle under a lease that holds leads to, after `fails` failed deliveries before this one.
fn settle(what: What, fails: u32, now: Micros, problem: &Problem, mut reach: impl FnMut(At)) {
    match what {
        What::Ack(_) => reach(State::Gone.at(now)),
        What::Nack(_) => failed(fails + 1, None, now, problem, &mut reach),
        What::Release(_) => reach(State::Ready { fails, lapsed: None }.at(now)),
        What::Reject(_) => reach(State::Parked { fails: fails + 1 }.at(now)),
        What::Extend(lease, held) => {
            reach(At { state: State::Leased { fails, lease }, now, until: now + held });
        }
        _ => {}
    }
}

/// After a failed delivery the message is parked when that was the last allowed, else ready.
fn failed(fails: u32, lapsed: Option<u16>, now: Micros, problem: &Problem, reach: &mut impl FnMut(At)) {
    let (may_be_ready, may_be_parked) =
        problem.attempts_max.map_or((true, true), |max| (fails < max, fails >= max));
    if may_be_ready {
        reach(State::Ready { fails, lapsed }.at(now));
    }
    if may_be_parked {
        reach(State::Parked { fails }.at(now));
    }
}
