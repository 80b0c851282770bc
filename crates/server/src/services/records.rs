//! Records and messages on the wire.

use weir_broker::api::queue::{LeasedMessage, PeekedMessage, PeekedState, Record};
use weir_proto::v1;
use weir_types::{GroupId, LeaseToken};

pub(super) fn record(record: Record) -> v1::Record {
    v1::Record {
        key: record.key,
        value: record.value,
        headers: record.headers.into_iter().map(|(key, value)| v1::Header { key, value }).collect(),
        timestamp_ms: u64::try_from(record.timestamp_ms).unwrap_or(0),
    }
}

pub(super) fn leased(group: GroupId, leased: LeasedMessage) -> v1::LeasedMessage {
    let token = LeaseToken { group, message: leased.message, lease: leased.lease };
    v1::LeasedMessage {
        token: token.to_string(),
        message_id: leased.message.0,
        lease_id: leased.lease.0,
        attempt: leased.attempt,
        lease_ms: leased.lease_ms,
        record: Some(record(leased.record)),
    }
}

pub(super) fn peeked(peeked: PeekedMessage) -> v1::PeekedMessage {
    let state = match peeked.state {
        PeekedState::Ready => v1::MessageState::Ready,
        PeekedState::Scheduled => v1::MessageState::Scheduled,
        PeekedState::Leased => v1::MessageState::Leased,
        PeekedState::Parked => v1::MessageState::Parked,
    };
    v1::PeekedMessage {
        message_id: peeked.message.0,
        state: state as i32,
        attempts: peeked.attempts,
        reason: peeked.reason,
        record: Some(record(peeked.record)),
    }
}
