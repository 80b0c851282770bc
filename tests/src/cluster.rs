//! Nodes with one set of seeds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use weir_client::{Client, ClientOptions, ClusterStatus, PartitionStatus};

use crate::{Node, Ports, Site, Weir, eventually};

/// How long a cluster may take until every node is heard and every partition is led.
const WHOLE: Duration = Duration::from_mins(1);

/// A replica that lacks no more than this keeps up: under load some entries are always on their way.
const LAG_ENTRIES_MAX: u64 = 100;

/// What all nodes of a cluster are told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `storage.log_buffer` in bytes: small, so that files fill and die within a test.
    pub log_buffer: u64,
    /// `storage.ballast` in bytes.
    pub ballast: u64,
    /// `storage.full_below` in bytes.
    pub full_below: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self { log_buffer: 16 << 20, ballast: 1 << 20, full_below: 64 << 20 }
    }
}

impl Settings {
    /// As sections of a configuration file.
    pub fn sections(&self) -> String {
        let mut text = "[storage]\n".to_owned();
        for (key, bytes) in
            [("log_buffer", self.log_buffer), ("ballast", self.ballast), ("full_below", self.full_below)]
        {
            let _ = writeln!(text, "{key} = \"{bytes}\"");
        }
        text
    }
}

/// A cluster of child processes.
pub struct Cluster {
    nodes: Vec<Node>,
}

impl Cluster {
    /// Starts so many blank nodes (1, 3 or 5), named `n1`, `n2` and so on, and waits until they are one cluster.
    pub async fn start(site: &Site, count: usize) -> Self {
        Self::start_with(site, count, &Settings::default()).await
    }

    /// As [`start`](Self::start), with settings.
    pub async fn start_with(site: &Site, count: usize, settings: &Settings) -> Self {
        let mut cluster = Self::prepare(site, "", count, settings);
        cluster.nodes.iter_mut().for_each(Node::start);
        cluster.ready().await;
        cluster
    }

    /// The nodes, not yet started; `prefix` tells the nodes of two clusters of one site apart.
    pub fn prepare(site: &Site, prefix: &str, count: usize, settings: &Settings) -> Self {
        let ports: Vec<Ports> = (0..count).map(|_| Ports::free()).collect();
        let seeds: Vec<String> = ports.iter().map(|ports| ports.client_address()).collect();
        let sections = settings.sections();
        let node = |(index, ports): (usize, &Ports)| {
            let home = site.path().join(format!("{prefix}n{}", index + 1));
            Node::prepare(&home, *ports, &seeds, count as u32, &sections)
        };
        Self { nodes: ports.iter().enumerate().map(node).collect() }
    }

    /// The nodes.
    pub fn nodes(&mut self) -> &mut [Node] {
        &mut self.nodes
    }

    /// Another node, started or not.
    pub fn add(&mut self, node: Node) {
        self.nodes.push(node);
    }

    /// Starts another blank node, which is told of all that there are.
    pub fn join(&mut self, site: &Site, name: &str) {
        let sections = Settings::default().sections();
        let folder = site.path().join(name);
        let mut node = Node::prepare(&folder, Ports::free(), &self.seeds(), 3, &sections);
        node.start();
        self.add(node);
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is no node.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Client addresses of all nodes.
    pub fn seeds(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.ports().client_address()).collect()
    }

    /// The binary, asked to talk to this cluster.
    pub fn weir(&self) -> Weir {
        Weir::at(self.seeds().join(","))
    }

    /// A new client.
    ///
    /// # Panics
    /// When no node answers.
    pub async fn client(&self) -> Client {
        let options =
            ClientOptions { request_timeout: Duration::from_mins(1), ..ClientOptions::new(self.seeds()) };
        Client::connect(options).await.expect("some node answers")
    }

    /// Waits until each running node is ready.
    pub async fn ready(&mut self) {
        for node in self.nodes.iter_mut().filter(|node| node.is_started()) {
            node.ready().await;
        }
    }

    /// Waits until all running nodes, and no others, are heard, and every partition is led by one of them.
    pub async fn whole(&mut self, client: &Client) -> ClusterStatus {
        self.until("all running nodes are heard and every partition is led", client, |_| Vec::new()).await
    }

