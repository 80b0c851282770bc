//! A cluster of real processes, each on a host of its own as far as the kernel can pretend.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use weir_checker::Lost;

use super::config::CLIENT_PORT;
use super::error::Result;
use super::ledger::Ledger;
use super::links::Links;
use super::network::Network;
use super::node::{Node, NodeOptions};
use super::options::{Net, SiteOptions};
use super::switch;

/// How long a cluster may take to form.
const FORMING: Duration = Duration::from_mins(1);
/// How long a node may take to come up again after the heal.
const RESTORING: Duration = Duration::from_mins(1);
/// How long a node may take to stop in good order.
const STOPPING: Duration = Duration::from_secs(20);

/// A host that is no node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seat {
    /// Where the workload's clients are. Faults may cut them off.
    Clients,
    /// Where the harness looks from. No fault touches its links.
    Observer,
}

/// A running site. Everything it made on the host goes when it is dropped.
pub struct Site {
    nodes: Vec<Node>,
    options: SiteOptions,
    links: Arc<Links>,
    network: Option<Network>,
    ledger: Arc<Ledger>,
}

impl Site {
    /// Makes hosts and disks, starts the nodes and waits until they are one cluster. Leftovers of dead harnesses are
    /// taken down before.
    pub fn start(options: SiteOptions) -> Result<Arc<Self>> {
        let site = Self::prepare(options)?;
        site.founders().iter().try_for_each(Node::start)?;
        site.founders().iter().try_for_each(|node| node.ready(FORMING, &|| false))?;
        Ok(Arc::new(site))
    }

    fn prepare(options: SiteOptions) -> Result<Self> {
        let (ledger, tag) = Ledger::open()?;
        let ledger = Arc::new(ledger);
        let links = Arc::new(Links::default());
        let count = options.nodes + options.spares;
        let (network, namespaces) = match options.net {
            Net::Plain => (None, (0..count).map(|_| None).collect()),
            Net::Tun => {
                let (network, nodes) = Network::build(&ledger, &tag, count as usize, &links, options.seed)?;
                (Some(network), nodes.into_iter().map(Some).collect::<Vec<_>>())
            }
        };
        let address = |place| match options.net {
            Net::Plain => loopback(ledger.number(), place),
            Net::Tun => Network::address(place as usize),
        };
        let seeds: Vec<String> =
            (0..options.nodes).map(|place| format!("{}:{CLIENT_PORT}", address(place))).collect();
        let prepare = |(place, namespace)| {
            let name = format!("n{}", place + 1);
            Node::prepare(NodeOptions {
                address: address(place),
                home: options.dir.join(&name),
                group: format!("{tag}-{name}"),
                name,
                seeds: &seeds,
                site: &options,
                namespace,
                observer: network.as_ref().map(Network::observer),
                ledger: &ledger,
            })
        };
        let nodes = (0..count).zip(namespaces).map(prepare).collect::<Result<_>>()?;
        Ok(Self { nodes, options, links, network, ledger })
    }

    /// What it was started with.
    pub fn options(&self) -> &SiteOptions {
        &self.options
    }

    /// All nodes: those that formed the cluster, then the spares.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The nodes that formed the cluster.
    pub fn founders(&self) -> &[Node] {
        &self.nodes[..self.options.nodes as usize]
    }

    /// The nodes that may join.
    pub fn spares(&self) -> &[Node] {
        &self.nodes[self.options.nodes as usize..]
    }

    /// A node by its name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.iter().find(|node| node.name() == name)
    }

    /// Client addresses of the nodes that formed the cluster.
    pub fn seeds(&self) -> Vec<String> {
        self.founders().iter().map(|node| node.addresses()[0].to_string()).collect()
    }

    /// Moves the calling thread to a host, for good: the sockets it makes are that host's. Nothing happens where all is
    /// on loopback.
    pub fn enter(&self, seat: Seat) -> Result<()> {
        self.network.as_ref().map_or(Ok(()), |network| network.enter(seat))
    }

    /// What befalls packets between hosts, by their places: nodes in their order, then the clients.
    pub fn links(&self) -> &Links {
        &self.links
    }

    /// The clients' place among the hosts.
    pub fn clients_place(&self) -> usize {
        self.nodes.len()
    }

    /// What the link emulator counted; None where all is on loopback.
    pub fn packets(&self) -> Option<&switch::Counts> {
        self.network.as_ref().map(Network::counts)
    }

    /// What went wrong with the nodes since the last look, unasked.
    pub fn look(&self) -> Vec<Lost> {
        let lost = |node: &Node| {
            let name = node.name().to_owned();
            node.look().into_iter().map(move |line| Lost::Node { node: name.clone(), line })
        };
        self.nodes.iter().flat_map(lost).collect()
    }

    /// Takes every fault away, starts every founder that is down, and waits until all are ready. What could not be done
    /// is returned in words.
    pub fn restore(&self) -> Vec<String> {
        self.links.clear_all();
        let mut problems: Vec<String> = self.nodes.iter().flat_map(Node::restore).collect();
        let started = self.founders().iter().map(Node::start);
        problems.extend(started.filter_map(Result::err).map(|error| error.to_string()));
        let ready = self.founders().iter().map(|node| node.ready(RESTORING, &|| false));
        problems.extend(ready.filter_map(Result::err).map(|error| error.to_string()));
        problems
    }

    /// Stops the nodes in good order, as far as they let themselves be stopped. What did not is returned in words.
    pub fn stop(&self) -> Vec<String> {
        let running: Vec<&Node> = self.nodes.iter().filter(|node| node.is_running()).collect();
        std::thread::scope(|scope| {
            let stops: Vec<_> =
                running.into_iter().map(|node| scope.spawn(|| node.terminate(STOPPING))).collect();
            let results = stops.into_iter().filter_map(|stop| stop.join().ok());
            results.filter_map(Result::err).map(|error| error.to_string()).collect()
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for node in &self.nodes {
            let _ = node.kill();
        }
        self.ledger.undo(self.options.keep);
    }
}

/// An address on loopback that no other site of this host is likely to use.
fn loopback(site: u32, place: u32) -> Ipv4Addr {
    let process = std::process::id();
    let (high, low) = (64 + process % 128, (process / 128 + site) % 256);
    Ipv4Addr::new(127, high as u8, low as u8, place as u8 + 1)
}
