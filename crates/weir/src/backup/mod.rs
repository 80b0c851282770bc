//! Backups on disk.
//!
//! ```text
//! DIR/
//!   manifest.json                                       written last: without it there is no backup
//!   weir-registry-<checksum>.image                      topics, partitions, links, producers
//!   weir-<topic>-<partition>-<group>-<term>-<index>.image   a partition's rows and retained entries, at that position
//! ```
//!
//! A file is written under a name that ends in `.part`, synced, and renamed, so one with its own name is whole. A position
//! names a state: where the manifest has it already, the file is kept and not copied again.

mod directory;
mod manifest;
mod order;
mod progress;

pub(crate) use directory::{Directory, Part, damaged};
pub(crate) use manifest::{File, Manifest, Partition};
pub(crate) use order::Order;
pub(crate) use progress::Progress;
