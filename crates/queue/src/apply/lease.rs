//! Messages are handed out.

use weir_types::limits::{LEASE_MESSAGES_MAX, LEASE_MS_MAX, LEASES_PER_PARTITION_MAX, TIMERS_PER_ENTRY_MAX};
use weir_types::{At, LeaseId, MessageId, SessionId};

use super::park::park;
use crate::backlog::Named;
use crate::command::Lease;
use crate::message::{Grant, Message, ParkReason, State};
use crate::output::{Granted, Rejection, Reply};
use crate::queue::{Header, Queue, Rules};
use crate::requests::{Answer, MessageRun};

impl Queue {
    /// Which messages go is decided here, inside the replicated step, so that requests in flight together never
    /// get the same one.
    pub(crate) fn lease(&mut self, at: At, request: &Lease) -> Result<Reply, Rejection> {
        match self.requests.find(at.lease_clock, request.request) {
            Some(Answer::Leased { first, messages }) => {
                return Ok(Reply::Leased { messages: self.still_leased(*first, messages) });
            }
            Some(Answer::Settled { .. }) => {
                return Err(Rejection::Invalid("the request id belongs to a settle"));
            }
            None => {}
        }
        if let Some(session) = request.session.filter(|id| !self.sessions.is_open(*id)) {
            return Err(Rejection::SessionNotOpen { session });
        }
        let leased = self.backlog.index.leases.len();
        if leased >= LEASES_PER_PARTITION_MAX {
            return Err(Rejection::TooManyLeases { leased });
        }
        let first = LeaseId(self.header.get().last_lease.0 + 1);
        let granted = self.grant_ready(at, request);
        if !granted.is_empty() {
            let answer = Answer::leased(first, granted.iter().map(|granted| granted.message));
            self.requests.remember(at.lease_clock, request.request, answer);
        }
        Ok(Reply::Leased { messages: granted })
    }

    /// Of an earlier answer what the consumer still holds: the rest has been settled, or somebody else's since.
    fn still_leased(&self, first: LeaseId, messages: &[MessageRun]) -> Vec<Granted> {
        let leases = (first.0..).map(LeaseId);
        let current = messages.iter().flat_map(|run| run.ids()).zip(leases).filter_map(|(id, lease)| {
            let granted = self.backlog.messages.get(id)?.granted(id)?;
            (granted.lease == lease).then_some(granted)
        });
        current.collect()
    }

    /// Takes the first ready message while the request and the queue's limits have room. Those that turn out to be past their TTL or
    /// their attempts (the policy may have changed) leave the list instead, a bounded number per request.
    fn grant_ready(&mut self, at: At, request: &Lease) -> Vec<Granted> {
        let max = self.lease_room(request.session).min(request.max_messages.min(LEASE_MESSAGES_MAX) as usize);
        let mut granted: Vec<Granted> = Vec::new();
        let mut bytes = 0;
        for _ in 0..LEASE_MESSAGES_MAX as usize + TIMERS_PER_ENTRY_MAX {
            let Some(name) = self.next().filter(|_| granted.len() < max) else { break };
            if self.leaves_ready_list(at, name) {
                continue;
            }
            bytes += u64::from(self.bytes_of(name));
            if bytes > request.max_bytes && !granted.is_empty() {
                break;
            }
            granted.push(self.grant_first_of(at, name, request));
        }
        granted
    }

    /// The item to lease from next.
    fn next(&self) -> Option<MessageId> {
        let ready = &self.backlog.index.ready;
        let place = self.turns.next(ready)?;
        ready.at(place).next()
    }

    fn leaves_ready_list(&mut self, at: At, name: MessageId) -> bool {
        let (expires_at, attempts) = match self.backlog.named(name).expect("a ready item exists") {
            Named::Span(span) => (span.expires_at, 0),
            Named::Message(message) => (message.expires_at, message.attempts),
        };
        if expires_at.is_some_and(|time| time <= at.wall_clock) {
            self.backlog.remove_item(name);
            return true;
        }
        if attempts >= self.policy.get().attempts_max {
            let message = self.backlog.detach(name).expect("a ready message exists");
            let rules = Rules { at, policy: self.policy.get() };
            park(&mut self.backlog, rules, name, message, ParkReason::AttemptsUsedUp);
            return true;
        }
        false
    }

    fn bytes_of(&self, name: MessageId) -> u32 {
        match self.backlog.named(name).expect("a ready item exists") {
            Named::Span(span) => span.bytes_each,
            Named::Message(message) => message.bytes,
        }
    }

    fn grant_first_of(&mut self, at: At, name: MessageId, request: &Lease) -> Granted {
        let id = self.backlog.first_of(name);
        let message = self.backlog.detach(id).expect("a ready message exists");
        assert!(
            matches!(message.state, State::Ready { .. }),
            "P3: message {id} is handed out while {message:?}"
        );
        assert!(message.attempts < self.policy.get().attempts_max, "P7: message {id} has no attempt left");
        self.turns.served(self.backlog.index.place(message.priority, message.tenant));
        let lease = LeaseId(self.header.get().last_lease.0 + 1);
        let redelivered = self.header.get().redelivered + u64::from(message.attempts > 0);
        self.header.set(Header { last_lease: lease, redelivered, ..*self.header.get() });
        let session: Option<SessionId> = request.session;
        let lease_ms = request.lease_ms.unwrap_or_else(|| self.policy.get().lease_ms).min(LEASE_MS_MAX);
        let state = State::Leased {
            grant: Grant { lease, session, at: at.lease_clock },
            deadline: at.lease_clock + lease_ms,
        };
        let message = Message { state, ..message };
        let granted = message.granted(id).expect("the message is leased");
        self.backlog.attach(id, message);
        granted
    }
}