    /// Waits until the cluster is whole and every partition has the replicas that it shall have, all close to their leaders.
    pub async fn caught_up(&mut self, client: &Client) -> ClusterStatus {
        let behind = |partition: &PartitionStatus| {
            partition.reassigning || partition.lag_entries.iter().any(|(_, lag)| *lag > LAG_ENTRIES_MAX)
        };
        self.until("every replica has caught up", client, |status| {
            status.groups().filter(|partition| behind(partition)).map(name_of).collect()
        })
        .await
    }

    /// Waits until the cluster is whole and `missing` finds nothing.
    async fn until(
        &mut self,
        what: &str,
        client: &Client,
        missing: impl Fn(&ClusterStatus) -> Vec<String>,
    ) -> ClusterStatus {
        self.ready().await;
        let nodes = &mut self.nodes;
        let expected: Vec<String> =
            nodes.iter().filter(|node| node.is_started()).map(|node| node.name().to_owned()).collect();
        eventually(what, WHOLE, async || {
            nodes.iter_mut().for_each(Node::check);
            let status = client.admin().cluster_status().await.map_err(|error| error.to_string())?;
            let mut alive: Vec<&str> =
                status.nodes.iter().filter(|node| node.alive).map(|node| node.name.as_str()).collect();
            alive.sort_unstable();
            let (leaderless, missing) = (leaderless(&status), missing(&status));
            if alive == expected && leaderless.is_empty() && missing.is_empty() {
                return Ok(status);
            }
            Err(format!(
                "alive {alive:?} of {expected:?}, without a leader {leaderless:?}, behind {missing:?}"
            ))
        })
        .await
    }

    /// The node that leads most partitions, the metadata group among them.
    ///
    /// # Panics
    /// When nobody leads anything.
    pub async fn busiest(&mut self, client: &Client) -> usize {
        let status = self.whole(client).await;
        let mut led: BTreeMap<u64, u32> = BTreeMap::new();
        for leader in status.groups().filter_map(|partition| partition.leader) {
            *led.entry(leader).or_default() += 1;
        }
        let (id, _) = led.into_iter().max_by_key(|(_, count)| *count).expect("somebody leads");
        self.index_of(&status, id)
    }

    /// SIGKILL for the node that leads most, which starts again, until the cluster is [`whole`](Self::whole).
    pub async fn crash_busiest(&mut self, client: &Client) {
        let victim = self.busiest(client).await;
        self.nodes()[victim].kill().await;
        self.nodes()[victim].start();
        self.whole(client).await;
    }

    /// Which of our nodes has this id in the cluster.
    ///
    /// # Panics
    /// When it is none of ours.
    pub fn index_of(&self, status: &ClusterStatus, id: u64) -> usize {
        let name = status.nodes.iter().find(|node| node.node_id == id).map(|node| node.name.as_str());
        let index = self.nodes.iter().position(|node| Some(node.name()) == name);
        index.unwrap_or_else(|| panic!("node {id} ({name:?}) is none of ours"))
    }

    /// SIGKILL for every running node, one straight after the other.
    pub async fn kill_all(&mut self) {
        let kills = self.nodes.iter_mut().filter(|node| node.is_started()).map(Node::kill);
        futures::future::join_all(kills).await;
    }

    /// Starts every node that does not run.
    pub fn start_all(&mut self) {
        self.nodes.iter_mut().filter(|node| !node.is_started()).for_each(Node::start);
    }

    /// Checks that every node that was started still runs.
    ///
    /// # Panics
    /// When one does not.
    pub fn check(&mut self) {
        self.nodes.iter_mut().for_each(Node::check);
    }
}

/// Partitions, the metadata group among them, that are led by nobody or by a node that is not heard.
fn leaderless(status: &ClusterStatus) -> Vec<String> {
    let is_led = |partition: &PartitionStatus| {
        let leader = status.nodes.iter().find(|node| Some(node.node_id) == partition.leader);
        leader.is_some_and(|leader| leader.alive)
    };
    status.groups().filter(|partition| !is_led(partition)).map(name_of).collect()
}

fn name_of(partition: &PartitionStatus) -> String {
    format!("{}/{} (group {})", partition.topic, partition.partition, partition.group_id)
}
