//! Where the bodies of messages lie, for whoever reads them or writes them anew.

use weir_types::{LogIndex, MessageId, Pointer};

use crate::queue::Queue;

/// Bodies of consecutive messages, in consecutive records of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bodies {
    /// The first message.
    pub first: MessageId,
    /// How many.
    pub count: u32,
    /// The batch that holds them.
    pub pointer: Pointer,
    /// Number of the first one's record in that batch, from 0.
    pub record: u32,
}

impl Bodies {
    fn end(&self) -> MessageId {
        MessageId(self.first.0 + u64::from(self.count))
    }
}

impl Queue {
    /// Where the body of a message lies, be it alive or kept: the batch, and the record's number in it.
    pub fn place(&self, id: MessageId) -> Option<(Pointer, u32)> {
        let kept = || {
            let (first, run) = self.backlog.kept.from(id).next().filter(|(first, _)| *first <= id)?;
            Some((run.pointer, run.record + (id.0 - first.0) as u32))
        };
        self.message(id).map(|view| (view.pointer, view.record)).or_else(kept)
    }

    /// The bodies that lie in entries before `horizon`, of the next `rows` rows of messages from `from` on, live and kept
    /// ones, in order; and the message to go on from, none at the end.
    pub fn bodies_before(
        &self,
        horizon: LogIndex,
        from: MessageId,
        rows: usize,
    ) -> (Vec<Bodies>, Option<MessageId>) {
        let spans = self.backlog.spans.range(from..).take(rows).map(|(last, span)| Bodies {
            first: span.first(last),
            count: span.count,
            pointer: span.pointer,
            record: span.record,
        });
        let messages = self.backlog.messages.range(from..).take(rows).map(|(id, message)| Bodies {
            first: id,
            count: 1,
            pointer: message.pointer,
            record: message.record,
        });
        let kept = self.backlog.kept.from(from).take(rows).map(|(first, run)| Bodies {
            first,
            count: run.count,
            pointer: run.pointer,
            record: run.record,
        });
        let mut all: Vec<Bodies> = spans.chain(messages).chain(kept).collect();
        all.sort_unstable_by_key(|bodies| bodies.first);
        let is_cut = all.len() >= rows;
        all.truncate(rows);
        let next = all.last().filter(|_| is_cut).map(Bodies::end);
        all.retain(|bodies| bodies.pointer.index < horizon);
        (all, next)
    }

    /// The lowest entry with a body that a message still needs, and how many bytes all such bodies are: what the log would
    /// shrink to if they were written anew. None when there are none.
    pub fn bodies(&self) -> Option<(LogIndex, u64)> {
        let first = self.backlog.index.bodies.first()?;
        let stats = self.stats();
        Some((first, stats.bytes + stats.kept_bytes))
    }
}
