//! Answers to remembered requests, so that a retry changes nothing and gets the same answer.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::limits::{DEDUP_WINDOW_MS, REQUESTS_REMEMBERED_MAX};
use weir_types::{LeaseClock, LeaseId, MessageId, RequestId, RowChange};

use crate::output::Settled;
use crate::table::Table;

/// A request that was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedRequest {
    pub(crate) answer: Answer,
    pub(crate) until: LeaseClock,
}

/// What an answer is rebuilt from. Consumers lease neighbours and settle alike, so both are kept as runs: a
/// large answer is a small row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// Granted messages, in order; the leases count up from the first.
    Leased { first: LeaseId, messages: Vec<MessageRun> },
    /// Outcomes of a settle, in order.
    Settled { outcomes: Vec<OutcomeRun> },
}

/// Messages with consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct MessageRun {
    first: MessageId,
    count: u32,
}

/// Equal outcomes one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutcomeRun {
    outcome: Settled,
    count: u32,
}

impl Answer {
    pub(crate) fn leased(first: LeaseId, ids: impl Iterator<Item = MessageId>) -> Self {
        let mut messages: Vec<MessageRun> = Vec::new();
        for id in ids {
            match messages.last_mut() {
                Some(run) if run.first.0 + u64::from(run.count) == id.0 => run.count += 1,
                _ => messages.push(MessageRun { first: id, count: 1 }),
            }
        }
        Self::Leased { first, messages }
    }

    pub(crate) fn settled(all: &[Settled]) -> Self {
        let mut outcomes: Vec<OutcomeRun> = Vec::new();
        for outcome in all {
            match outcomes.last_mut() {
                Some(run) if run.outcome == *outcome => run.count += 1,
                _ => outcomes.push(OutcomeRun { outcome: *outcome, count: 1 }),
            }
        }
        Self::Settled { outcomes }
    }
}

impl MessageRun {
    pub(crate) fn ids(self) -> impl Iterator<Item = MessageId> {
        (self.first.0..).map(MessageId).take(self.count as usize)
    }
}

impl OutcomeRun {
    pub(crate) fn outcomes(self) -> impl Iterator<Item = Settled> {
        std::iter::repeat_n(self.outcome, self.count as usize)
    }
}

/// The answers of the last five minutes of the lease clock, the oldest dropped when there are too many.
/// Forgetting needs no tick, as with dedup ids.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Requests {
    rows: Table<RememberedRequest>,
    by_age: BTreeSet<(LeaseClock, RequestId)>,
}

impl Requests {
    pub(crate) fn restored(rows: Table<RememberedRequest>) -> Self {
        let by_age = rows.iter().map(|(id, remembered)| (remembered.until, id)).collect();
        Self { rows, by_age }
    }

    pub(crate) fn find(&self, now: LeaseClock, id: RequestId) -> Option<&Answer> {
        self.rows.get(id).filter(|remembered| now < remembered.until).map(|remembered| &remembered.answer)
    }

    pub(crate) fn remember(&mut self, now: LeaseClock, id: RequestId, answer: Answer) {
        self.forget(id);
        if self.rows.len() == REQUESTS_REMEMBERED_MAX {
            let (_, oldest) = *self.by_age.first().expect("every remembered request has an age");
            self.forget(oldest);
        }
        let until = now + DEDUP_WINDOW_MS;
        self.rows.put(id, RememberedRequest { answer, until });
        self.by_age.insert((until, id));
    }

    /// Drops at most `max` answers that are past their window.
    pub(crate) fn forget_old(&mut self, now: LeaseClock, max: usize) {
        for _ in 0..max {
            match self.by_age.first() {
                Some((until, id)) if *until <= now => self.forget(*id),
                _ => break,
            }
        }
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert_eq!(*self, Self::restored(self.rows.clone()), "ages of requests do not follow from the rows");
        assert!(self.rows.len() <= REQUESTS_REMEMBERED_MAX, "{} requests", self.rows.len());
        assert!(self.rows.is_flushed(), "request rows left to write");
    }

    fn forget(&mut self, id: RequestId) {
        if let Some(old) = self.rows.remove(id) {
            self.by_age.remove(&(old.until, id));
        }
    }
}
