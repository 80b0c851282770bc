//! What the indices see of a span or a message.

use weir_types::mutants::{self, Mutant};
use weir_types::{KeyHash, LeaseClock, LogIndex, MessageId, SessionId, WallClock};

use crate::command::ParkKind;
use crate::limits::PRIORITY_MAX;
use crate::message::{Message, State};
use crate::ready::Tenant;
use crate::span::Span;

/// A span or a touched message, named by its (last) message. The name is unambiguous: a message is touched or
/// in a span, never both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) name: MessageId,
    pub(crate) count: u64,
    pub(crate) bytes: u64,
    pub(crate) key: Option<KeyHash>,
    pub(crate) priority: u8,
    pub(crate) tenant: Tenant,
    pub(crate) expires_at: Option<WallClock>,
    pub(crate) entry: LogIndex,
    pub(crate) phase: Phase,
}

/// Which indices an item belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Ready,
    Scheduled { until: WallClock },
    Delayed { until: WallClock },
    Leased { deadline: LeaseClock, session: Option<SessionId> },
    Parked { kind: ParkKind, holds_key: bool },
}

impl Item {
    pub(crate) fn of_span(last: MessageId, span: &Span) -> Self {
        Self {
            name: last,
            count: u64::from(span.count),
            bytes: u64::from(span.count) * u64::from(span.bytes_each),
            key: span.key,
            priority: span.priority,
            tenant: span.tenant,
            expires_at: span.expires_at,
            entry: span.pointer.index,
            phase: span.deliver_at.map_or(Phase::Ready, |until| Phase::Scheduled { until }),
        }
    }

    pub(crate) fn of_message(id: MessageId, message: &Message) -> Self {
        let jumps = message.attempts > 0 && mutants::on(Mutant::M42);
        Self {
            name: id,
            count: 1,
            bytes: u64::from(message.bytes),
            key: message.key,
            priority: if jumps { PRIORITY_MAX } else { message.priority },
            tenant: message.tenant,
            expires_at: message.expires_at,
            entry: message.pointer.index,
            phase: match &message.state {
                State::Ready { .. } => Phase::Ready,
                State::Delayed { until } => Phase::Delayed { until: *until },
                State::Leased { grant, deadline } => {
                    Phase::Leased { deadline: *deadline, session: grant.session }
                }
                State::Parked { reason, holds_key, .. } => {
                    Phase::Parked { kind: reason.kind(), holds_key: *holds_key }
                }
            },
        }
    }
}
