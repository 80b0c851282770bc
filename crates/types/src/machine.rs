//! What every pure machine takes and gives (`queue`, `stream`, `groups`, `metadata`).
//!
//! ```text
//! (At, Command) ──► apply ──► Result<Reply, Rejection>
//!                     │
//!                     ├─ out.changes: rows, written with the applied index in one batch on every replica
//!                     └─ out.effects: hints for the leader alone; losing or repeating one is harmless
//! ```

use serde::{Deserialize, Serialize};

use crate::{LeaseClock, LogIndex, Term, WallClock};

/// Where and when a command takes effect: stamped by the leader into the replicated entry, so equal on every
/// replica. Both clocks never fall from one entry to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct At {
    /// Term of the entry.
    pub term: Term,
    /// Index of the entry.
    pub index: LogIndex,
    /// The lease clock after this entry's advance.
    pub lease_clock: LeaseClock,
    /// The wall clock after this entry's advance.
    pub wall_clock: WallClock,
}

/// Where the bytes of a record batch lie: in the bodies of one entry of the group's own Raft log, which is the
/// only copy. The term is checked on every read: after a suffix was overwritten one index has existed twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pointer {
    /// Term of the entry.
    pub term: Term,
    /// Index of the entry.
    pub index: LogIndex,
    /// Where the batch starts, in bytes from the start of the entry's bodies.
    pub position: u32,
    /// Length of the batch in bytes.
    pub length: u32,
}

/// A row of a machine's state, as stored. Keys sort as bytes; the machine owns their layout.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Row {
    /// Key, unique within the group.
    pub key: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RowChange {
    /// Key, unique within the group.
    pub key: Vec<u8>,
    /// The new value, or none to delete the row.
    pub value: Option<Vec<u8>>,
}

impl RowChange {
    /// Writes `value` under `key`.
    pub fn put(key: Vec<u8>, value: Vec<u8>) -> Self {
        Self { key, value: Some(value) }
    }

    /// Removes the row under `key`.
    pub fn delete(key: Vec<u8>) -> Self {
        Self { key, value: None }
    }
}

/// What applying commands leaves to do. One output may gather several commands; later changes of a key win.
#[derive(Debug)]
pub struct Output<Effect> {
    /// Rows to write, in order, atomically with the applied index.
    pub changes: Vec<RowChange>,
    /// Hints for the leader's runtime.
    pub effects: Vec<Effect>,
}

impl<Effect> Default for Output<Effect> {
    fn default() -> Self {
        Self { changes: Vec::new(), effects: Vec::new() }
    }
}

/// When a machine next has to be ticked, on each clock. The runtime sleeps until the earlier one and proposes a
/// tick; none means that nothing is waiting for time to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadlines {
    /// On the lease clock.
    pub lease: Option<LeaseClock>,
    /// On the wall clock.
    pub wall: Option<WallClock>,
}

/// Rows or a log that no correct machine can have written. The only error of a machine; the replica stops.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("corrupt state: {0}")]
pub struct Corrupt(pub String);
