//! Parked messages get another chance.

use weir_types::limits::TIMERS_PER_ENTRY_MAX;
use weir_types::{At, MessageId};

use super::give_back::revoke_later;
use crate::command::Select;
use crate::message::{Message, State};
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// Same place, attempts from the start. A TTL starts anew too: else a message parked for long would vanish
    /// in the moment somebody wants it back.
    pub(crate) fn redrive(&mut self, at: At, select: Select, max: u32) -> Result<Reply, Rejection> {
        let selected = self.select_redrivable(select, max)?;
        let expires_at = self.policy.get().ttl_ms.map(|ms| at.wall_clock + ms);
        for id in &selected {
            let message = self.backlog.detach(*id).expect("a parked message exists");
            let state = State::Ready { lapsed: None };
            let message = Message { attempts: 0, expires_at, state, ..message };
            revoke_later(&mut self.backlog, *id, &message);
            self.backlog.attach(*id, message);
        }
        Ok(Reply::Redriven { count: selected.len() as u32 })
    }

    /// In a sealed FIFO partition only messages whose key its children wait for (P15): the other keys may go on there already.
    /// One that was named is refused then; of a selection it is left out.
    fn select_redrivable(&self, select: Select, max: u32) -> Result<Vec<MessageId>, Rejection> {
        let Some(keys) = self.backlog.index.keys.as_ref().filter(|_| self.check_open().is_err()) else {
            return self.select_parked(select, max);
        };
        let parked = self.parked_up_to(select, usize::MAX)?;
        let key_of = |id: &MessageId| self.backlog.messages.get(*id).and_then(|message| message.key);
        let waited_for = |id: &&MessageId| key_of(id).is_none_or(|key| !keys.is_drained(key));
        let found = parked.iter().filter(waited_for).take(per_step(max)).copied().collect::<Vec<_>>();
        let is_named = matches!(select, Select::One(_));
        if is_named && found.is_empty() { Err(Rejection::KeyGoesOn) } else { Ok(found) }
    }

    /// At most `max` parked messages, and never more than one entry may touch.
    pub(crate) fn select_parked(&self, select: Select, max: u32) -> Result<Vec<MessageId>, Rejection> {
        self.parked_up_to(select, per_step(max))
    }

    fn parked_up_to(&self, select: Select, max: usize) -> Result<Vec<MessageId>, Rejection> {
        let parked = &self.backlog.index.parked;
        match select {
            Select::All => Ok(parked.list(None, MessageId(0), max)),
            Select::Reason(kind) => Ok(parked.list(Some(kind), MessageId(0), max)),
            Select::One(message) => match self.backlog.messages.get(message).map(|found| &found.state) {
                Some(State::Parked { .. }) => Ok(vec![message]),
                _ => Err(Rejection::NotParked { message }),
            },
        }
    }
}

fn per_step(max: u32) -> usize {
    TIMERS_PER_ENTRY_MAX.min(max as usize)
}
