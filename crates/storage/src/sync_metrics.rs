//! What one sync carried: the counters that explain throughput.

use std::collections::BTreeSet;
#[expect(clippy::disallowed_types, reason = "measures only; nothing is decided by it")]
use std::time::Instant;

use weir_types::GroupId;

#[expect(clippy::disallowed_types, reason = "measures only; nothing is decided by it")]
#[derive(Default)]
pub(crate) struct SyncMetrics {
    entries: usize,
    groups: BTreeSet<GroupId>,
    bytes: usize,
    begun: Option<Instant>,
}

impl SyncMetrics {
    pub(crate) fn appended(&mut self, group: GroupId, entries: usize) {
        self.entries += entries;
        self.groups.insert(group);
    }

    #[expect(clippy::disallowed_types, reason = "measures only; nothing is decided by it")]
    pub(crate) fn begin(&mut self, bytes: usize) {
        self.bytes = bytes;
        self.begun = Some(Instant::now());
    }

    /// The sync is over.
    pub(crate) fn synced(&self) {
        let seconds = self.begun.map_or(0.0, |begun| begun.elapsed().as_secs_f64());
        metrics::histogram!("weir_storage_sync_seconds").record(seconds);
        metrics::histogram!("weir_storage_sync_entries").record(f64::from(self.entries as u32));
        metrics::histogram!("weir_storage_sync_groups").record(f64::from(self.groups.len() as u32));
        metrics::histogram!("weir_storage_sync_bytes").record(f64::from(self.bytes as u32));
    }
}
