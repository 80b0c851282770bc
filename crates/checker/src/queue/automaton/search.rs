//! Looks for an order of a message's operations that the automaton takes.

use std::collections::BTreeMap;

use super::moves::{Move, Problem, What};
use super::state::{At, State};
use crate::{Micros, Outcome};

/// Operations that may lie ahead of the first that is not placed: the bits of a word.
const AHEAD_MAX: usize = u64::BITS as usize;

/// Which operations are placed, and the state after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Placed {
    /// All musts before this one are.
    first: usize,
    /// Of those after it, bit by bit.
    ahead: u64,
    /// Of the mays, bit by bit.
    mays: u64,
    /// Leases granted so far: it is the turn of the one with this number.
    granted: u16,
    state: State,
}

/// The ways into one [`Placed`] that no other beats.
struct Ways {
    best: (Micros, Micros),
    others: Vec<(Micros, Micros)>,
}

/// What a search comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// There is an order.
    Explained,
    /// There is none. The furthest that one comes: so many operations, this state, and the musts that were next.
    Unexplained { placed: usize, state: State, stuck: Vec<usize> },
    /// There are too many to try.
    Undecided,
}

/// A search, with its memory.
pub(super) struct Search {
    states_max: usize,
    visited: BTreeMap<Placed, Ways>,
    open: Vec<(Placed, At)>,
    states: usize,
    overflow: bool,
    furthest: (usize, Placed),
}

impl Search {
    pub(super) fn new(states_max: usize) -> Self {
        let nothing = Placed { first: 0, ahead: 0, mays: 0, granted: 0, state: State::Absent };
        Self {
            states_max,
            visited: BTreeMap::new(),
            open: Vec::new(),
            states: 0,
            overflow: false,
            furthest: (0, nothing),
        }
    }

    pub(super) fn run(&mut self, problem: &Problem) -> Answer {
        if problem.mays.len() > AHEAD_MAX || problem.leases.len() > usize::from(u16::MAX) {
            return Answer::Undecided;
        }
        self.visited.clear();
        self.open.clear();
        (self.states, self.overflow) = (0, false);
        let start = Placed { first: 0, ahead: 0, mays: 0, granted: 0, state: problem.start };
        self.furthest = (0, start);
        self.visit(start, At { state: problem.start, now: 0, until: 0 });
        while let Some((placed, at)) = self.open.pop() {
            if placed.first == problem.musts.len() {
                return Answer::Explained;
            }
            if self.states > self.states_max {
                return Answer::Undecided;
            }
            self.expand(problem, placed, at);
        }
        if self.overflow {
            return Answer::Undecided;
        }
        let (placed, furthest) = self.furthest;
        let (stuck, _) = next(problem, &furthest);
        Answer::Unexplained { placed, state: furthest.state, stuck }
    }

    /// What is tried first is pushed last: operations that happened, by their beginnings.
    fn expand(&mut self, problem: &Problem, placed: Placed, at: At) {
        let (musts, deadline) = next(problem, &placed);
        at.silently(problem, |then| {
            if then.now <= deadline {
                self.visit(Placed { state: then.state, ..placed }, then);
            }
        });
        for (place, may) in problem.mays.iter().enumerate() {
            if placed.mays & (1 << place) == 0 && may.seen.from <= deadline {
                let mays = placed.mays | 1 << place;
                self.put(problem, (Placed { mays, ..placed }, at), may, deadline);
            }
        }
        for place in musts.into_iter().rev() {
            let must = &problem.musts[place];
            let granted = match must.what {
                What::Grant(lease) if lease == placed.granted => placed.granted + 1,
                What::Grant(_) => continue,
                _ => placed.granted,
            };
            if place - placed.first >= AHEAD_MAX {
                self.overflow = true;
                continue;
            }
            self.put(problem, (Placed { granted, ..placed.with(place) }, at), must, deadline);
        }
    }

    /// Lets one operation happen, at the earliest moment.
    fn put(&mut self, problem: &Problem, (placed, at): (Placed, At), operation: &Move, deadline: Micros) {
        let seen = &operation.seen;
        let at = At { now: at.now.max(seen.from), ..at };
        at.after(operation.what, problem, |then| {
            // What nobody knows of and changes nothing need not have happened.
            let idle = seen.outcome == Outcome::Info && then.state == at.state && then.until >= at.until;
            if !idle && then.now <= seen.to.min(deadline) {
                self.visit(Placed { state: then.state, ..placed }, then);
            }
        });
    }

    /// Remembers a way and goes on from there, unless another one allows all that it does.
    fn visit(&mut self, placed: Placed, at: At) {
        let way = (at.now, at.until);
        let beats = |other: &(Micros, Micros)| other.0 <= way.0 && other.1 <= way.1;
        match self.visited.get_mut(&placed) {
            Some(ways) if beats(&ways.best) || ways.others.iter().any(beats) => return,
            Some(ways) => ways.others.push(way),
            None => {
                self.visited.insert(placed, Ways { best: way, others: Vec::new() });
            }
        }
        self.states += 1;
        let count = placed.first + placed.ahead.count_ones() as usize;
        if count > self.furthest.0 {
            self.furthest = (count, placed);
        }
        self.open.push((placed, at));
    }
}

impl Placed {
    fn with(self, place: usize) -> Self {
        let mut ahead = self.ahead | 1 << (place - self.first);
        let done = ahead.trailing_ones();
        ahead = ahead.checked_shr(done).unwrap_or(0);
        Self { first: self.first + done as usize, ahead, ..self }
    }

    fn has(&self, place: usize) -> bool {
        let ahead = place - self.first;
        ahead < AHEAD_MAX && self.ahead & (1 << ahead) != 0
    }
}

/// The musts that may come next, and the moment by which the next of all must have happened.
fn next(problem: &Problem, placed: &Placed) -> (Vec<usize>, Micros) {
    let mut deadline = Micros::MAX;
    let mut musts = Vec::new();
    for (place, must) in problem.musts.iter().enumerate().skip(placed.first) {
        // By beginnings: nothing that follows can come before this one either.
        if must.seen.from > deadline {
            break;
        }
        if !placed.has(place) {
            deadline = deadline.min(must.seen.to);
            musts.push(place);
        }
    }
    musts.retain(|place| problem.musts[*place].seen.from <= deadline);
    (musts, deadline)
}
