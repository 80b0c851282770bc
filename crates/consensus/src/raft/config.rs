//! openraft's settings. Each departs from the default for a measured reason.

use std::time::Duration;

use openraft::{Config, SnapshotPolicy};
use weir_types::GroupId;

use crate::Timings;

/// The settings of one group.
pub(crate) fn raft_config(group: GroupId, timings: &Timings) -> Config {
    let ms = |duration: Duration| duration.as_millis() as u64;
    Config {
        cluster_name: format!("weir-g{group}"),
        heartbeat_interval: ms(timings.heartbeat),
        election_timeout_min: ms(timings.election_min),
        election_timeout_max: ms(timings.election_max),
        enable_pre_vote: Some(true),
        // Applied state and the committed pointer are not synced, so a leader that resumed its old term could
        // serve a stale read; a new election writes a first entry that covers everything.
        enable_leader_restore: Some(false),
        // Snapshots are handles, taken by our own driver, and the purge pointer moves by bytes.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX / 2,
        purge_batch_size: 1,
        max_payload_entries: 1024,
        max_append_entries: Some(1024),
        log_stage_capacity: Some(16),
        api_channel_size: Some(1024),
        notification_channel_size: Some(4096),
        state_machine_channel_size: Some(256),
        // A snapshot takes as long as it takes; our own stall timeouts watch its connection.
        install_snapshot_timeout: 3_600_000,
        // Ours is where hearts are made to beat (liveness/quiet.rs): openraft would take a quiet group for one without majority.
        quorum_loss_probe_interval: None,
        backoff: "50ms 100ms 200ms 400ms ...1s".to_owned(),
        allow_log_reversion: None,
        ..Config::default()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn openraft_accepts_our_settings() {
        raft_config(GroupId(7), &Timings::default()).validate().unwrap();
    }
}
