//! Weir: three `weir server` processes with their default settings.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::process::Command;
use weir_bench::system::Error;
use weir_bench::weir::{Queue, Stream, Topic};
use weir_client::{Client, ClientOptions, Codec, NewTopic, TopicKind};

use crate::cluster::{Cluster, NODES};
use crate::process::Process;

const CLIENT_PORT: u16 = 17_400;
const PEER_PORT: u16 = 17_500;
const HTTP_PORT: u16 = 17_600;
/// Messages that a worker of a queue holds unsettled at a partition: as many as the peers' consumers prefetch.
const CREDIT: u32 = 512;
/// How long nodes may take to become a cluster.
const STARTING: Duration = Duration::from_secs(60);

/// Starts three nodes with fresh data below `folder`.
pub async fn start(binary: &Path, folder: &Path) -> Result<Cluster, Error> {
    let mut nodes = Vec::new();
    for place in 0..NODES {
        nodes.push(node(binary, folder, place)?);
    }
    let mut cluster = Cluster::new(nodes);
    let connected = Client::connect(ClientOptions { request_timeout: STARTING, ..options() }).await;
    if let Err(error) = connected {
        cluster.stop().await;
        return Err(error.into());
    }
    Ok(cluster)
}

/// Starts one of them, with the data that it has.
pub fn node(binary: &Path, folder: &Path, place: u16) -> Result<Process, Error> {
    let name = format!("weir{}", place + 1);
    let home = folder.join(&name);
    std::fs::create_dir_all(&home)?;
    let config = home.join("weir.toml");
    std::fs::write(&config, configuration(place, &home))?;
    let mut command = Command::new(binary);
    command.arg("server").arg("--config").arg(&config);
    Process::start(&name, command, &home.join("output"))
}

/// How clients reach it.
pub fn options() -> ClientOptions {
    ClientOptions::new((0..NODES).map(|place| format!("127.0.0.1:{}", CLIENT_PORT + place)))
}

fn configuration(place: u16, home: &Path) -> String {
    let seeds: Vec<_> = (0..NODES).map(|other| format!("\"127.0.0.1:{}\"", CLIENT_PORT + other)).collect();
    let mut text = String::new();
    let _ = write!(
        text,
        "[node]\nname = \"weir{}\"\ndata_dir = {:?}\n\n[cluster]\nseeds = [{}]\nbootstrap_expect = {NODES}\n\n\
         [listen]\nclient = \"127.0.0.1:{}\"\npeer = \"127.0.0.1:{}\"\nhttp = \"127.0.0.1:{}\"\n",
        place + 1,
        home.join("data").display().to_string(),
        seeds.join(", "),
        CLIENT_PORT + place,
        PEER_PORT + place,
        HTTP_PORT + place,
    );
    text
}

/// Makes a queue with so many partitions.
pub async fn queue(name: &str, partitions: u32) -> Result<Arc<Queue>, Error> {
    Ok(Arc::new(Queue(topic(name, TopicKind::Queue, partitions).await?)))
}

/// Makes a stream with so many partitions.
pub async fn stream(name: &str, partitions: u32) -> Result<Arc<Stream>, Error> {
    Ok(Arc::new(Stream(topic(name, TopicKind::Stream, partitions).await?)))
}

async fn topic(name: &str, kind: TopicKind, partitions: u32) -> Result<Topic, Error> {
    let client = Client::connect(options()).await?;
    let new = NewTopic::new(name, kind).partitions(partitions).replicas(u32::from(NODES));
    client.admin().create_topic(new).await?;
    let credit = Some(CREDIT);
    Ok(Topic { options: options(), name: name.to_owned(), partitions, codec: Codec::None, credit })
}
