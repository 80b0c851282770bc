//! One node as a running process: started, watched, drained.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tracing::{error, info};
use weir_broker::{Addresses, Broker, Level, Node, NodeOptions, Options};
use weir_runtime::{BoxListener, Runtime, TaskGroup};
use weir_storage::{Backend, Store};
use weir_types::WeirError;

use crate::config::Config;
use crate::connection::incoming;
use crate::http;
use crate::remote::GrpcRemote;
use crate::services::{Health, Services};
use crate::telemetry;

/// How long leaderships may take to be handed over.
const HAND_OVER: Duration = Duration::from_secs(5);
/// How long open calls may take to end once they are told.
const DRAIN: Duration = Duration::from_secs(2);
/// HTTP/2 windows: large enough for a connection to carry full batches without waiting for an update.
const WINDOW_BYTES: u32 = 8 << 20;

/// Why a node could not be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address} for {what}: {source}")]
    Listen {
        /// What it was for.
        what: &'static str,
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The data directory cannot be used.
    #[error(transparent)]
    Store(#[from] weir_storage::Error),
    /// The node cannot take its place.
    #[error(transparent)]
    Node(#[from] WeirError),
    /// The services cannot be built.
    #[error("services: {0}")]
    Services(#[from] tonic_reflection::server::Error),
}

/// Why a node stopped.
#[derive(Debug)]
pub enum Stopped {
    /// It was asked to.
    Asked,
    /// A write or a sync failed, or a group could not be kept alive: the outcome of what was in flight is
    /// unknown, and only a restart tells.
    Failed(String),
}

/// A running node.
pub struct Server {
    node: Arc<Node>,
    store: Store,
    /// Set when the node begins to stop: it does not call itself ready any more.
    leaving: CancellationToken,
    /// Set when open calls shall end.
    stop: CancellationToken,
    grpc: JoinHandle<()>,
    http: JoinHandle<()>,
    /// What goes on in the background for as long as the server runs.
    tasks: TaskGroup,
    health: Health,
    /// Looks for the node's place; says why it has none.
    starting: JoinHandle<()>,
    started: Option<oneshot::Receiver<Result<Broker, WeirError>>>,
    broker: Option<Broker>,
    client_address: String,
}

impl Server {
    /// Opens the store, listens, and begins to look for the node's place in a cluster.
    pub async fn start(config: &Config, runtime: Runtime) -> Result<Self, ServerError> {
        let mut tasks = TaskGroup::new();
        tasks.spawn(telemetry::keep_up());
        let grpc_listener = runtime.network().bind(&config.listen.client).await;
        let grpc_listener = grpc_listener.map_err(|e| listen("clients", &config.listen.client, e))?;
        let http_listener = TcpListener::bind(&config.listen.http).await;
        let http_listener = http_listener.map_err(|e| listen("metrics", &config.listen.http, e))?;
        check_free(&config.listen.peer).await?;
        let (store, recovered) = Store::start(store_options(config)).await?;
        let options = node_options(config);
        let client_address = options.addresses.client.clone();
        let node = Node::new(Options {
            node: options,
            peer_listen: config.listen.peer.clone(),
            store: store.clone(),
            recovered,
            timings: weir_broker::Timings::default(),
            limits: weir_broker::Limits::default(),
            remote: Arc::new(GrpcRemote::new(runtime.network_shared())),
            runtime,
        })
        .await?;
        let stop = CancellationToken::new();
        let leaving = CancellationToken::new();
        let health = Health::not_serving().await;
        let routes = Services::new(Arc::clone(&node), stop.clone()).routes(&health)?;
        let grpc = serve_grpc(routes, grpc_listener, stop.clone());
        let pages = axum::serve(http_listener, http::router(Arc::clone(&node), leaving.clone()))
            .with_graceful_shutdown(stop.clone().cancelled_owned());
        let http = tokio::spawn(async move {
            if let Err(error) = pages.await {
                error!(%error, "the HTTP server ended");
            }
        });
        info!(
            client = config.listen.client,
            peer = config.listen.peer,
            http = config.listen.http,
            "listening"
        );
        let (sender, started) = oneshot::channel();
        let starting = tokio::spawn(take_place(Arc::clone(&node), health.clone(), sender));
        let started = Some(started);
        Ok(Self {
            node,
            store,
            leaving,
            stop,
            grpc,
            http,
            tasks,
            health,
            starting,
            started,
            broker: None,
            client_address,
        })
    }

    /// Where clients reach it.
    pub fn client_address(&self) -> &str {
        &self.client_address
    }

    /// Waits until the node has its place in a cluster.
    pub async fn wait_until_placed(&mut self) -> Result<Broker, WeirError> {
        if let Some(started) = self.started.take() {
            let started = started.await.unwrap_or_else(|_| self.node.broker());
            self.broker = Some(started?);
        }
        self.broker.clone().map_or_else(|| self.node.broker(), Ok)
    }

    /// Serves until `asked` resolves or something fails that only a restart can mend; then drains and closes.
    pub async fn run_until(mut self, asked: impl Future<Output = ()>) -> Result<Stopped, WeirError> {
        let failed = self.store.on_fatal();
        let mut asked = std::pin::pin!(asked);
        let placed = tokio::select! {
            placed = self.wait_until_placed() => placed.map(Some),
            () = &mut asked => Ok(None),
        };
        let stopped = match placed {
            Err(error) => {
                self.shut_down().await;
                return Err(error);
            }
            Ok(None) => Stopped::Asked,
            Ok(Some(broker)) => tokio::select! {
                () = &mut asked => Stopped::Asked,
                error = failed => Stopped::Failed(error.to_string()),
                group = broker.dead_group() => {
                    Stopped::Failed(format!("group {group} could not be kept alive"))
                }
            },
        };
        if matches!(stopped, Stopped::Asked) {
            self.shut_down().await;
        }
        Ok(stopped)
    }

    /// Hands leaderships over, ends open calls, closes the store.
    async fn shut_down(self) {
        self.leaving.cancel();
        // It ends by itself, or has no business any more: a node that stops looks for no place.
        self.starting.abort();
        let _ = self.starting.await;
        self.health.set(false).await;
        let broker = self.broker.or_else(|| self.node.broker().ok());
        if let Some(broker) = &broker {
            info!("handing leaderships over");
            broker.hand_over(HAND_OVER).await;
        }
        self.stop.cancel();
        for task in [self.grpc, self.http] {
            let abort = task.abort_handle();
            if tokio::time::timeout(DRAIN, task).await.is_err() {
                abort.abort();
            }
        }
        if let Some(broker) = broker {
            broker.stop().await;
        }
        self.tasks.abort().await;
        self.store.close().await;
        info!("stopped");
    }
}

fn serve_grpc(routes: Routes, listener: BoxListener, stop: CancellationToken) -> JoinHandle<()> {
    let serving = tonic::transport::Server::builder()
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(2 * WINDOW_BYTES)
        .http2_keepalive_interval(Some(Duration::from_secs(10)))
        .add_routes(routes)
        .serve_with_incoming_shutdown(incoming(listener), stop.cancelled_owned());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            error!(%error, "the gRPC server ended");
        }
    })
}

