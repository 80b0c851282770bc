//! Messages that nobody has touched, by the range.

use serde::{Deserialize, Serialize};
use weir_types::{KeyHash, MessageId, Pointer, WallClock};

use crate::message::{Message, State};
use crate::ready::Tenant;

/// Consecutive messages of one record batch that are alike and untouched: either all ready or all waiting for
/// the same delivery time. It is named by its last message, is leased from the front, and costs the same for
/// one message as for 65,536.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Span {
    /// Messages in it: at least 1.
    pub(crate) count: u32,
    /// Number of its first record in the batch.
    pub(crate) record: u32,
    /// The batch.
    pub(crate) pointer: Pointer,
    /// What each message counts for, in bytes.
    pub(crate) bytes_each: u32,
    pub(crate) arrived: WallClock,
    pub(crate) key: Option<KeyHash>,
    pub(crate) priority: u8,
    pub(crate) expires_at: Option<WallClock>,
    /// When it becomes ready; none when it is.
    pub(crate) deliver_at: Option<WallClock>,
    /// Stored by [`rows`](crate::rows), if there is one.
    #[serde(skip)]
    pub(crate) tenant: Tenant,
}

impl Span {
    /// Its first message, given its last one.
    pub(crate) fn first(&self, last: MessageId) -> MessageId {
        assert!(self.count >= 1, "span {last} is empty");
        MessageId(last.0 + 1 - u64::from(self.count))
    }

    pub(crate) fn contains(&self, last: MessageId, message: MessageId) -> bool {
        self.first(last) <= message && message <= last
    }

    /// The message at `offset` from the front, as one that is touched from now on.
    pub(crate) fn message_at(&self, offset: u32) -> Message {
        assert!(offset < self.count, "offset {offset} in a span of {}", self.count);
        Message {
            record: self.record + offset,
            pointer: self.pointer,
            bytes: self.bytes_each,
            arrived: self.arrived,
            key: self.key,
            priority: self.priority,
            tenant: self.tenant,
            expires_at: self.expires_at,
            attempts: 0,
            state: State::Ready { lapsed: None },
        }
    }

    /// The first `count` messages; none when that is zero.
    pub(crate) fn front(&self, count: u32) -> Option<Self> {
        assert!(count <= self.count, "front {count} of {}", self.count);
        (count > 0).then_some(Self { count, ..*self })
    }

    /// What is left without the first `count` messages; none when that is nothing.
    pub(crate) fn without_front(&self, count: u32) -> Option<Self> {
        assert!(count <= self.count, "{count} of {} taken", self.count);
        let rest = Self { count: self.count - count, record: self.record + count, ..*self };
        (rest.count > 0).then_some(rest)
    }
}
