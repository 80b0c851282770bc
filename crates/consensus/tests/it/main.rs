//! Nodes in one process, over real sockets on loopback.

#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "tests; timings are worth a line")]

mod cluster;
mod groups;
mod hostile;
mod images;
mod membership;
mod partitions;
mod quiet;
mod replication;
mod single_thread;
mod snapshots;
mod supervisor;
mod switchboard;
mod transfers;
