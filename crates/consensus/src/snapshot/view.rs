//! What a replica holds at one position, frozen to be read.

use std::io;

use weir_storage::Export;
use weir_types::LogIndex;
use weir_types::mutants::{self, Mutant};

use crate::raft::{Shared, SnapshotMeta};

/// Bytes of one chunk of it.
pub(crate) const CHUNK_BYTES_MAX: usize = 512 << 10;

/// A consistent view of a replica, and the position that it is a view of.
pub(crate) struct View {
    pub(crate) export: Export,
    pub(crate) meta: SnapshotMeta,
    pub(crate) retained_from: LogIndex,
}

impl View {
    /// Under the gate nothing is applied, so rows, position and retained entries agree.
    pub(crate) async fn take(shared: &Shared) -> io::Result<Self> {
        let _gate = shared.gate.lock().await;
        shared.check_fence()?;
        let applied = shared.applied();
        let end = applied.last.map_or(0, |last| last.index() + 1);
        let retained_from = if mutants::on(Mutant::M28) { end } else { shared.machine.retained_from().0 };
        let retained_from = LogIndex(retained_from.min(end));
        let export = shared.store.export(retained_from.0..end).await.map_err(io::Error::other)?;
        let meta = SnapshotMeta { last_log_id: applied.last, last_membership: applied.membership };
        Ok(Self { export, meta, retained_from })
    }
}
