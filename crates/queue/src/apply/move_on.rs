//! Messages leave for other partitions: the leader forwards them, or takes dead letters elsewhere.

use std::collections::BTreeSet;

use weir_types::limits::OUTPUTS_MAX;
use weir_types::{At, MessageId};

use crate::command::{Move, Waiting};
use crate::limits::SETTLE_ITEMS_MAX;
use crate::message::State;
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// All of it or nothing (P11): a message that a consumer was given meanwhile, or that is not the next of its key
    /// any more, stops the whole step, and the leader looks again.
    pub(crate) fn move_on(&mut self, at: At, step: &Move) -> Result<Reply, Rejection> {
        if step.messages.is_empty()
            || step.messages.len() > SETTLE_ITEMS_MAX
            || step.outputs.len() > OUTPUTS_MAX
        {
            return Err(Rejection::Invalid(
                "a move has 1 to 65,536 messages and at most 1,024 record batches",
            ));
        }
        let distinct: BTreeSet<_> = step.messages.iter().collect();
        if distinct.len() < step.messages.len() {
            return Err(Rejection::Invalid("a move names a message twice"));
        }
        if let Some(message) = step.messages.iter().find(|id| !self.waits(**id, step.waiting)) {
            return Err(Rejection::NotWaiting { message: *message });
        }
        self.outbox.check_room(&step.outputs)?;
        for id in &step.messages {
            let message = self.backlog.detach(*id).expect("the message was just looked at");
            if step.waiting == Waiting::Ready {
                self.turns.served(self.backlog.index.place(message.priority, message.tenant));
            }
        }
        self.outbox.put(at, &step.outputs);
        Ok(Reply::Moved { count: step.messages.len() as u32 })
    }

    fn waits(&self, id: MessageId, waiting: Waiting) -> bool {
        let state = self.backlog.messages.get(id).map(|message| (&message.state, message.key));
        match (waiting, state, self.backlog.span_of(id)) {
            (Waiting::Parked, Some((State::Parked { .. }, _)), _) => true,
            (Waiting::Ready, Some((State::Ready { .. }, key)), _) => self.is_next(key, id),
            (Waiting::Ready, None, Some((last, span))) => {
                let first = span.first(last) == id;
                span.deliver_at.is_none()
                    && (self.backlog.index.keys.is_none() || first && self.is_next(span.key, last))
            }
            _ => false,
        }
    }

    /// Whether an item of a FIFO queue may be leased next; in a plain queue any may.
    fn is_next(&self, key: crate::keys::Key, item: MessageId) -> bool {
        self.backlog.index.keys.as_ref().is_none_or(|keys| keys.offered(key) == Some(item))
    }
}
