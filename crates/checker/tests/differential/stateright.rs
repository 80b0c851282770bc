//! A queue of one message as stateright's testers want it. What the message may do by itself makes several states
//! possible at a time, so the reference object is the set of them.

use std::collections::BTreeSet;

use stateright::semantics::{ConsistencyTester as _, LinearizabilityTester, SequentialSpec};
use weir_checker::{Event, How, Op, Outcome};

use crate::generate::Generated;

/// Where the message may be: failed deliveries, and whose lease runs or ran out last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Where {
    Nowhere,
    Waiting { failed: u32, late: Option<u64> },
    With { failed: u32, lease: u64 },
    Aside { failed: u32 },
    Over,
}

#[derive(Clone, Debug)]
struct Reference {
    attempts_max: Option<u32>,
    last_lease: u64,
    possible: BTreeSet<Where>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Send,
    Receive { lease: u64, attempt: u32 },
    Settle { lease: u64, how: How },
    List { attempts: u32 },
    Redrive,
    Discard,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Done,
    Refused,
}

impl Reference {
    /// Whatever each possible place leads to without anybody asking.
    fn settle_down(&mut self) {
        let mut open: Vec<Where> = self.possible.iter().copied().collect();
        while let Some(one) = open.pop() {
            let next = match one {
                Where::With { failed, lease } => self.after_failure(failed + 1, Some(lease)),
                Where::Waiting { failed, late: Some(_) } => vec![Where::Waiting { failed, late: None }],
                _ => Vec::new(),
            };
            open.extend(next.into_iter().filter(|next| self.possible.insert(*next)));
        }
    }

    fn after_failure(&self, failed: u32, late: Option<u64>) -> Vec<Where> {
        match self.attempts_max {
            Some(max) if failed >= max => vec![Where::Aside { failed }],
            Some(_) => vec![Where::Waiting { failed, late }],
            None => vec![Where::Waiting { failed, late }, Where::Aside { failed }],
        }
    }

    fn step(&self, place: Where, ask: Ask, answer: Answer) -> Vec<Where> {
        match (ask, place) {
            (Ask::Send, Where::Nowhere) | (Ask::Redrive, Where::Aside { .. }) => {
                vec![Where::Waiting { failed: 0, late: None }]
            }
            (Ask::Receive { lease, attempt }, Where::Waiting { failed, .. }) => {
                let turn = lease > self.last_lease
                    && attempt == failed + 1
                    && self.attempts_max.is_none_or(|max| attempt <= max);
                turn.then_some(Where::With { failed, lease }).into_iter().collect()
            }
            (Ask::List { attempts }, Where::Aside { failed }) if attempts == failed => vec![place],
            (Ask::Discard, Where::Aside { .. }) => vec![Where::Over],
            (Ask::Settle { lease, how }, _) => self.settle(place, lease, how, answer),
            _ => Vec::new(),
        }
    }

    fn settle(&self, place: Where, lease: u64, how: How, answer: Answer) -> Vec<Where> {
        let failed = match place {
            Where::With { failed, lease: current } if current == lease => Some(failed),
            Where::Waiting { failed, late: Some(late) } if late == lease => Some(failed - 1),
            _ => None,
        };
        let runs = matches!(place, Where::With { lease: current, .. } if current == lease);
        match (answer, failed) {
            // To be told so by an extension proves nothing.
            (Answer::Refused, _) if matches!(how, How::Extend(_)) => vec![place],
            (Answer::Refused, _) if !runs => vec![place],
            (Answer::Refused, _) | (Answer::Done, None) => Vec::new(),
            (Answer::Done, Some(failed)) => match how {
                How::Ack => vec![Where::Over],
                How::Nack => self.after_failure(failed + 1, None),
                How::Release => vec![Where::Waiting { failed, late: None }],
                How::Reject => vec![Where::Aside { failed: failed + 1 }],
                How::Extend(_) => vec![Where::With { failed, lease }],
            },
        }
    }
}

impl SequentialSpec for Reference {
    type Op = Ask;
    type Ret = Answer;

    /// For what has no answer yet: it may still change nothing, which is tried as well, by leaving it out.
    fn invoke(&mut self, ask: &Ask) -> Answer {
        let mut changed = self.clone();
        if changed.is_valid_step(ask, &Answer::Done) {
            *self = changed;
        }
        Answer::Done
    }

    fn is_valid_step(&mut self, ask: &Ask, answer: &Answer) -> bool {
        self.settle_down();
        let next = self.possible.iter().flat_map(|place| self.step(*place, *ask, *answer));
        self.possible = next.collect();
        if let Ask::Receive { lease, .. } = ask {
            self.last_lease = self.last_lease.max(*lease);
        }
        !self.possible.is_empty()
    }
}

pub(crate) fn explains(generated: &Generated) -> bool {
    let sent = generated.events.iter().any(|event| matches!(event.op, Op::Enqueue { .. }));
    let start = if sent { Where::Nowhere } else { Where::Waiting { failed: 0, late: None } };
    let possible = BTreeSet::from([start]);
    let reference = Reference { attempts_max: generated.attempts_max, last_lease: 0, possible };
    let mut tester = LinearizabilityTester::new(reference);
    // Beginnings before ends of the same moment: such operations overlap.
    let begun = generated.events.iter().map(|event| (event.from, false, event));
    let ended = generated.events.iter().filter_map(|event| Some((event.to?, true, event)));
    let mut moments: Vec<(u64, bool, &Event)> = begun.chain(ended).collect();
    moments.sort_by_key(|(at, end, event)| (*at, *end, event.process));
    for (_, end, event) in moments {
        let told = if end {
            let answer = if event.outcome == Outcome::Ok { Answer::Done } else { Answer::Refused };
            tester.on_return(event.process, answer)
        } else {
            tester.on_invoke(event.process, ask(&event.op))
        };
        told.expect("each process asks one thing");
    }
    tester.is_consistent()
}

fn ask(op: &Op) -> Ask {
    match op {
        Op::Enqueue { .. } => Ask::Send,
        Op::Receive { deliveries, .. } => {
            Ask::Receive { lease: deliveries[0].lease, attempt: deliveries[0].attempt }
        }
        Op::Settle { lease, how, .. } => Ask::Settle { lease: *lease, how: *how },
        Op::ListParked { messages, .. } => Ask::List { attempts: messages[0].attempts },
        Op::Redrive { .. } => Ask::Redrive,
        Op::Discard { .. } => Ask::Discard,
        other => panic!("no history has {other:?}"),
    }
}
