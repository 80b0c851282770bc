//! Three nodes of a broker on loopback.

use weir_bench::system::Error;

use crate::process::Process;

/// Nodes of every cluster.
pub const NODES: u16 = 3;

/// Nodes that run.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Process>,
    /// The processes whose cost is measured.
    pids: Vec<u32>,
}

impl Cluster {
    /// Of these nodes.
    pub fn new(nodes: Vec<Process>) -> Self {
        let pids = nodes.iter().filter_map(Process::id).collect();
        Self { nodes, pids }
    }

    /// Takes one more node.
    pub fn add(&mut self, node: Process) {
        self.pids.extend(node.id());
        self.nodes.push(node);
    }

    /// The processes that do the work, by id.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// Measures the descendants of this name instead of the processes that were started.
    pub fn adopt_children(&mut self, name: &str) {
        let mut found = Vec::new();
        let mut look: Vec<u32> = self.pids.clone();
        while let Some(pid) = look.pop() {
            let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if comm.trim() == name {
                found.push(pid);
                continue;
            }
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
            look.extend(
                children.unwrap_or_default().split_whitespace().filter_map(|id| id.parse::<u32>().ok()),
            );
        }
        found.sort_unstable();
        self.pids = found;
    }

    /// An error when a node has ended by itself.
    pub fn check(&mut self) -> Result<(), Error> {
        self.nodes.iter_mut().try_for_each(Process::check)
    }

    /// Kills a node, by its place from 0.
    pub async fn kill(&mut self, place: usize) -> Result<(), Error> {
        self.nodes[place].kill().await
    }

    /// Another process stands in the place of one.
    pub fn replace(&mut self, place: usize, node: Process) {
        self.nodes[place] = node;
        self.pids = self.nodes.iter().filter_map(Process::id).collect();
    }

    /// Ends all nodes.
    pub async fn stop(&mut self) {
        futures::future::join_all(self.nodes.iter_mut().map(Process::stop)).await;
    }
}
