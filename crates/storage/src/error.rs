//! What can go wrong in the store, by what happened.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use weir_types::{ClusterId, ErrorKind, GroupId, LogIndex, NodeId};

use crate::LogClass;

/// An error of the store. Cheap to clone, because a failed write answers every caller of its batch.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused something.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, with the path.
        what: String,
        /// The system's answer.
        source: Arc<io::Error>,
    },
    /// The engine refused something; its own words.
    #[error("storage engine: {0}")]
    Engine(String),
    /// Stored bytes are damaged.
    #[error("corrupt store: {0}")]
    Corrupt(String),
    /// An earlier write or sync failed, so that its outcome is unknown: the node must stop and restart.
    #[error("an earlier write failed, the store takes no more: {first}")]
    Failed {
        /// The text of the first failure.
        first: String,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// Another process holds the directory.
    #[error("data directory {} is used by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The directory belongs to another node.
    #[error("data directory belongs to node {found}, not to node {expected}")]
    OtherNode {
        /// Who owns it.
        found: NodeId,
        /// Who asked.
        expected: NodeId,
    },
    /// The directory belongs to a node of another cluster.
    #[error("data directory belongs to cluster {found}, not to cluster {expected}")]
    OtherCluster {
        /// The cluster it belongs to.
        found: ClusterId,
        /// The cluster of who asked.
        expected: ClusterId,
    },
    /// There are data but no superblock: without it nobody can tell whether acknowledged writes are missing.
    #[error("data directory {} has a database but no superblock", path.display())]
    SuperblockMissing {
        /// The directory.
        path: PathBuf,
    },
    /// The opaque node info does not fit the superblock.
    #[error("node info of {bytes} bytes exceeds limit {bytes_max}")]
    NodeInfoTooLarge {
        /// Its size.
        bytes: usize,
        /// The most that fits.
        bytes_max: usize,
    },
    /// The entry was retired, or replaced by a snapshot that begins later.
    #[error("entry {index} of group {group} is retired: the log begins at {first}")]
    Retired {
        /// The group.
        group: GroupId,
        /// The index asked for.
        index: LogIndex,
        /// The first index that is still there, or would be.
        first: LogIndex,
    },
    /// An entry that must be there is not.
    #[error("entry {index} of group {group} is missing")]
    Hole {
        /// The group.
        group: GroupId,
        /// The index that is missing.
        index: LogIndex,
    },
    /// An append does not continue the log.
    #[error("append to group {group} at index {found}, but the log continues at {expected}")]
    NotContiguous {
        /// The group.
        group: GroupId,
        /// The index that would continue it.
        expected: LogIndex,
        /// The index that came.
        found: LogIndex,
    },
    /// The group is stored as the other class.
    #[error("group {group} is stored as {stored:?}, not as {asked:?}")]
    WrongClass {
        /// The group.
        group: GroupId,
        /// Its class on disk.
        stored: LogClass,
        /// The class asked for.
        asked: LogClass,
    },
    /// A snapshot is damaged, cut short or of another group: start over.
    #[error("snapshot refused: {0}")]
    SnapshotInvalid(String),
    /// The disk is too full to take more data.
    #[error("disk is full: {free_bytes} bytes free, {needed_bytes} needed")]
    DiskFull {
        /// Bytes free now.
        free_bytes: u64,
        /// Bytes that must be free before data are taken again.
        needed_bytes: u64,
    },
}

impl Error {
    /// An IO error with what was being done.
    pub(crate) fn io(what: impl Into<String>, source: io::Error) -> Self {
        Self::Io { what: what.into(), source: Arc::new(source) }
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Engine(_) | Self::Failed { .. } => ErrorKind::OutcomeUnknown,
            Self::Corrupt(_) | Self::SuperblockMissing { .. } | Self::Hole { .. } => ErrorKind::Corrupt,
            Self::Closed => ErrorKind::Retry,
            Self::Locked { .. }
            | Self::OtherNode { .. }
            | Self::OtherCluster { .. }
            | Self::NodeInfoTooLarge { .. }
            | Self::SnapshotInvalid(_) => ErrorKind::Invalid,
            Self::Retired { .. } => ErrorKind::NotFound,
            Self::NotContiguous { .. } | Self::WrongClass { .. } => ErrorKind::Internal,
            Self::DiskFull { .. } => ErrorKind::OutOfSpace,
        }
    }
}
