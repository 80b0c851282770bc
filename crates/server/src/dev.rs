//! A throw-away cluster in one process: for trying Weir, and for other projects' tests.

use std::path::PathBuf;

use tokio::net::TcpListener;
use weir_runtime::Runtime;
use weir_types::WeirError;

use crate::config::{Config, Listen};
use crate::server::{Server, ServerError};

/// What kind of cluster.
#[derive(Clone, Debug)]
pub struct DevOptions {
    /// How many nodes: 1, 3 or 5.
    pub nodes: u32,
    /// Where the data lie, one folder per node.
    pub data: PathBuf,
    /// Client port of the first node; the next free ones are taken for the others. 0 takes any.
    pub port: u16,
}

/// The nodes.
pub struct DevCluster {
    servers: Vec<Server>,
}

impl DevCluster {
    /// Starts the nodes and waits until the cluster is formed.
    pub async fn start(options: &DevOptions) -> Result<Self, ServerError> {
        let ports = free_ports(options.port, 3 * options.nodes as usize).await?;
        let seeds: Vec<String> = ports.chunks(3).map(|ports| format!("127.0.0.1:{}", ports[0])).collect();
        let mut servers = Vec::new();
        for (number, ports) in (1..).zip(ports.chunks(3)) {
            let at = |port: u16| format!("127.0.0.1:{port}");
            let config = Config {
                name: Some(format!("dev-{number}")),
                data_dir: options.data.join(format!("node-{number}")),
                seeds: seeds.clone(),
                bootstrap_expect: options.nodes,
                listen: Listen {
                    client: at(ports[0]),
                    peer: at(ports[1]),
                    http: at(ports[2]),
                    ..Config::default().listen
                },
                log_buffer: 16 << 20,
                tail_cache: 16 << 20,
                ballast: 0,
                full_below: 64 << 20,
                ..Config::default()
            };
            servers.push(Server::start(&config, Runtime::real()).await?);
        }
        for server in &mut servers {
            let broker = server.wait_until_placed().await?;
            broker.wait_until_ready().await;
        }
        Ok(Self { servers })
    }

    /// Where clients reach the nodes.
    pub fn seeds(&self) -> Vec<String> {
        self.servers.iter().map(|server| server.client_address().to_owned()).collect()
    }

    /// Serves until `asked` resolves, then stops all nodes.
    pub async fn run_until(self, asked: impl Future<Output = ()>) -> Result<(), WeirError> {
        asked.await;
        let stops = self.servers.into_iter().map(|server| server.run_until(std::future::ready(())));
        futures::future::join_all(stops).await.into_iter().try_for_each(|stopped| stopped.map(|_| ()))
    }
}

/// Ports that are free now, from `first` on, or any. All are held until the last is found, so that none is
/// found twice.
async fn free_ports(first: u16, count: usize) -> Result<Vec<u16>, ServerError> {
    let mut held = Vec::new();
    let mut next = first;
    while held.len() < count {
        let address = format!("127.0.0.1:{next}");
        match TcpListener::bind(&address).await {
            Ok(listener) => held.push(listener),
            // Taken: the next one may be free.
            Err(_) if next != 0 && next < u16::MAX => {}
            Err(source) => return Err(ServerError::Listen { what: "a node", address, source }),
        }
        next = if next == 0 { 0 } else { next.saturating_add(1) };
    }
    let ports = held.iter().map(TcpListener::local_addr).collect::<Result<Vec<_>, _>>();
    let ports =
        ports.map_err(|source| ServerError::Listen { what: "a node", address: String::new(), source })?;
    Ok(ports.iter().map(std::net::SocketAddr::port).collect())
}
