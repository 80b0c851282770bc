//! What becomes of a leased message.

use std::time::Duration;

use weir_proto::v1;
use weir_types::LeaseToken;

/// What a consumer says about a message that it leased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettleAction {
    /// Done: the message is gone.
    Ack,
    /// Failed: ready again after a wait; counts as an attempt.
    Nack {
        /// The wait. None: the queue's backoff.
        delay: Option<Duration>,
        /// Why, for people: kept if this was the last attempt.
        reason: String,
    },
    /// Still busy: the lease runs this long from now.
    Extend {
        /// None: the queue's setting.
        lease: Option<Duration>,
    },
    /// Not tried: ready again at once; does not count as an attempt.
    Release,
    /// Never to be tried again: parked at once.
    Reject {
        /// Why, for people.
        reason: String,
    },
}

/// The outcome of one leased message, by its token.
///
/// ```
/// use weir_client::{Settle, SettleAction};
///
/// let settle = Settle { token: "v1.7.42.1001".parse()?, action: SettleAction::Ack };
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settle {
    /// The lease.
    pub token: LeaseToken,
    /// What becomes of its message.
    pub action: SettleAction,
}

impl Settle {
    pub(crate) fn to_wire(&self) -> v1::SettleItem {
        use v1::SettleAction as Wire;
        let mut item = v1::SettleItem { token: self.token.to_string(), ..v1::SettleItem::default() };
        let action = match &self.action {
            SettleAction::Ack => Wire::Ack,
            SettleAction::Nack { delay, reason } => {
                item.delay_ms = delay.map(milliseconds);
                item.reason.clone_from(reason);
                Wire::Nack
            }
            SettleAction::Extend { lease } => {
                item.lease_ms = lease.map_or(0, milliseconds);
                Wire::Extend
            }
            SettleAction::Release => Wire::Release,
            SettleAction::Reject { reason } => {
                item.reason.clone_from(reason);
                Wire::Reject
            }
        };
        item.action = action as i32;
        item
    }
}

/// Whole milliseconds; a part of one counts as one, so that a short lease is not taken for "the default".
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_millisecond_counts_as_one() {
        assert_eq!(milliseconds(Duration::ZERO), 0);
        assert_eq!(milliseconds(Duration::from_micros(1)), 1);
        assert_eq!(milliseconds(Duration::from_micros(2_001)), 3);
    }
}
