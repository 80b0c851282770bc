//! A leased message returns to its place.

use weir_types::MessageId;
use weir_types::mutants::{self, Mutant};

use super::park::park;
use crate::backlog::Backlog;
use crate::message::{Message, ParkReason, State};
use crate::queue::Rules;

/// Why a message returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// Its lease ran out.
    Expired,
    /// Its session was lost, and the grace has passed.
    SessionLost,
    /// Its session was closed.
    SessionClosed,
    /// The consumer handed it back.
    Released,
    /// The consumer failed.
    Nacked { wait_ms: u64 },
}

/// Where it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// To its place, ready or delayed.
    Waits,
    /// Its attempts are used up.
    Parked,
}

impl Return {
    /// Whether it counts as an attempt: the message may be what broke the consumer.
    fn counts(self) -> bool {
        match self {
            Self::Expired | Self::SessionLost | Self::Nacked { .. } => true,
            Self::SessionClosed | Self::Released => false,
        }
    }

    /// Whether the consumer may still be at work and come late: then its lease is remembered.
    fn may_come_late(self) -> bool {
        matches!(self, Self::Expired | Self::SessionLost)
    }
}

pub(super) fn give_back(backlog: &mut Backlog, rules: Rules, id: MessageId, why: Return) -> GivenBack {
    let mut message = backlog.detach(id).expect("a leased message exists");
    let State::Leased { grant, .. } = message.state else { panic!("message {id} is not leased") };
    if why.counts() {
        message.attempts += 1;
        if message.attempts >= rules.policy.attempts_max {
            park(backlog, rules, id, message, ParkReason::AttemptsUsedUp);
            return GivenBack::Parked;
        }
    }
    message.state = match why {
        Return::Nacked { wait_ms } if wait_ms > 0 => State::Delayed { until: rules.at.wall_clock + wait_ms },
        _ => State::Ready { lapsed: why.may_come_late().then_some(grant) },
    };
    revoke_later(backlog, id, &message);
    backlog.attach(id, message);
    GivenBack::Waits
}

/// In a FIFO queue whatever returns to its place takes the leases behind it away, so that what is leased of a
/// key stays a prefix of what is left (P4). Their consumers did nothing wrong: no attempt is counted, but a
/// settle of theirs gets `LeaseLost`.
pub(super) fn revoke_later(backlog: &mut Backlog, id: MessageId, message: &Message) {
    if mutants::on(Mutant::M37) {
        return;
    }
    for later in backlog.leased_after(id, message) {
        let revoked = backlog.detach(later).expect("a leased message exists");
        assert!(matches!(revoked.state, State::Leased { .. }), "message {later} is not leased");
        backlog.attach(later, Message { state: State::Ready { lapsed: None }, ..revoked });
    }
}
