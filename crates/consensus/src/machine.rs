//! The replicated machine, as consensus sees it.

use bytes::Bytes;
use weir_types::{Corrupt, LogIndex, Row, RowChange, Term};

/// Where an entry stands in a group's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntryPosition {
    /// Term of the leader that appended it.
    pub term: Term,
    /// Its index.
    pub index: LogIndex,
}

/// A replicated machine. One lives behind a mutex per replica; consensus calls it from the group's apply task
/// and the broker may lock it briefly to read.
///
/// `apply` must be deterministic: the same entries in the same order give the same rows on every replica.
pub trait Machine: Send + Sized + 'static {
    /// What the proposer of an entry gets back, on the node where it proposed.
    type Reply: Send + 'static;

    /// Rebuilds the machine from all of its rows, in key order. Rows whose key starts with
    /// [`RESERVED_PREFIX`](crate::RESERVED_PREFIX) are consensus's own and are not among them.
    fn restore(rows: Vec<Row>) -> Result<Self, Corrupt>;

    /// Applies one committed entry. What it pushes to `changes` is written atomically with the applied
    /// position. Keys must not start with [`RESERVED_PREFIX`](crate::RESERVED_PREFIX). An error or a panic
    /// stops the replica, which is then rebuilt from the store.
    fn apply(
        &mut self,
        position: EntryPosition,
        payload: &Bytes,
        changes: &mut Vec<RowChange>,
    ) -> Result<Self::Reply, Corrupt>;

    /// Called after each batch of applied entries, after a snapshot was installed, and when a replica is opened that has
    /// applied something before, on every replica: the place to wake waiters. Must not block.
    fn applied(&mut self, last: LogIndex) {
        let _ = last;
    }

    /// The first index whose entry the machine may still read; everything below may be deleted. Asked after
    /// each batch, so it must be cheap. It never falls.
    fn retained_from(&self) -> LogIndex;
}
