//! The state of the cluster.

use serde::Serialize;
use weir_client::{ClusterStatus, NodeInfo, NodeUse};

use super::topics::{PartitionView, partition_table};
use super::{Grid, Page, View};

/// Nodes and partitions.
#[derive(Debug, Serialize)]
pub(crate) struct StatusView {
    cluster_id: String,
    feature_level: u32,
    nodes: Vec<NodeView>,
    partitions: Vec<PartitionView>,
}

#[derive(Debug, Serialize)]
struct NodeView {
    node_id: u64,
    name: String,
    alive: bool,
    #[serde(rename = "use")]
    node_use: &'static str,
    leaders: u32,
    replicas: u32,
    client_address: String,
    peer_address: String,
    http_address: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rack: Option<String>,
}

impl NodeView {
    fn of(node: &NodeInfo) -> Self {
        Self {
            node_id: node.node_id,
            name: node.name.clone(),
            alive: node.alive,
            node_use: match node.node_use {
                NodeUse::InUse => "in-use",
                NodeUse::Draining => "draining",
                NodeUse::Drained => "drained",
                NodeUse::Leaving => "leaving",
            },
            leaders: node.leaders,
            replicas: node.replicas,
            client_address: node.client_address.clone(),
            peer_address: node.peer_address.clone(),
            http_address: node.http_address.clone(),
            version: node.version.clone(),
            rack: node.rack.clone(),
        }
    }
}

impl NodeView {
    fn state(&self) -> String {
        let alive = if self.alive { "up" } else { "DOWN" };
        if self.node_use == "in-use" { alive.to_owned() } else { format!("{alive}, {}", self.node_use) }
    }
}

impl StatusView {
    /// The metadata group and the coordinator's shards come first among the partitions.
    pub(crate) fn of(status: &ClusterStatus) -> Self {
        let metadata = status.metadata.iter().map(|group| PartitionView::named("(metadata)", group));
        let coordinator = status.coordinator.iter().map(|group| PartitionView::named("(groups)", group));
        let topics = status.partitions.iter().map(PartitionView::of);
        Self {
            cluster_id: status.cluster_id.clone(),
            feature_level: status.feature_level,
            nodes: status.nodes.iter().map(NodeView::of).collect(),
            partitions: metadata.chain(coordinator).chain(topics).collect(),
        }
    }
}

impl View for StatusView {
    fn text(&self, page: Page) -> String {
        // Racks are shown where there are any.
        let racks = self.nodes.iter().any(|node| node.rack.is_some());
        let mut titles = vec!["#node", "name", "state", "#leads", "#replicas", "clients", "http", "version"];
        titles.extend(racks.then_some("rack"));
        let mut grid = Grid::new(page, &titles);
        for node in &self.nodes {
            let mut row = vec![
                node.node_id.to_string(),
                node.name.clone(),
                node.state(),
                node.leaders.to_string(),
                node.replicas.to_string(),
                node.client_address.clone(),
                node.http_address.clone(),
                node.version.clone(),
            ];
            row.extend(racks.then(|| node.rack.clone().unwrap_or_default()));
            grid.row(row);
        }
        let nodes = grid.finish("no nodes");
        format!("cluster {}\n\n{nodes}\n\n{}", self.cluster_id, partition_table(&self.partitions, page))
    }
}
