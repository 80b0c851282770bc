//! How a store is opened.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use weir_types::{ClusterId, NodeId};

use crate::MemoryDisk;

/// Everything [`crate::Store::open`] needs to know. [`Options::rocks`] and [`Options::memory`] give defaults of
/// modest size: three nodes fit one machine.
#[derive(Clone)]
pub struct Options {
    /// Where the data live.
    pub backend: Backend,
    /// Whose directory this must be.
    pub expected: Expected,
    /// Who runs the log writer.
    pub writer: WriterMode,
    /// Bytes that may wait for the log writer; beyond them callers wait.
    pub queue_bytes_max: usize,
    /// Bytes of recent entries kept in memory, over all groups.
    pub tail_cache_bytes_max: usize,
    /// Bytes of stream entries per time bucket: the grain in which retention frees disk.
    pub bucket_bytes: u64,
    /// Threads for reads that miss the tail cache.
    pub read_threads: usize,
    /// Free bytes below which the disk counts as full.
    pub free_bytes_min: u64,
}

/// Where the data live.
#[derive(Clone)]
pub enum Backend {
    /// A `RocksDB` in a directory.
    Rocks(RocksOptions),
    /// Memory that survives a reopening, for tests and simulation.
    Memory(MemoryDisk),
}

/// How `RocksDB` is set up.
#[derive(Clone, Debug)]
pub struct RocksOptions {
    /// The node's data directory; made when missing.
    pub path: PathBuf,
    /// Bytes of a file that is given up at start when the disk is full; 0 for none.
    pub ballast_bytes: u64,
    /// Size of one memtable of the stream log; twice the bucket, so that a bucket is one memtable.
    pub stream_buffer_bytes: usize,
    /// Size of one memtable of the queue log; entries that die within it never reach a table file.
    pub queue_buffer_bytes: usize,
    /// Size of one memtable of the machines' rows.
    pub rows_buffer_bytes: usize,
    /// Write-ahead log kept before the families that pin it are flushed. Larger keeps more short-lived
    /// entries off the table files, smaller recovers faster.
    pub wal_bytes_max: u64,
}

/// Identity that an existing directory must have; nothing is checked where none is given.
#[derive(Clone, Copy, Debug, Default)]
pub struct Expected {
    /// The cluster it must belong to.
    pub cluster: Option<ClusterId>,
    /// The node it must belong to.
    pub node: Option<NodeId>,
}

/// Spawns a future on the simulation's executor.
pub type Spawn = Arc<dyn Fn(Pin<Box<dyn Future<Output = ()> + Send>>) + Send + Sync>;

/// Who runs the log writer.
#[derive(Clone)]
pub enum WriterMode {
    /// A thread of its own.
    Thread,
    /// A task, so that a simulation stays on one thread and in order. Only with the memory engine, because
    /// each step does its IO in place.
    Task(Spawn),
}

const MIB: usize = 1 << 20;

impl Options {
    /// A `RocksDB` in `path`, with default sizes.
    pub fn rocks(path: impl Into<PathBuf>) -> Self {
        Self::with_backend(Backend::Rocks(RocksOptions::new(path)))
    }

    /// The memory engine on `disk`.
    pub fn memory(disk: MemoryDisk) -> Self {
        Self::with_backend(Backend::Memory(disk))
    }

    fn with_backend(backend: Backend) -> Self {
        Self {
            backend,
            expected: Expected::default(),
            writer: WriterMode::Thread,
            queue_bytes_max: 64 * MIB,
            tail_cache_bytes_max: 64 * MIB,
            bucket_bytes: 32 * MIB as u64,
            read_threads: 2,
            free_bytes_min: 256 * MIB as u64,
        }
    }
}

impl RocksOptions {
    /// Default sizes in `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            ballast_bytes: 64 * MIB as u64,
            stream_buffer_bytes: 64 * MIB,
            queue_buffer_bytes: 64 * MIB,
            rows_buffer_bytes: 32 * MIB,
            wal_bytes_max: 256 * MIB as u64,
        }
    }
}
