//! Q0, promises P1 to P3, P6 and P7: the whole life of a message, as an automaton.
//!
//! ```text
//!   Absent ─ enqueue ─► Ready{fails} ─ grant(lease, attempt = fails + 1) ─► Leased{fails, lease}
//!                        ▲   ▲  ▲                                            │   │  │  │
//!                        │   │  └───── expire: fails + 1, lease may come late┘   │  │  └─ ack ─► Gone
//!                        │   └──────── nack: fails + 1; release, close: fails ───┘  │
//!                        └─ redrive: fails = 0 ─ Parked{fails} ◄─ reject; or fails = attempts_max
//! ```
//!
//! Every operation of the history takes effect at one moment between its two times; one whose outcome is unknown takes
//! effect at some moment, or never. *Expire*, the end of a session and leases that nobody heard of are silent: no line
//! stands for them. The life is legal when some order of its operations is one that the automaton takes. Messages do
//! not share states, so a queue's history is linearizable exactly when each message's is (receives that bring nothing,
//! order and priority apart).
//!
//! `search.rs` looks for such an order (Wing and Gong; memory of visited states after Lowe). Of two ways into the same
//! state the one with the earlier moment and the earlier end of lease allows whatever the other does, so only the
//! ways that no other beats are followed; and each operation is put at the earliest moment that it can have.

mod moves;
mod search;
mod state;

use super::case::Case;
use super::life::Seen;
use crate::Findings;
use moves::Problem;
use search::{Answer, Search};

/// The check's name in a report.
pub(super) const NAME: &str = "Q0 linearizable-life";

/// Judges one message after the other.
pub(super) struct Judge {
    problem: Problem,
    search: Search,
    messages: u64,
    undecided: u64,
    found: Findings,
}

impl Judge {
    /// A search gives up on a message after `states_max` states.
    pub(super) fn new(states_max: usize) -> Self {
        let (problem, search) = (Problem::default(), Search::new(states_max));
        Self { problem, search, messages: 0, undecided: 0, found: Findings::default() }
    }

    pub(super) fn judge(&mut self, case: &Case<'_>) {
        self.messages += 1;
        self.problem.set(case);
        match self.search.run(&self.problem) {
            Answer::Explained => {}
            Answer::Undecided => self.undecided += 1,
            Answer::Unexplained { placed, state, stuck } => {
                let of = self.problem.musts.len();
                let stuck: Vec<String> =
                    stuck.iter().map(|place| self.problem.musts[*place].to_string()).collect();
                let text = format!(
                    "no order explains its {of} operations: after {placed} of them at best it is {state}, and {} cannot follow",
                    stuck.join(" or ")
                );
                let evidence: Vec<&Seen> = self.problem.seen().collect();
                case.violates(&mut self.found, ("Q0", "unexplained-life"), text, &evidence);
            }
        }
    }

    pub(super) fn finish(mut self) -> Findings {
        if self.undecided > 0 {
            let (undecided, of) = (self.undecided, self.messages);
            self.found
                .unknown
                .push(format!("{undecided} of {of} messages have too many possible orders to search"));
        }
        self.found
    }
}
