//! Three nodes on this machine, from nothing to ready and to the end.

use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use weir_client::{Client, ClientOptions, ClusterStatus};

use super::node::{Node, NodePorts};
use super::{NODES, ports};

/// How long the nodes may take to become one cluster.
const FORM_WITHIN: Duration = Duration::from_mins(1);
/// How long a restarted node may take to be heard again.
const RETURN_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks at what nothing tells us about.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How long one of those looks may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);

/// The nodes and a client of theirs.
pub(super) struct Cluster {
    nodes: Vec<Node>,
    client: Client,
}

impl Cluster {
    /// Starts blank nodes with data below `folder`, and waits until they are one cluster.
    pub(super) async fn start(folder: &Path) -> Result<Self, String> {
        let ports = ports::free(3 * NODES as usize)?;
        let ports: Vec<NodePorts> = ports
            .chunks_exact(3)
            .map(|three| NodePorts { client: three[0], peer: three[1], http: three[2] })
            .collect();
        let mut nodes = Vec::new();
        for index in 0..ports.len() {
            let mut node = Node::prepare(folder, index, &ports)?;
            node.start()?;
            nodes.push(node);
        }
        let client = connect(&mut nodes).await?;
        let mut cluster = Self { nodes, client };
        cluster.wait(FORM_WITHIN, "the nodes do not become one cluster", is_formed).await?;
        Ok(cluster)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// Client addresses, separated by commas.
    pub(super) fn seeds(&self) -> String {
        seeds(&self.nodes).join(",")
    }

    /// An error when a node has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), String> {
        self.nodes.iter_mut().try_for_each(Node::check)
    }

    pub(super) fn node(&mut self, name: &str) -> Result<&mut Node, String> {
        self.nodes
            .iter_mut()
            .find(|node| node.name() == name)
            .ok_or_else(|| format!("the cluster's status names `{name}`, which is none of ours"))
    }

    /// Waits until every node is heard and every partition has a leader.
    pub(super) async fn wait_until_whole(&mut self) -> Result<(), String> {
        self.wait(RETURN_WITHIN, "the restarted node does not come back", is_whole).await
    }

    async fn wait(
        &mut self,
        within: Duration,
        otherwise: &str,
        reached: impl Fn(&ClusterStatus) -> bool,
    ) -> Result<(), String> {
        let deadline = Instant::now() + within;
        let mut last = "no node answered".to_owned();
        loop {
            self.check()?;
            let status = self.client.admin();
            let status = tokio::time::timeout(LOOK_WITHIN, status.cluster_status()).await;
            match status {
                Ok(Ok(status)) if reached(&status) => return Ok(()),
                Ok(Ok(status)) => last = summary(&status),
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => {}
            }
            if timeout_at(deadline, sleep(LOOK_AGAIN)).await.is_err() {
                return Err(format!("{otherwise} within {} s: {last}", within.as_secs()));
            }
        }
    }

    /// Ends every node, politely first. What went wrong is returned in words: the data is thrown away anyway.
    pub(super) async fn stop(mut self) -> Vec<String> {
        let stops = self.nodes.iter_mut().map(Node::stop);
        let results = futures::future::join_all(stops).await;
        results.into_iter().filter_map(Result::err).collect()
    }
}

async fn connect(nodes: &mut [Node]) -> Result<Client, String> {
    let options = ClientOptions { request_timeout: FORM_WITHIN, ..ClientOptions::new(seeds(nodes)) };
    let mut connecting = std::pin::pin!(Client::connect(options));
    loop {
        tokio::select! {
            client = &mut connecting => return client.map_err(|error| error.to_string()),
            // A node that refused its configuration says so at once, not after a minute.
            () = sleep(LOOK_AGAIN) => nodes.iter_mut().try_for_each(Node::check)?,
        }
    }
}

fn seeds(nodes: &[Node]) -> Vec<String> {
    nodes.iter().map(Node::client_address).collect()
}

fn is_formed(status: &ClusterStatus) -> bool {
    let led = status.metadata.as_ref().is_some_and(|metadata| metadata.leader.is_some());
    led && status.nodes.iter().filter(|node| node.alive).count() == NODES as usize
}

fn is_whole(status: &ClusterStatus) -> bool {
    is_formed(status) && status.partitions.iter().all(|partition| partition.leader.is_some())
}

fn summary(status: &ClusterStatus) -> String {
    let alive = status.nodes.iter().filter(|node| node.alive).count();
    let led = status.partitions.iter().filter(|partition| partition.leader.is_some()).count();
    format!("{alive} of {NODES} nodes are heard, {led} of {} partitions are led", status.partitions.len())
}
