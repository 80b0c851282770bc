//! The laws that every decoder of bytes from outside or from disk keeps, and seeds to begin with. One module per fuzz
//! target: `law` takes arbitrary bytes and panics when a law is broken; `seeds` are real encoders' bytes.
//!
//! `scripts/fuzz` runs them under libFuzzer; `tests/seeds.rs` runs the seeds, and every input that ever broke a law,
//! without it.

pub mod batch;
pub mod compression;
pub mod config;
pub mod consensus_rows;
pub mod door;
pub mod entry;
pub mod frames;
mod golden;
pub mod groups;
pub mod history;
mod input;
mod machine;
pub mod metadata;
pub mod peer;
pub mod proto;
pub mod queue;
pub mod snapshot;
pub mod stream;
pub mod superblock;
pub mod tables;

/// One fuzz target.
pub struct Target {
    /// Its name: of its module, of its file in `fuzz_targets/` and of its folder in `seeds/`.
    pub name: &'static str,
    /// Panics when a law is broken.
    pub law: fn(&[u8]),
    /// Where to begin.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($name:ident),*) => {
        /// All of them.
        pub const TARGETS: &[Target] =
            &[$(Target { name: stringify!($name), law: $name::law, seeds: $name::seeds }),*];
    };
}

targets!(
    batch,
    compression,
    door,
    queue,
    stream,
    groups,
    metadata,
    entry,
    peer,
    frames,
    consensus_rows,
    superblock,
    tables,
    snapshot,
    proto,
    config,
    history
);
