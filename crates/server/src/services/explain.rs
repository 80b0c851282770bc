//! Why a message is not delivered, on the wire.

use weir_broker::api::explain::Explained;
use weir_broker::api::queue::describe;
use weir_broker::{Hold, MessageState, MessageView};
use weir_proto::v1;

pub(super) fn explained(explained: &Explained) -> v1::ExplainResponse {
    let explanation = &explained.explanation;
    let shown = |view: &MessageView| whereabouts(view, explained);
    v1::ExplainResponse {
        hold: hold(explanation.hold) as i32,
        message: explanation.message.as_ref().map(shown),
        key_leased: explanation.key_leased.iter().map(shown).collect(),
        key_next: explanation.key_next.as_ref().map(shown),
        attempts_max: explained.policy.attempts_max,
        max_inflight_per_key: explained.policy.max_inflight_per_key,
        sessions: explained.stats.sessions,
        ready: explained.stats.ready,
        max_inflight: explained.policy.max_inflight,
        max_inflight_per_session: explained.policy.max_inflight_per_session,
        key_blocked_by: explanation.key_blocked_by.map(|message| message.0),
        tenants_before: explanation.tenants_before,
    }
}

fn hold(hold: Hold) -> v1::Hold {
    match hold {
        Hold::NotArrived => v1::Hold::NotArrived,
        Hold::Gone => v1::Hold::Gone,
        Hold::KeyIsEmpty => v1::Hold::KeyIsEmpty,
        Hold::Nothing => v1::Hold::Nothing,
        // Which messages these are, the message that comes next in the key tells: in the latter case it is itself.
        Hold::BehindKey | Hold::ParentPartition => v1::Hold::BehindKey,
        Hold::KeyLimit => v1::Hold::KeyLimit,
        Hold::PartitionLimit => v1::Hold::PartitionLimit,
        Hold::SessionLimit => v1::Hold::SessionLimit,
        Hold::Scheduled => v1::Hold::Scheduled,
        Hold::Backoff => v1::Hold::Backoff,
        Hold::Leased => v1::Hold::Leased,
        Hold::Parked => v1::Hold::Parked,
    }
}

fn whereabouts(view: &MessageView, explained: &Explained) -> v1::Whereabouts {
    let (wall, lease_clock) = (explained.wall_clock, explained.lease_clock);
    let mut shown = v1::Whereabouts {
        message_id: view.message.0,
        attempts: view.attempts,
        age_ms: wall - view.arrived,
        ..v1::Whereabouts::default()
    };
    let state = match &view.state {
        MessageState::Ready => v1::MessageState::Ready,
        MessageState::Scheduled { until } | MessageState::Delayed { until } => {
            shown.due_in_ms = Some(*until - wall);
            v1::MessageState::Scheduled
        }
        MessageState::Leased { lease, session, since, deadline } => {
            shown.holder = Some(v1::Holder {
                lease_id: lease.0,
                session_id: session.map(|session| session.0),
                held_for_ms: lease_clock - *since,
                left_ms: *deadline - lease_clock,
            });
            v1::MessageState::Leased
        }
        MessageState::Parked { reason, since, .. } => {
            shown.reason = describe(reason);
            shown.parked_for_ms = Some(wall - *since);
            v1::MessageState::Parked
        }
    };
    shown.state = state as i32;
    if !matches!(state, v1::MessageState::Leased | v1::MessageState::Parked) {
        shown.expires_in_ms = view.expires_at.map(|at| at - wall);
    }
    shown
}
