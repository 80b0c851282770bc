//! What must hold between entries. Tests and simulation check it after every apply.

use weir_types::limits::LEASES_PER_PARTITION_MAX;
use weir_types::{Corrupt, KeyRange, MessageId};

use crate::backlog::Backlog;
use crate::kept::KeptRun;
use crate::limits::{PRIORITY_MAX, REASON_BYTES_MAX};
use crate::message::{Message, ParkReason, State};
use crate::queue::{Header, Queue};
use crate::span::Span;
use crate::table::{Single, Table};

impl Queue {
    /// Panics when the state contradicts itself. Costs time and memory in proportion to the whole state.
    pub fn check_invariants(&self) {
        assert!(self.header.is_flushed() && self.policy.is_flushed(), "header or policy left to write");
        let backlog = &self.backlog;
        assert!(backlog.spans.is_flushed() && backlog.messages.is_flushed(), "message rows left to write");
        let policy = self.policy.get();
        assert!(
            policy.attempts_max >= 1 && policy.max_inflight_per_key >= 1,
            "{policy:?} lets nothing through"
        );
        self.check_index();
        self.check_messages();
        self.check_leases();
        self.check_lineage();
        check_stored(&self.header, &backlog.spans, &backlog.messages).expect("stored rows agree");
        self.sessions.check();
        self.producers.check();
        self.dedup.check();
        self.requests.check();
        self.replays.check();
        backlog.kept.check();
        self.turns.check();
        check_kept(&self.header, backlog.kept.rows()).expect("kept rows agree");
        self.outbox.check_invariants();
        self.inbox.check();
    }

    /// The indices are what the rows say: no message is forgotten (P1) and none is in two places.
    fn check_index(&self) {
        let (spans, messages) = (self.backlog.spans.clone(), self.backlog.messages.clone());
        let kept = self.backlog.kept.rows().clone();
        let again = Backlog::restored(self.policy.get(), &self.lineage, spans, messages, kept);
        assert_eq!(again.index, self.backlog.index, "indices do not follow from the rows");
        let counts = &self.backlog.index.counts;
        assert_eq!(counts.parked, self.backlog.index.parked.len() as u64, "parked messages miscounted");
        assert_eq!(counts.leased, self.backlog.index.leases.len() as u64, "leased messages miscounted");
        if let Some(keys) = &self.backlog.index.keys {
            keys.check_prefixes(|name| self.backlog.first_of(name));
        }
    }

    /// P15: a sealed partition takes nothing in, and what it says to be drained is.
    fn check_lineage(&self) {
        self.lineage.check();
        if let Some(sealed) = self.lineage.sealed() {
            let next = self.header.get().next_message;
            assert_eq!(next, sealed.end, "P15: messages came in after the seal");
        }
        for key in self.lineage.drained(KeyRange::ALL) {
            let keys = self.backlog.index.keys.as_ref();
            let is_drained = keys.is_some_and(|keys| keys.is_drained(key));
            assert!(is_drained, "P15: key {:08x} is said to be drained", key.0);
        }
    }

    fn check_messages(&self) {
        let header = self.header.get();
        for (id, message) in self.backlog.messages.iter() {
            assert!(message.pointer.index <= header.at.index, "message {id} points into the future");
            assert!(message.arrived <= header.at.wall_clock, "message {id} arrived in the future");
            if let State::Parked { reason: ParkReason::Rejected(reason), .. } = &message.state {
                assert!(reason.len() <= REASON_BYTES_MAX, "reason of {} bytes", reason.len());
            }
            let untouched =
                matches!(message.state, State::Ready { lapsed: Some(_) } if message.attempts == 0);
            assert!(!untouched, "message {id} has a lapsed lease that was not counted");
        }
        for (last, span) in self.backlog.spans.iter() {
            assert!(span.priority <= PRIORITY_MAX, "span {last} has priority {}", span.priority);
            assert!(span.pointer.index <= header.at.index, "span {last} points into the future");
            assert!(self.policy.get().fifo || span.key.is_none(), "span {last} of a plain queue has a key");
        }
    }

    /// P3 and P5: no lease is current for two messages, and none is above the counter.
    fn check_leases(&self) {
        let header = self.header.get();
        let lease_of = |(_, message): (MessageId, &Message)| match message.state {
            State::Leased { grant, .. } => Some(grant),
            State::Ready { lapsed } => lapsed,
            State::Delayed { .. } | State::Parked { .. } => None,
        };
        let mut leases = Vec::new();
        for grant in self.backlog.messages.iter().filter_map(lease_of) {
            assert!(grant.lease <= header.last_lease, "P5: lease {} was never granted", grant.lease);
            assert!(grant.at <= header.at.lease_clock, "lease {} was granted in the future", grant.lease);
            leases.push(grant.lease);
        }
        let all = leases.len();
        leases.sort_unstable();
        leases.dedup();
        assert_eq!(leases.len(), all, "P3: a lease is current for two messages");
        assert!(self.backlog.index.leases.len() <= LEASES_PER_PARTITION_MAX, "too many leases");
        for (_, message) in self.backlog.messages.iter() {
            if let State::Leased { grant, .. } = message.state {
                let known = grant.session.is_none_or(|session| self.sessions.contains(session));
                assert!(known, "lease {} belongs to a session that is gone", grant.lease);
            }
        }
    }
}

/// What restore relies on: runs of kept messages hold some, do not overlap, and lie below the counter.
pub(crate) fn check_kept(header: &Single<Header>, kept: &Table<KeptRun>) -> Result<(), Corrupt> {
    let mut free_from = MessageId(0);
    for (first, run) in kept.iter() {
        let end = first.0.checked_add(u64::from(run.count)).map(MessageId);
        let Some(end) =
            end.filter(|end| run.count >= 1 && first >= free_from && *end <= header.get().next_message)
        else {
            return Err(Corrupt(format!("run {first} of {} kept messages is misplaced", run.count)));
        };
        free_from = end;
    }
    Ok(())
}

/// What restore relies on: every message is in one place only, and below the counter.
pub(crate) fn check_stored(
    header: &Single<Header>,
    spans: &Table<Span>,
    messages: &Table<Message>,
) -> Result<(), Corrupt> {
    let next = header.get().next_message;
    let mut free_from = MessageId(0);
    for (last, span) in spans.iter() {
        if span.count == 0 || u64::from(span.count) > last.0 + 1 || span.priority > PRIORITY_MAX {
            return Err(Corrupt(format!(
                "span {last} of {} messages, priority {}",
                span.count, span.priority
            )));
        }
        let first = span.first(last);
        if first < free_from || last >= next {
            return Err(Corrupt(format!("span {first} to {last} overlaps, next message is {next}")));
        }
        if let Some((id, _)) = messages.range(first..=last).next() {
            return Err(Corrupt(format!("message {id} is on its own and in span {first} to {last}")));
        }
        free_from = MessageId(last.0 + 1);
    }
    for (id, message) in messages.iter() {
        if id >= next || message.priority > PRIORITY_MAX {
            return Err(Corrupt(format!("message {id}, priority {}, next is {next}", message.priority)));
        }
    }
    Ok(())
}
