//! One message that was touched: leased, returned, delayed or parked.

use serde::{Deserialize, Serialize};
use weir_types::{KeyHash, LeaseClock, LeaseId, MessageId, Pointer, SessionId, WallClock};

use crate::command::ParkKind;
use crate::output::Granted;
use crate::ready::Tenant;

/// A touched message. It stands alone: its span may be long gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Number of its record in the batch.
    pub(crate) record: u32,
    /// The batch.
    pub(crate) pointer: Pointer,
    pub(crate) bytes: u32,
    pub(crate) arrived: WallClock,
    pub(crate) key: Option<KeyHash>,
    pub(crate) priority: u8,
    pub(crate) expires_at: Option<WallClock>,
    /// Deliveries that ended and counted. The running one is not among them.
    pub(crate) attempts: u32,
    pub(crate) state: State,
    /// Stored by [`rows`](crate::rows), if there is one.
    #[serde(skip)]
    pub(crate) tenant: Tenant,
}

/// Where a touched message stands in its life cycle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum State {
    /// In its place, to be leased.
    Ready {
        /// The lease that ran out last, honoured until another one is granted.
        lapsed: Option<Grant>,
    },
    /// Nacked; ready again when the wait is over.
    Delayed { until: WallClock },
    /// Handed out.
    Leased { grant: Grant, deadline: LeaseClock },
    /// Set aside until someone redrives or discards it.
    Parked {
        reason: ParkReason,
        since: WallClock,
        /// Whether its key waits behind it ([`ParkPolicy::holds_key`](weir_types::ParkPolicy::holds_key) when it was parked).
        holds_key: bool,
    },
}

/// One lease as it was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grant {
    pub(crate) lease: LeaseId,
    pub(crate) session: Option<SessionId>,
    /// `LEASE_MS_MAX` counts from here.
    pub(crate) at: LeaseClock,
}

/// Why a message was parked.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ParkReason {
    /// Delivered as often as the queue allows.
    AttemptsUsedUp,
    /// Rejected by a consumer, who said why.
    Rejected(String),
}

impl ParkReason {
    /// The reason as a filter.
    pub fn kind(&self) -> ParkKind {
        match self {
            Self::AttemptsUsedUp => ParkKind::AttemptsUsedUp,
            Self::Rejected(_) => ParkKind::Rejected,
        }
    }
}

impl Message {
    /// What the consumer is told; none when it is not leased.
    pub(crate) fn granted(&self, message: MessageId) -> Option<Granted> {
        let State::Leased { grant, deadline } = self.state else { return None };
        Some(Granted {
            message,
            lease: grant.lease,
            attempt: self.attempts + 1,
            deadline,
            pointer: self.pointer,
            record: self.record,
            bytes: self.bytes,
            key: self.key,
            priority: self.priority,
            arrived: self.arrived,
        })
    }
}
