//! Why a message is not handed out.

use weir_types::{KeyHash, MessageId, ParkPolicy};

use crate::keys::{Key, Keys, Readiness};
use crate::queries::{MessageState, MessageView};
use crate::queue::Queue;

/// Leased messages of a key that an explanation names at most.
const KEY_LEASED_MAX: usize = 16;
/// Tenants that an explanation counts at most.
const TENANTS_MAX: usize = 100;

/// What keeps a message from the next consumer that asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// The partition has not come to this id yet.
    NotArrived,
    /// It was here: it was acked, discarded, moved on, cancelled or purged, or its TTL ran out.
    Gone,
    /// The key has no message here.
    KeyIsEmpty,
    /// Nothing: whoever asks gets it, after those that are before it in the order of handing out.
    Nothing,
    /// Another message of its key has to be handed out first.
    BehindKey,
    /// It is the next of its key, of which as many messages are leased as may be at once.
    KeyLimit,
    /// As many messages of the partition are leased as may be at once.
    PartitionLimit,
    /// Every worker with a session holds as many messages as one may.
    SessionLimit,
    /// Its delivery time.
    Scheduled,
    /// The pause after a nack.
    Backoff,
    /// A consumer has it.
    Leased,
    /// It is a dead letter: somebody has to redrive it.
    Parked,
    /// It is the next of its key here, and waits for the partition that its key was split from: messages of the key are
    /// left in that one.
    ParentPartition,
}

/// Where a message stands, and what it waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// What keeps it.
    pub hold: Hold,
    /// The message, if it is there; of a key the next one to be handed out, or the first one that is leased.
    pub message: Option<MessageView>,
    /// In a FIFO queue, the first messages of its key that are leased: at most 16.
    pub key_leased: Vec<MessageView>,
    /// In a FIFO queue, the message of its key that has to be handed out next.
    pub key_next: Option<MessageView>,
    /// In a FIFO queue that blocks keys, the parked message for which producers are refused too.
    pub key_blocked_by: Option<MessageId>,
    /// In a queue that tenants share, and of a message that nothing keeps: how many other tenants have a turn before its
    /// own, counted up to 100. Earlier messages of its own tenant come on top.
    pub tenants_before: Option<u32>,
}

impl Queue {
    /// Why a message is not handed out. The cost does not depend on how many messages there are, but
    /// on how many sessions when they have a limit.
    pub fn explain(&self, id: MessageId) -> Explanation {
        match self.message(id) {
            Some(message) => self.explain_view(message),
            None if id < self.header.get().next_message => Explanation::without_message(Hold::Gone),
            None => Explanation::without_message(Hold::NotArrived),
        }
    }

    /// Why no message of a key is handed out; none in a queue whose keys have no order. Messages without a key have
    /// an order of their own.
    pub fn explain_key(&self, key: Option<KeyHash>) -> Option<Explanation> {
        let keys = self.backlog.index.keys.as_ref()?;
        let next = keys.head(key).map(|(item, _)| self.backlog.first_of(item));
        let message = next.or_else(|| keys.leased(key).next()).and_then(|id| self.message(id));
        Some(message.map_or_else(
            || Explanation::without_message(Hold::KeyIsEmpty),
            |message| self.explain_view(message),
        ))
    }

    /// The parked message for which producers are refused a key.
    pub(crate) fn blocked_by(&self, key: Option<KeyHash>) -> Option<MessageId> {
        let blocks = self.policy.get().park == ParkPolicy::BlockKey;
        self.backlog.index.keys.as_ref().filter(|_| blocks)?.held_by(key)
    }

    fn explain_view(&self, message: MessageView) -> Explanation {
        let explanation = self.explain_alone(message);
        match explanation.hold {
            Hold::Nothing if self.partition_room() == 0 => {
                Explanation { hold: Hold::PartitionLimit, ..explanation }
            }
            Hold::Nothing if self.every_session_is_full() => {
                Explanation { hold: Hold::SessionLimit, ..explanation }
            }
            Hold::Nothing => {
                let tenants_before = explanation.message.as_ref().and_then(|it| self.tenants_before(it));
                Explanation { tenants_before, ..explanation }
            }
            _ => explanation,
        }
    }

    fn tenants_before(&self, message: &MessageView) -> Option<u32> {
        let is_shared = message.tenant.is_some() || self.policy.get().fair_by.is_some();
        let place = self.backlog.index.place(message.priority, message.tenant);
        let in_turn = self.backlog.index.ready.in_turn(place.rank, self.turns.last(place.rank));
        let before = in_turn.take(TENANTS_MAX).take_while(|tenant| *tenant != place.tenant).count();
        is_shared.then_some(before as u32)
    }

    /// As if the queue had no limits.
    fn explain_alone(&self, message: MessageView) -> Explanation {
        let Some(keys) = &self.backlog.index.keys else {
            let hold = own_hold(&message.state);
            return Explanation { message: Some(message), ..Explanation::without_message(hold) };
        };
        let key_leased = keys.leased(message.key).take(KEY_LEASED_MAX);
        Explanation {
            hold: self.hold_in_key(&message, keys),
            key_leased: key_leased.filter_map(|id| self.message(id)).collect(),
            key_next: keys.head(message.key).and_then(|(item, _)| self.message(self.backlog.first_of(item))),
            key_blocked_by: self.blocked_by(message.key),
            tenants_before: None,
            message: Some(message),
        }
    }

    fn hold_in_key(&self, message: &MessageView, keys: &Keys) -> Hold {
        let own = own_hold(&message.state);
        if matches!(own, Hold::Leased | Hold::Parked) {
            return own;
        }
        let key: Key = message.key;
        match keys.head(key) {
            Some((item, readiness)) if self.backlog.first_of(item) == message.message => {
                if readiness == Readiness::Ready && keys.awaits(key) {
                    Hold::ParentPartition
                } else if readiness == Readiness::Ready && keys.offered(key).is_none() {
                    Hold::KeyLimit
                } else {
                    own
                }
            }
            _ => Hold::BehindKey,
        }
    }
}

impl Explanation {
    fn without_message(hold: Hold) -> Self {
        Self {
            hold,
            message: None,
            key_leased: Vec::new(),
            key_next: None,
            key_blocked_by: None,
            tenants_before: None,
        }
    }
}

/// What keeps a message whatever its key does.
fn own_hold(state: &MessageState) -> Hold {
    match state {
        MessageState::Ready => Hold::Nothing,
        MessageState::Scheduled { .. } => Hold::Scheduled,
        MessageState::Delayed { .. } => Hold::Backoff,
        MessageState::Leased { .. } => Hold::Leased,
        MessageState::Parked { .. } => Hold::Parked,
    }
}
