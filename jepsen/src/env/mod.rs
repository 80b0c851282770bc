//! The cluster under test: its nodes, network and disks.
