//! Bounds of the coordinator that no other part needs; the shared ones are in `weir_types::limits`.

/// Most consumer groups in one shard.
pub const GROUPS_MAX: usize = 100_000;
/// Most topics whose partitions one shard knows.
pub const TOPICS_MAX: usize = 10_000;
/// Most topics that one member subscribes to.
pub const MEMBER_TOPICS_MAX: usize = 100;
/// Longest member id, in bytes.
pub const MEMBER_ID_BYTES_MAX: usize = 200;
/// Shortest session.
pub const SESSION_MS_MIN: u64 = 1_000;
/// Longest session: half an hour.
pub const SESSION_MS_MAX: u64 = 30 * 60 * 1000;
