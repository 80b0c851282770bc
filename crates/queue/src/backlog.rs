//! The messages: rows of spans and of touched messages, and the indices over them.

use weir_types::{MessageId, Pointer, QueuePolicy, RowChange, WallClock};

use crate::command::MessageRun;
use crate::index::Index;
use crate::item::Item;
use crate::kept::{Kept, KeptRun};
use crate::lineage::Lineage;
use crate::message::{Message, State};
use crate::span::Span;
use crate::table::Table;

/// Every live message, once: in a span while untouched, else on its own. A change of a message is always
/// [`detach`](Self::detach), change, [`attach`](Self::attach), which keeps rows and indices in step.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backlog {
    pub(crate) spans: Table<Span>,
    pub(crate) messages: Table<Message>,
    /// What was acked, and stays for a replay.
    pub(crate) kept: Kept,
    pub(crate) index: Index,
}

/// What a name in an index stands for.
pub(crate) enum Named<'a> {
    Span(&'a Span),
    Message(&'a Message),
}

impl Backlog {
    pub(crate) fn new(policy: &QueuePolicy) -> Self {
        Self {
            spans: Table::default(),
            messages: Table::default(),
            kept: Kept::default(),
            index: Index::new(policy),
        }
    }

    /// Takes rows as loaded and derives the indices.
    pub(crate) fn restored(
        policy: &QueuePolicy,
        lineage: &Lineage,
        spans: Table<Span>,
        messages: Table<Message>,
        kept: Table<KeptRun>,
    ) -> Self {
        let mut index = Index::new(policy);
        index.begin(lineage);
        for (last, span) in spans.iter() {
            index.add(&Item::of_span(last, span));
        }
        for (id, message) in messages.iter() {
            index.add(&Item::of_message(id, message));
        }
        let kept = Kept::restored(kept);
        for (entry, count) in kept.entries_of() {
            index.bodies.add(entry, count);
        }
        Self { spans, messages, kept, index }
    }

    /// An acked message that was detached stays for a replay.
    pub(crate) fn keep(&mut self, id: MessageId, message: &Message, until: WallClock) {
        self.index.bodies.add(message.pointer.index, 1);
        self.kept.add(id, message, until);
    }

    /// Kept messages go for good.
    pub(crate) fn release_kept(&mut self, name: MessageId) {
        let run = self.kept.take(name);
        self.index.bodies.remove(run.pointer.index, u64::from(run.count));
    }

    pub(crate) fn add_span(&mut self, last: MessageId, span: Span) {
        assert!(
            !self.spans.contains(last) && !self.messages.contains(last),
            "message {last} is there already"
        );
        self.index.add(&Item::of_span(last, &span));
        self.spans.put(last, span);
    }

    pub(crate) fn remove_span(&mut self, last: MessageId) -> Span {
        let span = self.spans.remove(last).expect("the caller names a span");
        self.index.remove(&Item::of_span(last, &span));
        span
    }

    /// Takes a live message out: its own row, or its place in a span, which is cut around it. What becomes of it
    /// is up to the caller: to drop it is to delete it.
    pub(crate) fn detach(&mut self, id: MessageId) -> Option<Message> {
        if let Some(message) = self.messages.remove(id) {
            self.index.remove(&Item::of_message(id, &message));
            return Some(message);
        }
        let (last, span) = self.span_of(id).map(|(last, span)| (last, *span))?;
        let offset = (id.0 - span.first(last).0) as u32;
        let rest = span.without_front(offset + 1);
        match (span.front(offset), rest) {
            // The usual case, a lease: the span shrinks from the front under its name.
            (None, Some(rest)) => {
                let gone = span.front(1).expect("a span holds at least one message");
                self.index.shrink(&Item { name: last, ..Item::of_span(id, &gone) });
                self.spans.put(last, rest);
            }
            (front, rest) => {
                self.remove_span(last);
                if let Some(front) = front {
                    self.add_span(MessageId(id.0 - 1), front);
                }
                if let Some(rest) = rest {
                    self.add_span(last, rest);
                }
            }
        }
        Some(span.message_at(offset))
    }

    pub(crate) fn attach(&mut self, id: MessageId, message: Message) {
        assert!(!self.messages.contains(id), "message {id} is there already");
        self.index.add(&Item::of_message(id, &message));
        self.messages.put(id, message);
    }

    /// Messages of a run have their bodies in the records of another batch from `record` on; answers how many are there. A
    /// span or a run of kept messages that reaches beyond the run stays where it is.
    pub(crate) fn relocate(&mut self, run: MessageRun, pointer: Pointer, record: u32) -> u64 {
        let end = MessageId(run.first.0 + u64::from(run.count));
        let place = |id: MessageId| record + (id.0 - run.first.0) as u32;
        let mut moved = 0;
        let touched: Vec<_> = self.messages.range(run.first..end).map(|(id, _)| id).collect();
        for id in touched {
            let message = self.messages.remove(id).expect("it was just listed");
            moved += self.index.bodies.relocate(message.pointer.index, pointer.index, 1);
            self.messages.put(id, Message { pointer, record: place(id), ..message });
        }
        let spans: Vec<_> = self.spans.range(run.first..end).map(|(last, span)| (last, *span)).collect();
        for (last, span) in spans.into_iter().filter(|(last, span)| span.first(*last) >= run.first) {
            moved += self.index.bodies.relocate(span.pointer.index, pointer.index, span.count.into());
            self.spans.put(last, Span { pointer, record: place(span.first(last)), ..span });
        }
        let kept: Vec<_> =
            self.kept.rows().range(run.first..end).map(|(first, kept)| (first, *kept)).collect();
        for (first, kept) in kept.into_iter().filter(|(first, kept)| kept.end(*first) <= end) {
            moved += self.index.bodies.relocate(kept.pointer.index, pointer.index, kept.count.into());
            self.kept.relocate(first, pointer, place(first));
        }
        moved
    }

    /// The delivery time or the backoff of an item is over.
    pub(crate) fn make_ready(&mut self, name: MessageId) {
        if self.spans.contains(name) {
            let span = self.remove_span(name);
            assert!(span.deliver_at.is_some(), "span {name} was ready already");
            self.add_span(name, Span { deliver_at: None, ..span });
        } else {
            let message = self.detach(name).expect("a delayed item exists");
            assert!(matches!(message.state, State::Delayed { .. }), "message {name} was not delayed");
            self.attach(name, Message { state: State::Ready { lapsed: None }, ..message });
        }
    }

    /// Deletes a whole item; answers how many messages went.
    pub(crate) fn remove_item(&mut self, name: MessageId) -> u64 {
        if self.spans.contains(name) {
            return u64::from(self.remove_span(name).count);
        }
        self.detach(name).expect("the item exists");
        1
    }

    pub(crate) fn named(&self, name: MessageId) -> Option<Named<'_>> {
        let span = self.spans.get(name).map(Named::Span);
        span.or_else(|| self.messages.get(name).map(Named::Message))
    }

    /// The span that holds a message, with the span's name.
    pub(crate) fn span_of(&self, id: MessageId) -> Option<(MessageId, &Span)> {
        self.spans.range(id..).next().filter(|(last, span)| span.contains(*last, id))
    }

    /// The first message of an item.
    pub(crate) fn first_of(&self, name: MessageId) -> MessageId {
        self.spans.get(name).map_or(name, |span| span.first(name))
    }

    /// The leased messages of a FIFO key that arrived after `id`.
    pub(crate) fn leased_after(&self, id: MessageId, message: &Message) -> Vec<MessageId> {
        self.index.keys.as_ref().map_or_else(Vec::new, |keys| keys.leased_after(message.key, id))
    }

    /// How many leases could be granted if there was no limit: of a FIFO queue one per key that may go on.
    pub(crate) fn leasable(&self) -> u64 {
        if self.index.keys.is_some() { self.index.ready.len() as u64 } else { self.index.counts.ready }
    }

    /// Arrival of the oldest message that can be leased now.
    pub(crate) fn oldest_ready(&self) -> Option<WallClock> {
        let first = self.index.ready.oldest().min_by_key(|name| self.first_of(*name))?;
        self.named(first).map(|item| match item {
            Named::Span(span) => span.arrived,
            Named::Message(message) => message.arrived,
        })
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.spans.flush(changes);
        self.messages.flush(changes);
        self.kept.flush(changes);
    }
}
