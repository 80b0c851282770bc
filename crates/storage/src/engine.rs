//! What the store needs of a database: one ordered map per family, atomic batches in one write-ahead log, and
//! consistent views. `RocksDB` and the memory twin stand behind it.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;

use crate::Error;
use crate::tables::entry::HEAD_BYTES;

/// A family of keys with options of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    /// Entries of stream groups, in time buckets.
    StreamLog,
    /// Entries of all other groups.
    QueueLog,
    /// Groups, segments, counters, node rows: small, read whole at open.
    Meta,
    /// Rows of the machines.
    Rows,
}

impl Family {
    pub(crate) const ALL: [Self; 4] = [Self::StreamLog, Self::QueueLog, Self::Meta, Self::Rows];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::StreamLog => "stream_log",
            Self::QueueLog => "queue_log",
            Self::Meta => "meta",
            Self::Rows => "rows",
        }
    }
}

/// One change within a batch.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Put {
        family: Family,
        key: Vec<u8>,
        value: Vec<u8>,
    },
    /// A log entry: kept in two parts, so that the payload is copied only into the engine.
    Entry {
        family: Family,
        key: Vec<u8>,
        head: [u8; HEAD_BYTES],
        payload: Bytes,
    },
    Delete {
        family: Family,
        key: Vec<u8>,
    },
    DeleteRange {
        family: Family,
        keys: Range<Vec<u8>>,
    },
}

/// Changes that happen together or not at all, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Batch {
    edits: Vec<Edit>,
    bytes: usize,
    /// Wait for the disk.
    pub(crate) sync: bool,
}

impl Batch {
    pub(crate) fn put(&mut self, family: Family, key: Vec<u8>, value: Vec<u8>) {
        self.bytes += key.len() + value.len();
        self.edits.push(Edit::Put { family, key, value });
    }

    pub(crate) fn entry(&mut self, family: Family, key: Vec<u8>, head: [u8; HEAD_BYTES], payload: Bytes) {
        self.bytes += key.len() + head.len() + payload.len();
        self.edits.push(Edit::Entry { family, key, head, payload });
    }

    pub(crate) fn delete(&mut self, family: Family, key: Vec<u8>) {
        self.bytes += key.len();
        self.edits.push(Edit::Delete { family, key });
    }

    pub(crate) fn delete_range(&mut self, family: Family, keys: Range<Vec<u8>>) {
        self.bytes += keys.start.len() + keys.end.len();
        self.edits.push(Edit::DeleteRange { family, keys });
    }

    pub(crate) fn edits(&self) -> &[Edit] {
        &self.edits
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// A database. Calls block; none is made on an async worker.
pub(crate) trait Engine: Send + Sync + 'static {
    /// Writes a batch, and when it says so returns only after the sync. After an error the outcome is unknown
    /// and nothing more may be written.
    fn write(&self, batch: Batch) -> Result<(), Error>;

    /// The sequence number of the last write: it never falls while no write is lost.
    fn sequence(&self) -> u64;

    /// Everything written so far, unchanged by what is written later.
    fn view(&self) -> Arc<dyn View>;

    /// Begins to move what a family holds in memory to a table file, without waiting for it.
    fn seal(&self, family: Family) -> Result<(), Error>;

    /// Drops table files that lie wholly within `keys`. Views do not protect them: the caller does.
    fn drop_files(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<(), Error>;

    /// Bytes of a family's table files.
    fn table_bytes(&self, family: Family) -> Result<u64, Error>;

    /// About how many bytes of table files each range of keys takes.
    fn approximate_bytes(&self, family: Family, ranges: &[Range<Vec<u8>>]) -> Vec<u64>;

    /// Bytes that are on their way from memory to a table file: deletions that come now do not keep them out of it.
    fn flushing_bytes(&self, family: Family) -> u64;

    /// Rewrites what deletions cover, so that its space comes back; range deletions alone never cause that. May
    /// take long, and ends early after [`Self::halt`].
    fn compact(&self, family: Family);

    /// Ends work in the background: the store is about to be closed.
    fn halt(&self);

    /// Bytes free where the data live.
    fn free_bytes(&self) -> Result<u64, Error>;
}

/// Called with each key and value of a scan, until it breaks.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, Error>;

/// A consistent picture of the database.
pub(crate) trait View: Send + Sync + 'static {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error>;

    /// Visits the keys of a range in order. About `expected_bytes` will be looked at: how far to read ahead.
    fn scan(
        &self,
        family: Family,
        keys: &Range<Vec<u8>>,
        expected_bytes: usize,
        visit: Visit<'_>,
    ) -> Result<(), Error>;

    /// The last key of a range, with its value.
    fn last(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error>;
}
