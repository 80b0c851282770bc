//! NATS JetStream: streams of three replicas in files; the broker acknowledges before its fsync.
//!
//! Clients connect to the node that leads their stream.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use tokio::process::Command;
use weir_bench::system::{Consumer, Error, Publisher, System};

use crate::cluster::{Cluster, NODES};
use crate::process::Process;

const PORT: u16 = 4_222;
const ROUTE_PORT: u16 = 6_222;
/// Messages of a consumer that are not acknowledged, and of one pull.
const UNACKED_MAX: usize = 512;
/// How long nodes may take to start, and a stream to find a leader.
const STARTING: Duration = Duration::from_secs(60);
/// Between two attempts meanwhile: JetStream tells nobody when it is ready.
const RETRY: Duration = Duration::from_millis(200);

/// Starts three nodes with fresh data below `folder`.
pub async fn start(folder: &Path) -> Result<Cluster, Error> {
    let mut nodes = Vec::new();
    for place in 1..=NODES {
        let home = folder.join(format!("nats{place}"));
        std::fs::create_dir_all(&home)?;
        let config = home.join("nats.conf");
        std::fs::write(&config, configuration(place, &home))?;
        let mut command = Command::new("nats-server");
        command.arg("-c").arg(&config);
        let started = Process::start(&format!("nats{place}"), command, &home.join("output"));
        nodes.push(started.map_err(|error| format!("{error}; apt-get install nats-server"))?);
    }
    let mut cluster = Cluster::new(nodes);
    let ready = tokio::time::timeout(STARTING, ready()).await;
    if ready.is_err() {
        cluster.stop().await;
        return Err("JetStream was not ready in time".into());
    }
    Ok(cluster)
}

fn configuration(place: u16, home: &Path) -> String {
    let mut text = String::new();
    let routes: Vec<_> = (0..NODES).map(|other| format!("nats://127.0.0.1:{}", ROUTE_PORT + other)).collect();
    let _ = write!(
        text,
        "server_name: n{place}\nlisten: 127.0.0.1:{}\n\
         jetstream {{ store_dir: {:?}, max_memory_store: 1GB, max_file_store: 30GB }}\n\
         cluster {{ name: bench, listen: 127.0.0.1:{}, routes: [{}] }}\n",
        PORT + place - 1,
        home.join("data").display().to_string(),
        ROUTE_PORT + place - 1,
        routes.join(", "),
    );
    text
}

/// Until every node answers for JetStream.
async fn ready() {
    for place in 0..NODES {
        while answers(PORT + place).await.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Asks for the account without the client's own type, which lacks what this old server does not tell.
async fn answers(port: u16) -> Result<(), Error> {
    let client = async_nats::connect(format!("127.0.0.1:{port}")).await?;
    let answer = client.request("$JS.API.INFO", Bytes::new()).await?;
    let account: serde_json::Value = serde_json::from_slice(&answer.payload)?;
    account.get("error").map_or(Ok(()), |error| Err(error.to_string().into()))
}

async fn context(port: u16) -> Result<Context, Error> {
    Ok(jetstream::new(async_nats::connect(format!("127.0.0.1:{port}")).await?))
}

/// Streams, each with a subject of its own.
#[derive(Clone, Debug)]
pub struct Streams {
    /// Their names begin with this.
    pub name: String,
    /// How many.
    pub count: u32,
    /// Where each is led: a client port.
    leaders: BTreeMap<String, u16>,
}

impl Streams {
    /// Makes them all, and waits until each has a leader. In a work queue messages are removed when they are
    /// acknowledged.
    pub async fn create(name: &str, count: u32, work_queue: bool) -> Result<Self, Error> {
        let context = context(PORT).await?;
        let mut leaders = BTreeMap::new();
        for place in 0..count {
            let name = format!("{name}-{place}");
            let config = Config {
                name: name.clone(),
                subjects: vec![name.clone()],
                retention: if work_queue { RetentionPolicy::WorkQueue } else { RetentionPolicy::Limits },
                storage: StorageType::File,
                num_replicas: usize::from(NODES),
                ..Config::default()
            };
            context.create_stream(config).await?;
            leaders.insert(name.clone(), tokio::time::timeout(STARTING, leader(&context, &name)).await??);
        }
        Ok(Self { name: name.to_owned(), count, leaders })
    }

    fn stream(&self, place: u32) -> (String, u16) {
        let name = format!("{}-{}", self.name, place % self.count);
        let port = self.leaders.get(&name).copied().unwrap_or(PORT);
        (name, port)
    }
}

async fn leader(context: &Context, name: &str) -> Result<u16, Error> {
    loop {
        let mut stream = context.get_stream(name).await?;
        let leader = stream.info().await?.cluster.as_ref().and_then(|cluster| cluster.leader.clone());
        let place = leader.and_then(|leader| leader.strip_prefix('n')?.parse::<u16>().ok());
        if let Some(place) = place {
            return Ok(PORT + place - 1);
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Publishes to one stream without waiting for each answer.
pub struct NatsPublisher {
    context: Context,
    subject: String,
}

/// Pulls from one stream.
pub struct NatsConsumer(pull::Stream);

impl System for Streams {
    type Publisher = NatsPublisher;
    type Consumer = NatsConsumer;

    fn consumers_min(&self) -> u32 {
        self.count
    }

    async fn publisher(&self, place: u32) -> Result<NatsPublisher, Error> {
        let (subject, port) = self.stream(place);
        Ok(NatsPublisher { context: context(port).await?, subject })
    }

    async fn consumer(&self, place: u32, _: u32) -> Result<NatsConsumer, Error> {
        let (name, port) = self.stream(place);
        let stream = context(port).await?.get_stream(&name).await?;
        let config = pull::Config {
            durable_name: Some(format!("consumer-{name}")),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: UNACKED_MAX as i64,
            ..pull::Config::default()
        };
        let consumer: PullConsumer = stream.create_consumer(config).await?;
        Ok(NatsConsumer(consumer.stream().max_messages_per_batch(UNACKED_MAX).messages().await?))
    }
}

impl Publisher for NatsPublisher {
    type Confirm = BoxFuture<'static, Result<(), Error>>;

    async fn publish(&mut self, body: Bytes) -> Result<Self::Confirm, Error> {
        let answer = self.context.publish(self.subject.clone(), body).await?;
        Ok(Box::pin(async move {
            answer.await?;
            Ok(())
        }))
    }

    async fn close(self) {}
}

impl Consumer for NatsConsumer {
    type Ack = BoxFuture<'static, Result<(), Error>>;

    async fn next(&mut self) -> Result<(Bytes, Self::Ack), Error> {
        let (message, acker) = self.0.next().await.ok_or("the consumer has ended")??.split();
        // The plain acknowledgement: it is not answered.
        Ok((message.payload, Box::pin(async move { acker.ack().await })))
    }

    async fn close(self) {}
}
