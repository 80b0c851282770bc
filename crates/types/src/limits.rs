//! Every bound of the product in one place, the unit in the name. `docs/LIMITS.md` explains them to users.

/// Largest record: key, value and headers together.
pub const RECORD_BYTES_MAX: usize = 1 << 20;
/// Largest message key.
pub const KEY_BYTES_MAX: usize = 64 << 10;
/// Largest record batch, as sent (compressed).
pub const BATCH_BYTES_MAX: usize = 4 << 20;
/// Largest record batch once decompressed: stops decompression bombs at the door.
pub const BATCH_UNCOMPRESSED_BYTES_MAX: usize = 32 << 20;
/// Most records in a batch.
pub const BATCH_RECORDS_MAX: u32 = 65_536;
/// Largest drain of a partition's mailbox into one Raft entry; one batch always fits.
pub const ENTRY_BYTES_MAX: usize = 5 << 20;
/// Most commands in one Raft entry.
pub const ENTRY_COMMANDS_MAX: usize = 4_096;
/// Headers per record.
pub const RECORD_HEADERS_MAX: usize = 128;
/// Longest topic or consumer-group name, in bytes.
pub const NAME_BYTES_MAX: usize = 200;
/// Most partitions of one topic.
pub const TOPIC_PARTITIONS_MAX: u32 = 1_024;
/// Most replicas of a partition.
pub const REPLICAS_MAX: u32 = 7;
/// Batches remembered per producer and partition, for exact dedup.
pub const PRODUCER_BATCHES_REMEMBERED_MAX: usize = 64;
/// Idempotent producers remembered per partition; the one quiet for longest is forgotten first.
pub const PRODUCERS_PER_PARTITION_MAX: usize = 100_000;
/// Longest total time one lease may be extended to: 12 hours.
pub const LEASE_MS_MAX: u64 = 12 * 3600 * 1000;
/// Longest delay of a message: one year.
pub const DELAY_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// Most messages leased at once in a partition.
pub const LEASES_PER_PARTITION_MAX: usize = 1_000_000;
/// Batches in the outbox of a partition: beyond it an ack-and-append or a commit-and-append has to wait.
pub const OUTBOX_BATCHES_MAX: usize = 100_000;
/// Bytes in the outbox of a partition.
pub const OUTBOX_BYTES_MAX: u64 = 256 << 20;
/// Most batches that one step puts into the outbox.
pub const OUTPUTS_MAX: usize = 1_024;
/// Most messages in one lease request.
pub const LEASE_MESSAGES_MAX: u32 = 1_024;
/// Longest long poll.
pub const POLL_MS_MAX: u64 = 20_000;
/// Grace for a lost consumer session before its leases return.
pub const SESSION_GRACE_MS: u64 = 10_000;
/// Request ids remembered per queue partition, so that a retried request gets the same answer.
pub const REQUESTS_REMEMBERED_MAX: usize = 10_000;
/// How long message ids and request ids are remembered: five minutes of the lease clock.
pub const DEDUP_WINDOW_MS: u64 = 5 * 60 * 1000;
/// Timers fired in one entry, so that an entry's cost is bounded.
pub const TIMERS_PER_ENTRY_MAX: usize = 10_000;
/// Most consumer groups that a stream's retention waits for.
pub const RETENTION_GROUPS_MAX: usize = 16;
/// Longest name of the header that names a message's tenant, in bytes.
pub const TENANT_HEADER_BYTES_MAX: usize = 200;
/// Longest time that compaction leaves a record, or a deleted key, alone: one year.
pub const COMPACTION_MS_MAX: u64 = 366 * 24 * 3600 * 1000;
/// Most members of one consumer group.
pub const GROUP_MEMBERS_MAX: usize = 1_000;
/// Clamp of one observation of the leader's monotonic clock.
pub const LEASE_CLOCK_STEP_MS_MAX: u64 = 1_000;
/// How far a leader's wall clock may be from the median of the voters' clocks.
pub const WALL_CLOCK_APART_MS_MAX: u64 = 500;

/// Whether `name` may name a topic or a consumer group: 1 to 200 of `a-z A-Z 0-9 . _ -`, not starting with
/// a dot or a dash.
pub fn name_is_valid(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= NAME_BYTES_MAX
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}
