//! The cluster under test: its nodes, network and disks.
//!
//! ```text
//!   clients ─────┐                       ┌──── node n1: process, cgroup, interposer, ext4 in a file
//!   observer ──┐ │   link emulator       │
//!              └─┴── (one thread, TUN) ──┼──── node n2 …
//!                                        └──── node n3 …
//! ```
//!
//! Every host is a network namespace with one interface, whose packets come to the [link emulator](Links). A node's data
//! lie on a file system of its own, so that its power can be cut and its disk filled; between the node and the C library
//! stands the [interposer](Interposer), for disks that fail, lie or hang, and for wall clocks that jump. The kernel's own
//! netem and device-mapper are not needed.
//!
//! Whatever is made on the host is first written to a ledger. When the harness dies, a watchdog takes it down; if that
//! dies too, the next start does.

#![expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "this moves processes and packets on real time, and waits for what gives no signal"
)]

mod cgroup;
mod config;
mod disk;
mod error;
mod interposer;
mod kernel;
mod ledger;
mod links;
mod log;
mod netns;
mod network;
mod node;
mod options;
mod packet;
mod page;
mod site;
mod switch;
mod tool;
pub mod watchdog;

pub use error::{Error, Result};
pub use interposer::{Counts as InterposerCounts, FileFaults, INPUT_OUTPUT_ERROR, Interposer, NO_SPACE};
pub use links::{Link, Links, Rule};
pub use node::Node;
pub use options::{Disk, Net, NoChoice, SiteOptions};
pub use site::{Seat, Site};
pub use switch::Counts as PacketCounts;

/// What `doctor` tries one by one.
pub(crate) mod probing {
    use std::path::Path;

    pub(crate) use super::cgroup::{Group, Resource};
    pub(crate) use super::error::Tried;
    pub(crate) use super::ledger::Ledger;
    pub(crate) use super::links::Links;
    pub(crate) use super::network::Network;

    /// A disk whose power can be cut.
    pub(crate) fn make_disk(ledger: &Ledger, home: &Path) -> super::Result<super::disk::Disk> {
        super::disk::Disk::make(ledger, home, super::Disk::Loop)
    }
}
