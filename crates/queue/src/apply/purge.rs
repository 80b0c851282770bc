//! The queue is emptied.

use weir_types::MessageId;
use weir_types::limits::TIMERS_PER_ENTRY_MAX;

use crate::output::Reply;
use crate::queue::Queue;

impl Queue {
    /// Oldest first, a bounded number of items per step. Whoever holds a lease of one gets `LeaseLost`.
    pub(crate) fn purge(&mut self, before: Option<MessageId>, max: u32) -> Reply {
        let next = self.header.get().next_message;
        let before = before.unwrap_or(next).min(next);
        let mut messages = 0;
        for _ in 0..TIMERS_PER_ENTRY_MAX.min(max as usize) {
            let Some(name) = self.first_item_before(before) else { break };
            messages +=
                if name < before { self.backlog.remove_item(name) } else { self.cut_off(name, before) };
        }
        let mut more = self.first_item_before(before).is_some();
        if !more {
            more = self.purge_kept(before, max);
        }
        Reply::Purged { messages, before, more }
    }

    /// What is kept of messages before the horizon goes with them. A run that reaches over it goes as a whole.
    fn purge_kept(&mut self, before: MessageId, max: u32) -> bool {
        for _ in 0..TIMERS_PER_ENTRY_MAX.min(max as usize) {
            let Some(name) = self.first_kept_before(before) else { return false };
            self.backlog.release_kept(name);
        }
        self.first_kept_before(before).is_some()
    }

    fn first_kept_before(&self, before: MessageId) -> Option<MessageId> {
        let first = self.backlog.kept.from(MessageId(0)).next();
        first.map(|(name, _)| name).filter(|name| *name < before)
    }

    /// The name of the first item that begins before the horizon.
    fn first_item_before(&self, before: MessageId) -> Option<MessageId> {
        let spans = self.backlog.spans.iter().next().map(|(last, span)| (span.first(last), last));
        let messages = self.backlog.messages.iter().next().map(|(id, _)| (id, id));
        let (first, name) = spans.into_iter().chain(messages).min()?;
        (first < before).then_some(name)
    }

    /// Removes the part of a span that lies before the horizon.
    fn cut_off(&mut self, last: MessageId, before: MessageId) -> u64 {
        let span = self.backlog.remove_span(last);
        let gone = (before.0 - span.first(last).0) as u32;
        let rest = span.without_front(gone).expect("the span reaches over the horizon");
        self.backlog.add_span(last, rest);
        u64::from(gone)
    }
}
