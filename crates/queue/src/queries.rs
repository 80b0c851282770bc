//! What the leader may ask. No query changes anything.

use weir_types::mutants::{self, Mutant};
use weir_types::outbox::Outbox;
use weir_types::{
    KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, Pointer, QueuePolicy, RequestId, SessionId,
    TenantHash, WallClock,
};

use crate::command::ParkKind;
use crate::limits::PEEK_MESSAGES_MAX;
use crate::message::{Grant, Message, ParkReason, State};
use crate::output::Granted;
use crate::queue::Queue;
use crate::ready::{Place, Rank};
use crate::replays::Replayed;
use crate::span::Span;

/// A queue in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Messages that wait for a consumer, in a FIFO queue also those behind others of their key.
    pub ready: u64,
    /// Messages that wait for their delivery time.
    pub scheduled: u64,
    /// Messages that wait for their backoff.
    pub delayed: u64,
    /// Messages that consumers hold.
    pub leased: u64,
    /// Dead letters.
    pub parked: u64,
    /// All of these.
    pub messages: u64,
    /// Bytes of all of these.
    pub bytes: u64,
    /// Arrival of the oldest message that can be leased now.
    pub oldest_ready: Option<WallClock>,
    /// Sessions, open or ending.
    pub sessions: u64,
    /// The next message to arrive.
    pub next_message: MessageId,
    /// The last lease granted, or the base.
    pub last_lease: LeaseId,
    /// Messages ever acked.
    pub acked: u64,
    /// Deliveries ever made of messages that had been tried before.
    pub redelivered: u64,
    /// Acked messages that are kept for a replay; they are none of `messages`.
    pub kept: u64,
    /// Bytes of these.
    pub kept_bytes: u64,
}

/// An acked message that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptMessage {
    /// The message as it was known.
    pub message: MessageId,
    /// The batch that holds its record.
    pub pointer: Pointer,
    /// Number of the record in that batch, from 0.
    pub record: u32,
    /// What it counts for, in bytes.
    pub bytes: u32,
    /// When it was enqueued.
    pub arrived: WallClock,
}

/// A message as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageView {
    /// The message.
    pub message: MessageId,
    /// The batch that holds its record.
    pub pointer: Pointer,
    /// Number of the record in that batch, from 0.
    pub record: u32,
    /// What it counts for, in bytes.
    pub bytes: u32,
    /// When it was enqueued.
    pub arrived: WallClock,
    /// Its key's hash; only in a FIFO queue.
    pub key: Option<KeyHash>,
    /// 0 to 9.
    pub priority: u8,
    /// Whose it is, in a queue that tenants share.
    pub tenant: Option<TenantHash>,
    /// Its TTL, unless it is leased or parked by then.
    pub expires_at: Option<WallClock>,
    /// Deliveries that ended and counted.
    pub attempts: u32,
    /// Where it stands.
    pub state: MessageState,
    /// In a FIFO queue, the message of its key that it waits behind.
    pub waits_behind: Option<MessageId>,
}

/// Where a message stands in its life cycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// Waits for a consumer.
    Ready,
    /// Waits for its delivery time.
    Scheduled {
        /// That time.
        until: WallClock,
    },
    /// Waits for its backoff.
    Delayed {
        /// When that ends.
        until: WallClock,
    },
    /// A consumer holds it.
    Leased {
        /// The lease.
        lease: LeaseId,
        /// The session that the lease ends with.
        session: Option<SessionId>,
        /// When it was granted.
        since: LeaseClock,
        /// When the lease runs out.
        deadline: LeaseClock,
    },
    /// A dead letter.
    Parked {
        /// Why.
        reason: ParkReason,
        /// Since when.
        since: WallClock,
        /// Whether its key waits behind it.
        holds_key: bool,
    },
}

impl Queue {
    /// The settings in force.
    pub fn policy(&self) -> &QueuePolicy {
        self.policy.get()
    }

