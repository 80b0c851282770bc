//! Which settings a topic may have, and how one setting is changed.

use weir_types::limits::{
    COMPACTION_MS_MAX, DELAY_MS_MAX, LEASE_MS_MAX, LEASES_PER_PARTITION_MAX, RETENTION_GROUPS_MAX,
    TENANT_HEADER_BYTES_MAX,
};
use weir_types::{QueuePolicy, StreamPolicy, TopicKind, TopicPolicy};

use crate::apply::check_name;
use crate::command::PolicyChange;
use crate::output::Rejection;
use crate::topic::Topic;

/// Most deliveries before a message is parked.
const ATTEMPTS_MAX: u64 = 1_000_000;

/// Whether every setting is within its bounds.
pub(crate) fn check(policy: &TopicPolicy) -> Result<(), Rejection> {
    match policy {
        TopicPolicy::Queue(queue) => check_queue(queue),
        TopicPolicy::Stream(stream) => check_stream(stream),
    }
}

fn check_queue(queue: &QueuePolicy) -> Result<(), Rejection> {
    within("lease_ms", queue.lease_ms, 1, LEASE_MS_MAX)?;
    within("attempts_max", u64::from(queue.attempts_max), 1, ATTEMPTS_MAX)?;
    let inflight_max = LEASES_PER_PARTITION_MAX as u64;
    within("max_inflight_per_key", u64::from(queue.max_inflight_per_key), 1, inflight_max)?;
    for (setting, count) in
        [("max_inflight", queue.max_inflight), ("max_inflight_per_session", queue.max_inflight_per_session)]
    {
        within(setting, count.map_or(1, u64::from), 1, inflight_max)?;
    }
    within("backoff.max_ms", queue.backoff.max_ms, 0, DELAY_MS_MAX)?;
    // With a base above the longest wait the base would never be kept.
    within("backoff.base_ms", queue.backoff.base_ms, 0, queue.backoff.max_ms)?;
    if let Some(ttl_ms) = queue.ttl_ms {
        within("ttl_ms", ttl_ms, 1, u64::MAX)?;
    }
    within("keep_ms", queue.keep_ms.unwrap_or(1), 1, DELAY_MS_MAX)?;
    within("keep_bytes_max", queue.keep_bytes_max, 1, u64::MAX)?;
    let header_bytes = queue.fair_by.as_ref().map_or(1, |header| header.len() as u64);
    within("bytes of fair_by", header_bytes, 1, TENANT_HEADER_BYTES_MAX as u64)?;
    within("bytes_max", queue.bytes_max, 1, u64::MAX)?;
    within("messages_max", queue.messages_max, 1, u64::MAX)
}

fn check_stream(stream: &StreamPolicy) -> Result<(), Rejection> {
    if let Some(age_ms) = stream.retention.age_ms {
        within("retention.age_ms", age_ms, 1, u64::MAX)?;
    }
    if let Some(bytes) = stream.retention.bytes {
        within("retention.bytes", bytes, 1, u64::MAX)?;
    }
    let groups = &stream.retention.groups;
    within("retention.groups", groups.len() as u64, 0, RETENTION_GROUPS_MAX as u64)?;
    groups.iter().try_for_each(|group| check_name(group))?;
    if stream.compaction.enabled {
        // The last record of a key would go as soon as it is read.
        within("retention.groups of a compacted stream", groups.len() as u64, 0, 0)?;
    }
    within("compaction.after_ms", stream.compaction.after_ms, 0, COMPACTION_MS_MAX)?;
    within("compaction.tombstone_ms", stream.compaction.tombstone_ms, 0, COMPACTION_MS_MAX)
}

fn within(setting: &str, value: u64, min: u64, max: u64) -> Result<(), Rejection> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Rejection::InvalidPolicy { setting: setting.to_owned(), value, min, max })
}

/// Sets one setting; rejected when the topic is of the other kind. Bounds are for [`check`].
pub(crate) fn change(topic: &mut Topic, change: &PolicyChange) -> Result<(), Rejection> {
    let (setting, wanted) = describe(change);
    match &mut topic.policy {
        TopicPolicy::Queue(queue) if wanted == TopicKind::Queue => change_queue(queue, change),
        TopicPolicy::Stream(stream) if wanted == TopicKind::Stream => change_stream(stream, change),
        _ => {
            return Err(Rejection::WrongKind {
                name: topic.name.clone(),
                is: topic.policy.kind(),
                wanted,
                setting: setting.to_owned(),
            });
        }
    }
    Ok(())
}

