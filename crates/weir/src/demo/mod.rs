//! The main job on real input while a node is killed: what `scripts/quickstart` runs.
//!
//! ```text
//!            ┌── feed ──► queue `files` ──► 2 processes × 2 workers ──► stream `counts` ──► sum ──┐
//!  run ──────┤                 │ three node processes; the one that leads most is killed │         ├──► report
//!            └── wc over the same files ───────────────────────────────────────────────────────────┘
//! ```
//!
//! `run` conducts: it starts nodes and workers as processes of their own, and ends them by their ids.

mod cluster;
mod corpus;
mod feed;
mod job;
mod kill;
mod message;
mod node;
mod ports;
mod probe;
mod progress;
mod report;
mod run;
mod sum;
mod tally;
mod wc;
mod work;
mod workers;

use clap::Subcommand;

use crate::failure::Outcome;

/// The queue of tasks.
const QUEUE: &str = "files";
/// The stream of result events.
const STREAM: &str = "counts";
/// The consumer group that sums the stream.
const GROUP: &str = "sum";
/// Partitions of each.
const PARTITIONS: u32 = 3;
/// Nodes, and replicas of each partition.
const NODES: u32 = 3;

/// The main job with a node killed midway: see scripts/quickstart
#[derive(Debug, Subcommand)]
pub(crate) enum Demo {
    /// Start three nodes, do the job, kill a node, and compare with `wc`
    Run(run::Run),
    /// One process of workers: count files, append events, ack, until standard input closes
    Work(work::Work),
}

impl Demo {
    pub(crate) async fn run(self) -> Outcome {
        match self {
            Self::Run(run) => run.run().await,
            Self::Work(work) => work.run().await,
        }
    }
}
