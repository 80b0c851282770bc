//! What a run is told, as it is written to `options.json`.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::env::{Disk, Net};
use crate::nemesis::Kind;
use crate::workload::{Load, Workload};

/// Everything that decides a run, but for its schedule.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Options {
    /// What clients do.
    pub workload: Workload,
    /// Which faults there are. Empty: none.
    pub nemesis: Vec<Kind>,
    /// Warm-up and faults together, in seconds.
    pub time_limit_s: u64,
    /// Of everything that is drawn.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: u32,
    /// Writes per second, of all producers together.
    pub rate: u32,
    /// Clients at once.
    pub concurrency: u32,
    /// Partitions of each topic.
    pub partitions: u32,
    /// How long leases run by default, in milliseconds.
    pub lease_ms: u64,
    /// How long a call is waited for, in milliseconds.
    pub deadline_ms: u64,
    /// The network.
    pub net: Net,
    /// The disks.
    pub disk: Disk,
    /// The `weir` that was run.
    pub binary: PathBuf,
    /// Another build, for rolling restarts between the two.
    pub other_binary: Option<PathBuf>,
    /// The planted bug that the nodes act on, if any.
    #[serde(default)]
    pub mutant: Option<String>,
    /// Log level of the nodes.
    pub log_level: String,
    /// Whether the nodes' disks stay when the run is over.
    pub keep: bool,
}

impl Options {
    /// Partitions of all topics.
    pub fn partitions_of_all(&self) -> u32 {
        self.workload.topics(&self.load()).iter().map(|topic| topic.partitions).sum()
    }

    /// What the actors of the workload have to know.
    pub fn load(&self) -> Load {
        Load {
            seed: self.seed,
            rate: self.rate,
            concurrency: self.concurrency,
            deadline: Duration::from_millis(self.deadline_ms),
            lease: Duration::from_millis(self.lease_ms),
            partitions: self.partitions,
            replicas: self.nodes.min(3),
        }
    }

    /// As it stands in `options.json`: everything, and the command that asks for the same again.
    pub fn document(&self) -> serde_json::Value {
        let mut document = serde_json::to_value(self).expect("options are plain data");
        document["command"] = self.command().into();
        document
    }

    /// The command line that asks for the same again.
    pub fn command(&self) -> String {
        let kinds: Vec<_> = self.nemesis.iter().map(|kind| kind.name()).collect();
        let nemesis = if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") };
        format!(
            "cargo run -p weir-jepsen --release -- --workload {} --nemesis {nemesis} --time-limit {} --seed {} \
             --nodes {} --rate {} --concurrency {} --partitions {} --net {} --disk {}",
            self.workload.name(),
            self.time_limit_s,
            self.seed,
            self.nodes,
            self.rate,
            self.concurrency,
            self.partitions,
            self.net,
            self.disk,
        )
    }
}
