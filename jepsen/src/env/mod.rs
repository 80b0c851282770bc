//! The cluster under test: its nodes, network and disks.

mod options;

pub use options::{Disk, Net, NoChoice, SiteOptions};
