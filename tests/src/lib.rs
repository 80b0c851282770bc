//! What the tests of the whole need: they see Weir from outside, through `cargo metadata`, the built binary and
//! the client library. Tests of one crate live in that crate.
//!
//! ```text
//!   Site     a folder and the turn to use the machine: one cluster at a time
//!    └ Cluster   N nodes with one set of seeds; waits, leaders, kills
//!       └ Node   one `weir server` as a child process: its configuration, data, log, signals
//!   Load     producers and consumers, which write down in a
//!    └ Recorder  what they asked and what they were told, on one clock, for the
//!       └ checks     of `weir-checker`, which judges `jepsen/` too
//! ```
//!
//! Every wait is bounded and says what it waited for; when a test fails, the end of every node's log is printed.
//!
//! | file | holds |
//! |---|---|
//! | `tests/architecture.rs` | the layer table: who may depend on whom, who owns which third-party crate |
//! | `tests/formation.rs` | how a cluster comes to be, and who is not let in |
//! | `tests/kill_loop.rs` | one node at a time is killed under load |
//! | `tests/kill_all.rs` | all nodes are killed at once under load |
//! | `tests/graceful.rs` | nodes stop in order under load, and no client notices |
//! | `tests/snapshot.rs` | a node comes back after its log is gone |
//! | `tests/bad_input.rs` | what nobody should send, on every port |
//! | `tests/full_disk.rs` | a disk that fills up |
//! | `tests/cli.rs` | the tour of the README with the real binary |
//! | `tests/simulation.rs` | simulated nodes: one seed, one trace; promises under crashes, partitions and bad disks |
//! | `tests/groups/` | consumer groups over real nodes |
//! | `tests/amnesia.rs` | a node whose disk lost acknowledged writes comes back under fresh replica ids |
//! | `tests/mutants.rs` | planted bugs: off by default, each planted once |
//! | `tests/power_cut.rs` | what the real disk shows after a power cut, against what the simulated one allows |

#![forbid(unsafe_code)]

mod cluster;
mod command;
mod dice;
mod ports;
mod process;
mod recorder;
pub mod simulation;
mod site;
mod wait;
mod workload;

pub use cluster::{Cluster, Settings};
pub use command::{Answer, Weir, binary};
pub use dice::Dice;
pub use process::{Node, Ports};
pub use recorder::{Begun, End, Recorder};
pub use site::Site;
pub use wait::{eventually, within};
pub use workload::{Load, LoadOptions};