fn change_queue(queue: &mut QueuePolicy, change: &PolicyChange) {
    match *change {
        PolicyChange::MaxInflightPerKey(count) => queue.max_inflight_per_key = count,
        PolicyChange::LeaseMs(ms) => queue.lease_ms = ms,
        PolicyChange::AttemptsMax(count) => queue.attempts_max = count,
        PolicyChange::Backoff(backoff) => queue.backoff = backoff,
        PolicyChange::TtlMs(ms) => queue.ttl_ms = ms,
        PolicyChange::Park(park) => queue.park = park,
        PolicyChange::BytesMax(bytes) => queue.bytes_max = bytes,
        PolicyChange::MessagesMax(count) => queue.messages_max = count,
        PolicyChange::MaxInflight(count) => queue.max_inflight = count,
        PolicyChange::MaxInflightPerSession(count) => queue.max_inflight_per_session = count,
        PolicyChange::KeepMs(ms) => queue.keep_ms = ms,
        PolicyChange::KeepBytesMax(bytes) => queue.keep_bytes_max = bytes,
        PolicyChange::FairBy(ref header) => queue.fair_by.clone_from(header),
        PolicyChange::RetentionAgeMs(_)
        | PolicyChange::RetentionBytes(_)
        | PolicyChange::RetentionGroups(_)
        | PolicyChange::Compact(_)
        | PolicyChange::CompactAfterMs(_)
        | PolicyChange::TombstoneMs(_) => {
            unreachable!("`describe` says that these are for streams")
        }
    }
}

fn change_stream(stream: &mut StreamPolicy, change: &PolicyChange) {
    match change {
        PolicyChange::RetentionAgeMs(ms) => stream.retention.age_ms = *ms,
        PolicyChange::RetentionBytes(bytes) => stream.retention.bytes = *bytes,
        PolicyChange::RetentionGroups(groups) => stream.retention.groups.clone_from(groups),
        PolicyChange::Compact(enabled) => stream.compaction.enabled = *enabled,
        PolicyChange::CompactAfterMs(ms) => stream.compaction.after_ms = *ms,
        PolicyChange::TombstoneMs(ms) => stream.compaction.tombstone_ms = *ms,
        _ => unreachable!("`describe` says that the others are for queues"),
    }
}

/// The setting's name and the kind of topic that it is for.
fn describe(change: &PolicyChange) -> (&'static str, TopicKind) {
    match change {
        PolicyChange::MaxInflightPerKey(_) => ("max_inflight_per_key", TopicKind::Queue),
        PolicyChange::LeaseMs(_) => ("lease_ms", TopicKind::Queue),
        PolicyChange::AttemptsMax(_) => ("attempts_max", TopicKind::Queue),
        PolicyChange::Backoff(_) => ("backoff", TopicKind::Queue),
        PolicyChange::TtlMs(_) => ("ttl_ms", TopicKind::Queue),
        PolicyChange::Park(_) => ("park", TopicKind::Queue),
        PolicyChange::BytesMax(_) => ("bytes_max", TopicKind::Queue),
        PolicyChange::MessagesMax(_) => ("messages_max", TopicKind::Queue),
        PolicyChange::MaxInflight(_) => ("max_inflight", TopicKind::Queue),
        PolicyChange::MaxInflightPerSession(_) => ("max_inflight_per_session", TopicKind::Queue),
        PolicyChange::KeepMs(_) => ("keep_ms", TopicKind::Queue),
        PolicyChange::KeepBytesMax(_) => ("keep_bytes_max", TopicKind::Queue),
        PolicyChange::FairBy(_) => ("fair_by", TopicKind::Queue),
        PolicyChange::RetentionAgeMs(_) => ("retention.age_ms", TopicKind::Stream),
        PolicyChange::RetentionBytes(_) => ("retention.bytes", TopicKind::Stream),
        PolicyChange::RetentionGroups(_) => ("retention.groups", TopicKind::Stream),
        PolicyChange::Compact(_) => ("compaction.enabled", TopicKind::Stream),
        PolicyChange::CompactAfterMs(_) => ("compaction.after_ms", TopicKind::Stream),
        PolicyChange::TombstoneMs(_) => ("compaction.tombstone_ms", TopicKind::Stream),
    }
}
