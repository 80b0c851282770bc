//! The node's one store: the Raft logs and machine rows of every group on this node, in one `RocksDB` (or in memory),
//! written by one log writer.
//!
//! ```text
//!  GroupStore::append, save_vote, write_rows, …        GroupStore::read
//!        │ wait for room (bytes)                           │
//!        ▼                                                 ▼
//!     inbox, first in first out ──► tail cache ◄───── newest entries
//!        │ ≤ 8 MiB per batch            ▲ written          │ older ones
//!        ▼                              │                  ▼
//!     log writer (one thread): one batch, one sync     read pool (threads)
//!        │                                                 │
//!        ▼                                                 ▼
//!     Engine: RocksDB or memory ◄──────────────────────── views
//! ```
//!
//! What it promises: one order for all writes of a node; an append or a vote is answered after its sync;
//! whatever survives a crash is a prefix that contains everything answered; the first failed write or sync stops
//! the store. What it deliberately does not know: Raft (votes and pointers are opaque bytes), what a row means,
//! and when an entry may go (`retire_before` is the machine's decision).
//!
//! Metrics, all named `weir_storage_…`: `sync_seconds`, `sync_entries`, `sync_groups` and `sync_bytes` (histograms, one
//! sample per sync); `queue_bytes` (waiting for the log writer); `tail_cache_hits_total` and
//! `tail_cache_misses_total` by `reader`; `disk_pressure_rejected_total`; `buckets_dropped_total`;
//! `queue_log_compactions_total`; `buckets_evacuated_total`.
//!
//! No `RocksDB` call is ever made on an async worker: debug builds panic on one.

mod ballast;
mod buckets;
mod catalog;
mod edits;
mod engine;
mod error;
mod evacuate;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod group_store;
mod housekeeper;
mod inbox;
mod key;
mod log_reader;
mod log_writer;
mod memory;
mod node_rows;
mod op;
mod open;
mod options;
mod pool;
mod pressure;
mod reclaim;
mod record;
mod rocks;
mod snapshot;
mod span;
mod store;
mod superblock;
mod sync_metrics;
mod tables;
mod tail_cache;

#[cfg(test)]
mod suite;

pub use error::Error;
pub use group_store::GroupStore;
pub use memory::{Backup, GroupPicture, MemoryDisk, Picture};
pub use node_rows::NodeRows;
pub use open::Recovered;
pub use options::{Backend, Expected, Options, RocksOptions, Spawn, WriterMode};
pub use pressure::DiskPressure;
pub use record::{GroupState, LogClass, LogPosition, LogRecord, Reader};
pub use snapshot::{Export, Import, ImportReady};
pub use store::Store;
pub use superblock::{INFO_BYTES_MAX, Identity};