    /// The queue in numbers, in constant time.
    pub fn stats(&self) -> Stats {
        let (counts, header) = (&self.backlog.index.counts, self.header.get());
        Stats {
            ready: counts.ready,
            scheduled: counts.scheduled,
            delayed: counts.delayed,
            leased: counts.leased,
            parked: counts.parked,
            messages: counts.messages(),
            bytes: counts.bytes,
            oldest_ready: self.backlog.oldest_ready(),
            sessions: self.sessions.len() as u64,
            next_message: header.next_message,
            last_lease: header.last_lease,
            acked: header.acked,
            redelivered: header.redelivered,
            kept: self.backlog.kept.messages(),
            kept_bytes: self.backlog.kept.bytes(),
        }
    }

    /// At most `max` kept messages from `from` on, in order of arrival.
    pub fn kept(&self, from: MessageId, max: usize) -> Vec<KeptMessage> {
        let messages = self.backlog.kept.from(from).flat_map(|(first, run)| {
            (first.max(from).0..run.end(first).0).map(move |id| KeptMessage {
                message: MessageId(id),
                pointer: run.pointer,
                record: run.record + (id - first.0) as u32,
                bytes: run.bytes_each,
                arrived: run.arrived,
            })
        });
        messages.take(max.min(PEEK_MESSAGES_MAX)).collect()
    }

    /// How far a replay is; none when it never began, or so many others did since that it was forgotten.
    pub fn replayed(&self, request: RequestId) -> Option<Replayed> {
        self.replays.find(request)
    }

