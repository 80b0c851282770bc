//! What goes in and out of a group's log.

use bytes::Bytes;
use weir_types::{LogIndex, Term};

/// How the entries of a group die, which decides where they live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogClass {
    /// Retained for a time and dropped as whole files: stored in time buckets.
    Stream,
    /// Short-lived (queues, the metadata group, coordinators): most die before they reach a table file.
    Queue,
}

/// One entry of a Raft log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRecord {
    /// Its place.
    pub index: LogIndex,
    /// The term it was proposed in.
    pub term: Term,
    /// What kind of entry it is; the meaning is consensus's.
    pub kind: u8,
    /// Its bytes, at most `limits::ENTRY_BYTES_MAX` and a little.
    pub payload: Bytes,
}

impl LogRecord {
    /// Where the entry stands.
    pub fn position(&self) -> LogPosition {
        LogPosition { index: self.index, term: self.term }
    }
}

/// Index and term of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Its place.
    pub index: LogIndex,
    /// Its term.
    pub term: Term,
}

/// What a group has on disk, as [`crate::GroupStore::load`] finds it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GroupState {
    /// The vote last saved.
    pub vote: Option<Bytes>,
    /// The committed pointer last saved; may lag after a crash.
    pub committed: Option<Bytes>,
    /// The purged pointer last saved; may lag after a crash.
    pub purged: Option<Bytes>,
    /// The first entry that is there.
    pub first: Option<LogPosition>,
    /// The last entry that is there.
    pub last: Option<LogPosition>,
    /// The group was destroyed here and nothing was written since.
    pub destroyed: bool,
}

/// On whose behalf a log is read: the label of the tail-cache counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reader {
    /// Sending entries to other replicas.
    #[default]
    Replication,
    /// Applying committed entries.
    Apply,
    /// Serving consumers.
    Fetch,
}

impl Reader {
    /// The label's text.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Replication => "replication",
            Self::Apply => "apply",
            Self::Fetch => "fetch",
        }
    }
}
