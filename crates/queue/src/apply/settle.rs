//! Consumers say what became of their messages.

use weir_types::mutants::{self, Mutant};
use weir_types::{At, LeaseId, MessageId};

use super::{ack::ack, extend::extend, nack::nack, reject::reject, release::release};
use crate::command::{Action, Settle, SettleItem};
use crate::limits::SETTLE_ITEMS_MAX;
use crate::message::{Grant, Message, State};
use crate::output::{Rejection, Reply, Settled};
use crate::queue::{Header, Queue, Rules};
use crate::requests::Answer;

impl Queue {
    pub(crate) fn settle(&mut self, at: At, settle: Settle) -> Result<Reply, Rejection> {
        match settle.request.and_then(|request| self.requests.find(at.lease_clock, request)) {
            Some(Answer::Settled { outcomes }) => {
                let outcomes = outcomes.iter().flat_map(|run| run.outcomes()).collect();
                return Ok(Reply::Settled { outcomes });
            }
            Some(Answer::Leased { .. }) => {
                return Err(Rejection::Invalid("the request id belongs to a lease"));
            }
            None => {}
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

    fn settle_item(&mut self, at: At, item: SettleItem) -> Settled {
        let id = item.message;
        if !self.holds(id, item.lease) && !self.revive(at, id, item.lease) {
            return if mutants::on(Mutant::M24) { Settled::Done } else { Settled::LeaseLost };
        }
        if matches!(item.action, Action::Extend { .. }) && self.ends_with_session(id) {
            return Settled::LeaseLost;
        }
        if item.action == Action::Ack {
            let acked = self.header.get().acked + 1;
            self.header.set(Header { acked, ..*self.header.get() });
        }
        let rules = Rules { at, policy: self.policy.get() };
        let backlog = &mut self.backlog;
        match item.action {
            Action::Ack => ack(backlog, id),
            Action::Nack { delay_ms } => nack(backlog, rules, id, delay_ms),
            Action::Extend { lease_ms } => extend(backlog, rules, id, lease_ms),
            Action::Release => release(backlog, rules, id),
            Action::Reject { reason } => reject(backlog, rules, id, &reason),
        }
    }

    /// Whether the lease runs; it may be past its deadline as long as its timer has not fired.
    fn holds(&self, id: MessageId, lease: LeaseId) -> bool {
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

    /// A lease that ran out is still the message's current one until another is granted, so a late consumer is
    /// heard: its lease is taken up again, up to this very moment, and settled from there. In a FIFO queue only
    /// while the message is the next of its key, or work would be completed out of turn.
    fn revive(&mut self, at: At, id: MessageId, lease: LeaseId) -> bool {
        let Some(message) = self.backlog.messages.get(id) else { return false };
        let State::Ready { lapsed: Some(lapsed) } = message.state else { return false };
        let in_turn =
            self.backlog.index.keys.as_ref().is_none_or(|keys| keys.offered(message.key) == Some(id));
        if lapsed.lease != lease || !in_turn {
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
