//! The stream's own bounds; those that users see are in [`weir_types::limits`].

/// Batches in one row of the index. All come from one entry; more of them make a second row, so that writing a row
/// anew for each of an entry's batches stays cheap.
pub const RUN_BATCHES_MAX: usize = 64;
/// Batches retired after one command; the rest waits for the next command, or for a tick that is due at once.
pub const RETIRE_BATCHES_PER_COMMAND_MAX: usize = 1_024;
/// A producer is forgotten when it has appended nothing for so long on the lease clock: 7 days.
pub const PRODUCER_QUIET_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Quiet producers forgotten after one command: each may leave 64 rows to delete.
pub const PRODUCERS_FORGOTTEN_PER_COMMAND_MAX: usize = 16;
/// Most consumer groups with a position in a partition, deleted ones whose epoch is still known included.
pub const GROUPS_PER_PARTITION_MAX: usize = 10_000;
/// Largest metadata of a committed offset.
pub const COMMIT_METADATA_BYTES_MAX: usize = 4_096;

const _: () = assert!(RUN_BATCHES_MAX <= RETIRE_BATCHES_PER_COMMAND_MAX, "a row is retired as a whole");