    /// The first message, of all that ever came, that did not arrive before `time`, as far as it is kept: before it
    /// lies nothing that is kept and arrived at `time` or later. Messages never arrive before earlier ones.
    pub fn kept_from(&self, time: WallClock) -> MessageId {
        let (mut low, mut high) = (0, self.header.get().next_message.0);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.backlog.kept.from(MessageId(middle)).next() {
                Some((first, run)) if run.arrived < time => low = run.end(first).0,
                _ => high = middle,
            }
        }
        MessageId(low)
    }

    /// The lowest log index whose bodies are still needed, by a live message or by the outbox; none when there is
    /// neither.
    pub fn retained_from(&self) -> Option<LogIndex> {
        if mutants::on(Mutant::M29) {
            return Some(self.header.get().at.index);
        }
        self.backlog.index.bodies.first().into_iter().chain(self.outbox.retained_from()).min()
    }

    /// What waits for other partitions.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }

    /// The sessions that a new leader has to declare lost: it has no connection to any of them yet.
    pub fn sessions(&self) -> impl Iterator<Item = SessionId> {
        self.sessions.live()
    }

    /// The messages that a session holds, in order of arrival.
    pub fn leased_by(&self, session: SessionId) -> impl Iterator<Item = Granted> {
        let held = self.backlog.index.leases.of_session(session);
        held.filter_map(|id| self.backlog.messages.get(id)?.granted(id))
    }

    /// One message; none when it never came, or is gone.
    pub fn message(&self, id: MessageId) -> Option<MessageView> {
        if let Some(message) = self.backlog.messages.get(id) {
            return Some(self.view(id, message, message_state(message)));
        }
        let (last, span) = self.backlog.span_of(id)?;
        Some(self.view_in_span(id, last, span))
    }

    /// At most `max` messages from `from` on, in order of arrival, in whatever state.
    pub fn peek(&self, from: MessageId, max: usize) -> Vec<MessageView> {
        let max = max.min(PEEK_MESSAGES_MAX);
        let mut found: Vec<MessageView> = self
            .backlog
            .messages
            .range(from..)
            .take(max)
            .map(|(id, message)| self.view(id, message, message_state(message)))
            .collect();
        let in_spans = self.backlog.spans.range(from..).flat_map(|(last, span)| {
            let first = span.first(last).max(from);
            (first.0..=last.0).map(move |id| self.view_in_span(MessageId(id), last, span))
        });
        found.extend(in_spans.take(max));
        found.sort_unstable_by_key(|view| view.message);
        found.truncate(max);
        found
    }

    /// At most `max` messages that may be leased next, in the order of handing out; of a FIFO queue the next one of each
    /// key that may go on.
    pub fn next_ready(&self, max: usize) -> Vec<MessageView> {
        let max = max.min(PEEK_MESSAGES_MAX);
        let mut ids = Vec::new();
        for rank in (0..=Rank::LAST.0).map(Rank) {
            self.take_turns(rank, max, &mut ids);
        }
        ids.into_iter().filter_map(|id| self.message(id)).collect()
    }

    /// Adds the next messages of a rank until there are `max`: a round of one message for each tenant, and another one.
    fn take_turns(&self, rank: Rank, max: usize, ids: &mut Vec<MessageId>) {
        let tenants = self.backlog.index.ready.in_turn(rank, self.turns.last(rank)).take(max - ids.len());
        let mut lines: Vec<_> = tenants.map(|tenant| self.line(Place { rank, tenant })).collect();
        while ids.len() < max && !lines.is_empty() {
            lines.retain_mut(|line| match line.next() {
                Some(id) => {
                    ids.push(id);
                    true
                }
                None => false,
            });
        }
        ids.truncate(max);
    }

    fn line(&self, place: Place) -> impl Iterator<Item = MessageId> {
        let whole_spans = self.backlog.index.keys.is_none();
        self.backlog.index.ready.at(place).flat_map(move |name| {
            let first = self.backlog.first_of(name);
            let last = if whole_spans { name } else { first };
            (first.0..=last.0).map(MessageId)
        })
    }

    /// At most `max` parked messages from `from` on, of one kind or of all, in order of arrival.
    pub fn parked(&self, kind: Option<ParkKind>, from: MessageId, max: usize) -> Vec<MessageView> {
        let ids = self.backlog.index.parked.list(kind, from, max.min(PEEK_MESSAGES_MAX));
        ids.into_iter().filter_map(|id| self.message(id)).collect()
    }

    /// Entries in all tables and indices: what the backlog costs in memory, by number.
    pub fn entries(&self) -> usize {
        let kept = self.backlog.kept.entries();
        let backlog =
            kept + self.backlog.spans.len() + self.backlog.messages.len() + self.backlog.index.entries();
        backlog + self.turns.entries() + self.outbox.items() + self.inbox.entries() + self.lineage.entries()
    }

    fn view_in_span(&self, id: MessageId, last: MessageId, span: &Span) -> MessageView {
        let message = span.message_at((id.0 - span.first(last).0) as u32);
        let state = span.deliver_at.map_or(MessageState::Ready, |until| MessageState::Scheduled { until });
        self.view(id, &message, state)
    }

    fn view(&self, id: MessageId, message: &Message, state: MessageState) -> MessageView {
        MessageView {
            message: id,
            pointer: message.pointer,
            record: message.record,
            bytes: message.bytes,
            arrived: message.arrived,
            key: message.key,
            priority: message.priority,
            tenant: message.tenant,
            expires_at: message.expires_at,
            attempts: message.attempts,
            waits_behind: self.waits_behind(id, message, &state),
            state,
        }
    }

    fn waits_behind(&self, id: MessageId, message: &Message, state: &MessageState) -> Option<MessageId> {
        if matches!(state, MessageState::Leased { .. } | MessageState::Parked { .. }) {
            return None;
        }
        let keys = self.backlog.index.keys.as_ref()?;
        match self.backlog.span_of(id) {
            Some((last, span)) if span.first(last) < id => Some(MessageId(id.0 - 1)),
            Some((last, _)) if keys.offered(message.key) != Some(last) => keys.before(message.key, last),
            None if keys.offered(message.key) != Some(id) => keys.before(message.key, id),
            _ => None,
        }
    }
}

fn message_state(message: &Message) -> MessageState {
    match &message.state {
        State::Ready { .. } => MessageState::Ready,
        State::Delayed { until } => MessageState::Delayed { until: *until },
        State::Leased { grant, deadline } => {
            let Grant { lease, session, at } = *grant;
            MessageState::Leased { lease, session, since: at, deadline: *deadline }
        }
        State::Parked { reason, since, holds_key } => {
            MessageState::Parked { reason: reason.clone(), since: *since, holds_key: *holds_key }
        }
    }
}
