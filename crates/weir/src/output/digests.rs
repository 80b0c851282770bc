//! What every replica holds, as hashes to compare.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_client::{NodeDigest, ReplicaDigest};

use super::{Grid, Page, View};

/// All replicas, partition by partition.
#[derive(Debug, Serialize)]
pub(crate) struct DigestView {
    replicas: Vec<ReplicaView>,
    /// Nodes that did not answer.
    silent: Vec<SilentView>,
}

#[derive(Debug, Serialize)]
struct ReplicaView {
    topic: String,
    partition: u32,
    group_id: u32,
    node: String,
    replica_id: u64,
    term: u64,
    applied: u64,
    hash: String,
    rows: u64,
    bytes: u64,
    /// Another replica of the partition has the same applied index and another hash.
    differs: bool,
}

#[derive(Debug, Serialize)]
struct SilentView {
    node: String,
    error: String,
}

impl DigestView {
    pub(crate) fn of(digests: &[NodeDigest]) -> Self {
        let mut view = Self { replicas: Vec::new(), silent: Vec::new() };
        // The first hash of each group and applied index, and whether another one was met.
        let mut hashes: BTreeMap<(u32, u64), (&str, bool)> = BTreeMap::new();
        for replica in digests.iter().flat_map(|digest| digest.replicas.iter().flatten()) {
            let (first, differs) =
                hashes.entry((replica.group_id, replica.applied)).or_insert((&replica.hash, false));
            *differs |= *first != replica.hash;
        }
        for NodeDigest { node, replicas } in digests {
            match replicas {
                Err(error) => {
                    view.silent.push(SilentView { node: node.name.clone(), error: error.to_string() });
                }
                Ok(replicas) => view.replicas.extend(replicas.iter().map(|replica| {
                    let differs =
                        hashes.get(&(replica.group_id, replica.applied)).is_some_and(|(_, differs)| *differs);
                    ReplicaView::of(&node.name, replica, differs)
                })),
            }
        }
        view.replicas.sort_by(|a, b| (a.group_id, &a.node).cmp(&(b.group_id, &b.node)));
        view
    }
}

impl ReplicaView {
    fn of(node: &str, digest: &ReplicaDigest, differs: bool) -> Self {
        Self {
            topic: digest.topic.clone(),
            partition: digest.partition,
            group_id: digest.group_id,
            node: node.to_owned(),
            replica_id: digest.replica_id,
            term: digest.term,
            applied: digest.applied,
            hash: digest.hash.clone(),
            rows: digest.rows,
            bytes: digest.bytes,
            differs,
        }
    }
}

impl View for DigestView {
    fn text(&self, page: Page) -> String {
        let titles = ["topic", "#partition", "#group", "node", "#applied", "hash", "#rows", ""];
        let mut grid = Grid::new(page, &titles);
        for replica in &self.replicas {
            grid.row([
                if replica.topic.is_empty() { "-".to_owned() } else { replica.topic.clone() },
                replica.partition.to_string(),
                replica.group_id.to_string(),
                replica.node.clone(),
                replica.applied.to_string(),
                replica.hash.clone(),
                replica.rows.to_string(),
                if replica.differs { "DIFFERS" } else { "" }.to_owned(),
            ]);
        }
        let mut text = grid.finish("no replicas");
        for SilentView { node, error } in &self.silent {
            text.push('\n');
            text.push_str(&format_silence(node, error));
        }
        text
    }
}

fn format_silence(node: &str, error: &str) -> String {
    format!("{node} did not answer: {error}")
}
