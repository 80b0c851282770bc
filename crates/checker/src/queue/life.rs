//! Everything that a history says of one message.

use crate::{Consumer, Event, How, MessageId, Micros, Outcome, Terms, Value};

/// When something was seen, and how it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    /// Line of the history.
    pub(super) line: u64,
    /// Before it was asked.
    pub(super) from: Micros,
    /// After it was surely over; the end of time if it never is.
    pub(super) to: Micros,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl Seen {
    pub(super) fn of(line: u64, event: &Event) -> Self {
        Self { line, from: event.from, to: event.end(), outcome: event.outcome }
    }

    /// Whether it was over before the other began.
    pub(super) fn precedes(&self, other: &Self) -> bool {
        self.to < other.from
    }

    pub(super) fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// It happened, or nobody knows.
    pub(super) fn may_have_happened(&self) -> bool {
        self.outcome != Outcome::Fail
    }

    /// One thing that was asked for twice: it happened if either did, and not before the first that may have.
    pub(super) fn or(self, again: Self) -> Self {
        let rank = |seen: &Self| match seen.outcome {
            Outcome::Ok => 2,
            Outcome::Info => 1,
            Outcome::Fail => 0,
        };
        let better = if rank(&again) > rank(&self) { again } else { self };
        let may = [self, again].into_iter().filter(Self::may_have_happened).map(|seen| seen.from);
        Self { from: may.min().unwrap_or(better.from), ..better }
    }

    /// Several steps under one name: when it failed, some of them may have happened before.
    pub(super) fn in_steps(self) -> Self {
        match self.outcome {
            Outcome::Fail => Self { outcome: Outcome::Info, ..self },
            Outcome::Ok | Outcome::Info => self,
        }
    }

    /// When it was known at the latest: what is written of it in a report.
    pub(super) fn known(&self) -> Micros {
        if self.to == Micros::MAX { self.from } else { self.to }
    }
}

/// How the message came into the queue.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    pub(super) seen: Seen,
    pub(super) value: Value,
    /// None when the producer made no conditions.
    pub(super) terms: Option<Box<Terms>>,
}

/// A lease that a consumer was told of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Grant {
    pub(super) seen: Seen,
    pub(super) consumer: Consumer,
    pub(super) value: Option<Value>,
    pub(super) lease: u64,
    pub(super) attempt: u32,
    pub(super) held: Option<Micros>,
}

/// What a holder did with its lease, or tried to.
#[derive(Clone, Debug)]
pub(super) struct Settle {
    pub(super) seen: Seen,
    pub(super) lease: u64,
    pub(super) how: How,
    /// The answer was that the lease is no longer the holder's.
    pub(super) lease_lost: bool,
    /// The record that goes with an ack in one step: stream and payload.
    pub(super) appended: Option<Box<(String, Value)>>,
}

/// A listing of parked messages that shows the message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) seen: Seen,
    pub(super) value: Option<Value>,
    pub(super) attempts: u32,
    /// How often the one listing shows it.
    pub(super) times: u32,
}

/// What is done to a message that nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// A parked one is made ready again.
    Redrive,
    /// A parked one is dropped.
    Discard,
    /// A scheduled one is called off.
    Cancel,
}

/// The life of one message.
#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    pub(super) sent: Option<Sent>,
    /// By lease, once the history is over.
    pub(super) grants: Vec<Grant>,
    pub(super) settles: Vec<Settle>,
    pub(super) looks: Vec<Look>,
    pub(super) acts: Vec<(Act, Seen)>,
}

impl Life {
    /// Its producer's conditions.
    pub(super) fn terms(&self) -> Option<&Terms> {
        self.sent.as_ref().and_then(|sent| sent.terms.as_deref())
    }

    /// Its FIFO key.
    pub(super) fn key(&self) -> Option<&str> {
        self.terms().and_then(|terms| terms.key.as_deref())
    }

    /// Acks that were acknowledged.
    pub(super) fn acked(&self) -> impl Iterator<Item = &Settle> {
        self.settles.iter().filter(|settle| settle.how == How::Ack && settle.seen.is_ok())
    }

    /// Whether an administrator may have done so after `first` began and before `last` was over.
    pub(super) fn may_have(&self, act: Act, first: &Seen, last: &Seen) -> bool {
        self.acts.iter().any(|(other, seen)| {
            *other == act && seen.may_have_happened() && seen.to >= first.from && seen.from <= last.to
        })
    }
}

/// Pairs of grants: each that began after others were over, with the one among those that has the highest lease.
pub(super) fn successions<'a, T: Copy>(granted: &[(T, &'a Grant)]) -> Vec<[(T, &'a Grant); 2]> {
    if granted.len() < 2 {
        return Vec::new();
    }
    let mut ended = granted.to_vec();
    ended.sort_by_key(|(_, grant)| grant.seen.to);
    let mut begun = granted.to_vec();
    begun.sort_by_key(|(_, grant)| grant.seen.from);
    let (mut pairs, mut over, mut highest) = (Vec::new(), ended.into_iter().peekable(), None::<(T, &Grant)>);
    for next in begun {
        while let Some(before) = over.next_if(|(_, grant)| grant.seen.precedes(&next.1.seen)) {
            highest = Some(highest.filter(|high| high.1.lease >= before.1.lease).unwrap_or(before));
        }
        pairs.extend(highest.map(|before| [before, next]));
    }
    pairs
}

/// Names a message in a report.
pub(super) fn named(id: MessageId, sent: Option<&Sent>) -> String {
    match sent {
        Some(sent) => format!("{id} ({})", sent.value),
        None => id.to_string(),
    }
}