/// Starts the node where its place is, and tells when it serves.
async fn take_place(node: Arc<Node>, health: Health, started: oneshot::Sender<Result<Broker, WeirError>>) {
    let placed = node.start().await;
    let broker = placed.clone().ok();
    // Nobody waits any more when the server was dropped meanwhile.
    let _ = started.send(placed);
    if let Some(broker) = broker {
        broker.wait_until_ready().await;
        health.set(true).await;
    }
}

fn node_options(config: &Config) -> NodeOptions {
    let [client, peer, http] = config.advertised();
    let seeds: BTreeSet<String> = if config.seeds.is_empty() {
        [client.clone()].into()
    } else {
        config.seeds.iter().cloned().collect()
    };
    NodeOptions {
        name: config.name.clone().unwrap_or_else(|| client.clone()),
        addresses: Addresses { peer, client, http },
        rack: config.rack.clone(),
        seeds,
        bootstrap_expect: config.bootstrap_expect,
        recover_after: (config.recover_after_s > 0)
            .then(|| Duration::from_secs(config.recover_after_s.into())),
        founding_level: Level(config.feature_level),
    }
}

fn listen(what: &'static str, address: &str, source: std::io::Error) -> ServerError {
    ServerError::Listen { what, address: address.to_owned(), source }
}

/// The peer port is opened only when the node has its place; whether it can be is told now.
async fn check_free(address: &str) -> Result<(), ServerError> {
    TcpListener::bind(address).await.map(drop).map_err(|e| listen("peers", address, e))
}

fn store_options(config: &Config) -> weir_storage::Options {
    let mut options = weir_storage::Options::rocks(&config.data_dir);
    options.tail_cache_bytes_max = config.tail_cache as usize;
    options.free_bytes_min = config.full_below;
    options.bucket_bytes = config.log_buffer / 2;
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.ballast_bytes = config.ballast;
        rocks.stream_buffer_bytes = config.log_buffer as usize;
        rocks.queue_buffer_bytes = config.log_buffer as usize;
        rocks.wal_bytes_max = 4 * config.log_buffer;
    }
    options
}
