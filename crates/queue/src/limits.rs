//! Bounds that only this machine knows; the shared ones are in [`weir_types::limits`].

/// Message ids remembered per partition for dedup: beyond it producers that send ids have to wait.
pub const DEDUP_IDS_REMEMBERED_MAX: usize = 1_000_000;
/// Sessions per partition, open or ending.
pub const SESSIONS_PER_PARTITION_MAX: usize = 10_000;
/// Bytes kept of the reason that a consumer gives with a reject.
pub const REASON_BYTES_MAX: usize = 256;
/// Highest priority of a message.
pub const PRIORITY_MAX: u8 = 9;
/// Most items in one settle.
pub const SETTLE_ITEMS_MAX: usize = 65_536;
/// Most messages in one answer of a peek or a list.
pub const PEEK_MESSAGES_MAX: usize = 10_000;
/// Runs of kept messages per partition: a run is what was acked together of one record batch.
pub const KEPT_RUNS_MAX: usize = 1_000_000;
/// Kept messages whose times are this close go together, with the last of them.
pub const KEPT_TOGETHER_MS: u64 = 60_000;
/// An idle partition lets kept messages go so late.
pub const KEPT_LATE_MS: u64 = 10_000;
/// Replays per partition that are remembered, so that a repeated one does not begin anew.
pub const REPLAYS_REMEMBERED_MAX: usize = 1_000;
/// Highest lease that a partition can inherit: no counter comes near it.
pub const LEASE_BASE_MAX: u64 = 1 << 62;
/// Most keys, and most dedup ids, that a partition hands to a child in one step.
pub const INHERITED_PER_STEP_MAX: usize = 50_000;
