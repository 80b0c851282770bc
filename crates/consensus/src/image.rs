//! A group as it is at one moment, taken out of the replica that holds it: what a backup keeps.

use std::io;

use bytes::Bytes;
use weir_storage::Export;
use weir_types::{LogIndex, Term};

use crate::replica::Replica;
use crate::snapshot::{CHUNK_BYTES_MAX, View};
use crate::{EntryPosition, ReadError};

/// The rows and the retained entries of a group, as a stream of bytes: the one that a replica sends to another as a
/// snapshot, with counts and a checksum at its end. While it lives it keeps what it reads: drop it when done.
///
/// What it says of the group's members is of no use to another group: see [`Seed`](crate::Seed).
pub struct Image {
    position: EntryPosition,
    export: Export,
}

impl Image {
    pub(crate) async fn take(replica: &Replica) -> Result<Self, ReadError> {
        let core = replica.core().ok_or_else(|| io::Error::other("the replica is not running"))?;
        let View { export, meta, .. } = View::take(&core.shared).await?;
        let last = meta.last_log_id.ok_or(ReadError::Gone)?;
        let position =
            EntryPosition { term: Term(**last.committed_leader_id()), index: LogIndex(last.index()) };
        Ok(Self { position, export })
    }

    /// The last entry whose effects are in it.
    pub fn position(&self) -> EntryPosition {
        self.position
    }

    /// The next bytes, at most 512 KiB; none at the end.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, ReadError> {
        Ok(self.export.next_chunk(CHUNK_BYTES_MAX).await?)
    }
}
