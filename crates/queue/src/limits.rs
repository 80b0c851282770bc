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
