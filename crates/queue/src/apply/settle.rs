//! Consumers say what became of their messages.

use weir_types::mutants::{self, Mutant};
use weir_types::{At, LeaseId, MessageId, RequestId};

use super::{ack::ack, extend::extend, nack::nack, reject::reject, release::release};
use crate::command::{Action, Settle, SettleItem};
use crate::limits::SETTLE_ITEMS_MAX;
use crate::message::{Grant, Message, State};
use crate::output::{Rejection, Reply, Settled};
use crate::queue::{Header, Queue, Rules};
use crate::requests::Answer;

impl Queue {
    pub(crate) fn settle(&mut self, at: At, settle: Settle) -> Result<Reply, Rejection> {
        if let Some(answered) = self.answered_settle(at, settle.request)? {
            return Ok(answered);
        }
        if settle.items.len() > SETTLE_ITEMS_MAX {
            return Err(Rejection::Invalid("a settle holds at most 65,536 items"));
        }
        let outcomes: Vec<Settled> =
            settle.items.into_iter().map(|item| self.settle_item(at, item)).collect();
        if let Some(request) = settle.request {
            self.requests.remember(at.lease_clock, request, Answer::settled(&outcomes));
        }
        Ok(Reply::Settled { outcomes })
    }

    /// The answer that a retried request has got already.
    pub(super) fn answered_settle(
        &self,
        at: At,
        request: Option<RequestId>,
    ) -> Result<Option<Reply>, Rejection> {
        match request.and_then(|request| self.requests.find(at.lease_clock, request)) {
            Some(Answer::Settled { outcomes }) => {
                let outcomes = outcomes.iter().flat_map(|run| run.outcomes()).collect();
                Ok(Some(Reply::Settled { outcomes }))
            }
            Some(Answer::Leased { .. }) => Err(Rejection::Invalid("the request id belongs to a lease")),
            None => Ok(None),
        }
    }

    fn settle_item(&mut self, at: At, item: SettleItem) -> Settled {
        let id = item.message;
        let extends = matches!(item.action, Action::Extend { .. });
        if !self.holds(id, item.lease) && !self.revive(at, id, item.lease, extends) {
            return if mutants::on(Mutant::M24) { Settled::Done } else { Settled::LeaseLost };
        }
        if extends && self.ends_with_session(id) {
            return Settled::LeaseLost;
        }
        if item.action == Action::Ack {
            let acked = self.header.get().acked + 1;
            self.header.set(Header { acked, ..*self.header.get() });
        }
        let rules = Rules { at, policy: self.policy.get() };
        let backlog = &mut self.backlog;
        match item.action {
            Action::Ack => ack(backlog, rules, id),
            Action::Nack { delay_ms } => nack(backlog, rules, id, delay_ms),
            Action::Extend { lease_ms } => extend(backlog, rules, id, lease_ms),
            Action::Release => release(backlog, rules, id),
            Action::Reject { reason } => reject(backlog, rules, id, &reason),
        }
    }

    /// Whether the lease runs; it may be past its deadline as long as its timer has not fired.
    pub(super) fn holds(&self, id: MessageId, lease: LeaseId) -> bool {
        let state = self.backlog.messages.get(id).map(|message| &message.state);
        matches!(state, Some(State::Leased { grant, .. }) if grant.lease == lease || mutants::on(Mutant::M04))
    }

    /// Whether the lease is about to be returned, in this entry if timers allow: to extend it would be a promise
    /// that nobody keeps.
    fn ends_with_session(&self, id: MessageId) -> bool {
        match self.backlog.messages.get(id).map(|message| &message.state) {
            Some(State::Leased { grant, .. }) => {
                grant.session.is_some_and(|it| !self.sessions.holds_leases(it))
            }
            _ => false,
        }
    }

    /// Whether the lease is the message's current one: it runs, or it ran out and nobody else was given the message.
    pub(super) fn has_lease(&self, id: MessageId, lease: LeaseId) -> bool {
        self.holds(id, lease) || self.lapsed(id, lease).is_some()
    }

    /// A lease that ran out is still the message's current one until another is granted, so a late consumer is
    /// heard. In a FIFO queue only while the message is the next of its key, or work would be completed out of turn.
    fn lapsed(&self, id: MessageId, lease: LeaseId) -> Option<Grant> {
        let message = self.backlog.messages.get(id)?;
        let State::Ready { lapsed: Some(lapsed) } = message.state else { return None };
        let keys = self.backlog.index.keys.as_ref();
        let in_turn = keys.is_none_or(|keys| keys.offered(message.key) == Some(id));
        (lapsed.lease == lease && in_turn).then_some(lapsed)
    }

    /// Takes a [lapsed](Self::lapsed) lease up again, up to this very moment, to be settled from there. One that is to
    /// run on needs room like a new one.
    pub(super) fn revive(&mut self, at: At, id: MessageId, lease: LeaseId, runs_on: bool) -> bool {
        let Some(lapsed) = self.lapsed(id, lease) else { return false };
        if runs_on && self.lease_room(lapsed.session) == 0 {
            return false;
        }
        let message = self.backlog.detach(id).expect("the message was just read");
        assert!(message.attempts > 0, "the lapsed lease of message {id} was counted");
        let session = lapsed.session.filter(|session| self.sessions.holds_leases(*session));
        let state = State::Leased { grant: Grant { session, ..lapsed }, deadline: at.lease_clock };
        self.backlog.attach(id, Message { attempts: message.attempts - 1, state, ..message });
        true
    }
}
