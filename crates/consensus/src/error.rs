//! What can go wrong, as callers need to know it.

use weir_types::{Corrupt, GroupId, NodeId};

/// An operation on the registry or on a group's membership failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The peer port could not be opened.
    #[error("cannot listen for peers on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The store failed; the node is about to stop.
    #[error("store: {0}")]
    Store(#[from] weir_storage::Error),
    /// Rows or entries that no correct machine can have written.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
    /// The group is open already, with another replica id, class or machine type.
    #[error("group {group} is already open as another replica")]
    AlreadyOpen {
        /// The group.
        group: GroupId,
    },
    /// Another replica leads.
    #[error("not the leader; leader: {leader:?}")]
    NotLeader {
        /// The node that leads, when known.
        leader: Option<NodeId>,
    },
    /// The operation did not finish in time or its outcome is unknown; it is safe to repeat.
    #[error("outcome unknown: {reason}")]
    Unfinished {
        /// What was waited for.
        reason: String,
    },
    /// The request can never succeed as it is.
    #[error("rejected: {reason}")]
    Rejected {
        /// Why.
        reason: String,
    },
    /// The replica, or the whole registry, has stopped.
    #[error("stopped")]
    Stopped,
}

impl Error {
    /// Whether what is on disk is not what was written: to try again changes nothing.
    pub(crate) fn is_damage(&self) -> bool {
        use weir_storage::Error::{Corrupt, Hole};
        matches!(self, Self::Corrupt(_) | Self::Store(Corrupt(_) | Hole { .. }))
    }
}

/// Why a proposal or a read barrier did not succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Nothing was proposed: another replica leads, or none does at the moment.
    #[error("not the leader; leader: {leader:?}")]
    NotLeader {
        /// The node to ask instead, when known.
        leader: Option<NodeId>,
    },
    /// The entry may or may not be committed: retry with the same ids.
    #[error("outcome unknown: leadership changed while the entry was in flight")]
    OutcomeUnknown,
    /// Nothing was proposed: too many entries or bytes are in flight in this group.
    #[error("too much in flight")]
    Overloaded,
    /// Nothing was proposed: the replica has stopped.
    #[error("stopped")]
    Stopped,
}

/// Why entries or rows could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Rows that consensus cannot have written.
    #[error("rows: {0}")]
    Rows(#[from] std::io::Error),
    /// The entry was retired, or another entry stands at its index.
    #[error("entry is gone")]
    Gone,
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] weir_storage::Error),
}
