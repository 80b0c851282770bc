//! One suite that both engines pass: what the store promises, whatever stands behind it.

#![expect(clippy::unwrap_used, reason = "a failed step is a failed test")]

mod crash;
mod disk_files;
mod identity;
mod log;
mod model;
mod rows;
mod snapshot;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::sync::oneshot;
use weir_types::{GroupId, LogIndex, RowChange, Term};

use crate::{Backend, GroupStore, LogClass, LogRecord, MemoryDisk, Options, Recovered, Store};

/// Runs each test once per engine.
macro_rules! both_engines {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test(crate::suite::Disk::memory()).await; })*
        }
        mod rocks {
            $(#[tokio::test] async fn $test() { super::$test(crate::suite::Disk::rocks()).await; })*
        }
    };
}
pub(crate) use both_engines;

const BOTH_CLASSES: [LogClass; 2] = [LogClass::Stream, LogClass::Queue];
const GROUP: GroupId = GroupId(7);

/// Where a store under test keeps its data.
enum Disk {
    Memory(MemoryDisk),
    Rocks(TempDir),
}

impl Disk {
    fn memory() -> Self {
        Self::Memory(MemoryDisk::new())
    }

    fn rocks() -> Self {
        Self::Rocks(tempfile::tempdir().unwrap())
    }

    /// Small buckets and no cache to speak of, so that a test crosses many of them and reads the disk.
    fn options(&self) -> Options {
        let mut options = match self {
            Self::Memory(disk) => Options::memory(disk.clone()),
            Self::Rocks(dir) => Options::rocks(dir.path()),
        };
        if let Backend::Rocks(rocks) = &mut options.backend {
            rocks.ballast_bytes = 0;
        }
        options.bucket_bytes = 4 << 10;
        options.tail_cache_bytes_max = 1 << 10;
        options.free_bytes_min = 0;
        options
    }

    async fn open(&self) -> Store {
        self.recover().await.0
    }

    async fn recover(&self) -> (Store, Recovered) {
        Store::start(self.options()).await.unwrap()
    }

    /// Ends this life of the store as hard as the engine can within a process, and begins the next.
    async fn restart(&self, store: Store) -> Store {
        if let Self::Memory(disk) = self {
            disk.crash();
        }
        store.close().await;
        drop(store);
        self.open().await
    }
}

fn record(index: u64, term: u64) -> LogRecord {
    let payload = Bytes::from(format!("{term}/{index}").repeat(40));
    LogRecord { index: LogIndex(index), term: Term(term), kind: 1, payload }
}

fn records(indexes: std::ops::Range<u64>, term: u64) -> Vec<LogRecord> {
    indexes.map(|index| record(index, term)).collect()
}

/// Appends and waits for the sync.
async fn append(group: &GroupStore, records: Vec<LogRecord>) {
    let (done, synced) = oneshot::channel();
    group.append(records, move |result| done.send(result).unwrap()).await.unwrap();
    synced.await.unwrap().unwrap();
}

/// Appends entry by entry, so that they spread over buckets.
async fn append_each(group: &GroupStore, indexes: std::ops::Range<u64>, term: u64) {
    for index in indexes {
        append(group, vec![record(index, term)]).await;
    }
}

/// All entries from `from` on, read in parts.
async fn read_from(group: &GroupStore, from: u64) -> Vec<LogRecord> {
    let mut all: Vec<LogRecord> = Vec::new();
    loop {
        let start = from + all.len() as u64;
        let part = group.read(start..u64::MAX, 1000).await.unwrap();
        if part.is_empty() {
            return all;
        }
        all.extend(part);
    }
}

fn put(key: &str, value: &str) -> RowChange {
    RowChange::put(key.as_bytes().to_vec(), value.as_bytes().to_vec())
}

/// A group's rows as `key=value` words.
async fn rows(group: &GroupStore) -> String {
    let rows = group.rows().await.unwrap();
    let word = |row: weir_types::Row| {
        format!("{}={}", String::from_utf8(row.key).unwrap(), String::from_utf8(row.value).unwrap())
    };
    rows.into_iter().map(word).collect::<Vec<_>>().join(" ")
}
