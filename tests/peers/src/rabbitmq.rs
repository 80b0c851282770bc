//! RabbitMQ: quorum queues, and streams by the same protocol (AMQP 0-9-1).
//!
//! A queue and everybody who uses it sit at the same node: the best placement there is. Messages are persistent and
//! confirmed; consumers acknowledge each message.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, PublisherConfirm};
use tokio::process::Command;
use weir_bench::system::{Consumer, Error, Publisher, System};

use crate::cluster::{Cluster, NODES};
use crate::process::Process;

/// Where Debian puts it.
const HOME: &str = "/usr/lib/rabbitmq/lib";
const PORT: u16 = 5_672;
const DISTRIBUTION_PORT: u16 = 25_672;
/// Messages that a consumer holds unacknowledged.
const PREFETCH: u16 = 512;
/// How long nodes may take to start and to join.
const STARTING: Duration = Duration::from_secs(120);
/// Persistent, as AMQP counts.
const PERSISTENT: u8 = 2;

/// What kind of queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Replicated by Raft; confirmed after a majority's fsync.
    Quorum,
    /// A replicated log; confirmed before any fsync.
    Stream,
}

/// Starts three nodes with fresh data below `folder`, all settings but names and ports at their defaults.
pub async fn start(folder: &Path) -> Result<Cluster, Error> {
    let release = release()?;
    let mut cluster = Cluster::new(Vec::new());
    let joined = tokio::time::timeout(STARTING, grow(&mut cluster, &release, folder)).await;
    if let Err(error) = joined.unwrap_or_else(|_| Err("RabbitMQ did not form a cluster in time".into())) {
        cluster.stop().await;
        return Err(error);
    }
    // The process that was started is a shell; the broker is its child.
    cluster.adopt_children("beam.smp");
    Ok(cluster)
}

fn release() -> Result<PathBuf, Error> {
    let found =
        std::fs::read_dir(HOME).map_err(|_| "RabbitMQ is not installed: apt-get install rabbitmq-server")?;
    let folders = found.filter_map(|entry| Some(entry.ok()?.path()));
    let release = folders.filter(|path| path.join("sbin/rabbitmq-server").is_file()).max();
    release.ok_or_else(|| format!("there is no RabbitMQ in {HOME}").into())
}

fn environment(folder: &Path, home: &Path, place: u16) -> Vec<(&'static str, String)> {
    let path = |name: &str| home.join(name).display().to_string();
    vec![
        // One cookie for all.
        ("HOME", folder.display().to_string()),
        ("RABBITMQ_NODENAME", format!("rabbit{place}@localhost")),
        ("RABBITMQ_NODE_PORT", (PORT + place - 1).to_string()),
        ("RABBITMQ_DIST_PORT", (DISTRIBUTION_PORT + place - 1).to_string()),
        ("RABBITMQ_MNESIA_BASE", path("mnesia")),
        ("RABBITMQ_LOG_BASE", path("log")),
        ("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins")),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".to_owned()),
        ("RABBITMQ_PID_FILE", pid_file(folder, place).display().to_string()),
    ]
}

fn pid_file(folder: &Path, place: u16) -> PathBuf {
    folder.join(format!("rabbit{place}.pid"))
}

/// One node after the other: the first one draws the cookie that all of them need.
async fn grow(cluster: &mut Cluster, release: &Path, folder: &Path) -> Result<(), Error> {
    for place in 1..=NODES {
        let home = folder.join(format!("rabbit{place}"));
        std::fs::create_dir_all(&home)?;
        let mut command = Command::new(release.join("sbin/rabbitmq-server"));
        command.envs(environment(folder, &home, place));
        cluster.add(Process::start(&format!("rabbit{place}"), command, &home.join("output"))?);
        let pid_file = pid_file(folder, place).display().to_string();
        control(release, folder, place, &["wait", &pid_file]).await?;
    }
    for place in 2..=NODES {
        control(release, folder, place, &["stop_app"]).await?;
        control(release, folder, place, &["join_cluster", "rabbit1@localhost"]).await?;
        control(release, folder, place, &["start_app"]).await?;
    }
    Ok(())
}

async fn control(release: &Path, folder: &Path, place: u16, words: &[&str]) -> Result<(), Error> {
    let mut command = Command::new(release.join("sbin/rabbitmqctl"));
    command.env("HOME", folder).args(["-n", &format!("rabbit{place}@localhost")]).args(words);
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(format!("rabbitmqctl {}: {said}", words.join(" ")).into())
}

/// Queues of one kind, dealt to the nodes.
#[derive(Clone, Debug)]
pub struct Queues {
    /// Which kind.
    pub kind: Kind,
    /// Their names begin with this.
    pub name: String,
    /// How many.
    pub count: u32,
}

impl Queues {
    fn name(&self, place: u32) -> String {
        format!("{}-{}", self.name, place % self.count)
    }

    /// A channel at the queue's node.
    async fn channel(&self, place: u32) -> Result<(Connection, Channel), Error> {
        let port = PORT + (place % self.count % u32::from(NODES)) as u16;
        let uri = format!("amqp://guest:guest@127.0.0.1:{port}/%2f");
        let connection = Connection::connect(&uri, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        Ok((connection, channel))
    }

    /// Makes them all.
    pub async fn declare(&self) -> Result<(), Error> {
        for place in 0..self.count {
            let (_connection, channel) = self.channel(place).await?;
            let (kind, size) = match self.kind {
                Kind::Quorum => ("quorum", "x-quorum-initial-group-size"),
                Kind::Stream => ("stream", "x-initial-cluster-size"),
            };
            let mut arguments = FieldTable::default();
            arguments.insert("x-queue-type".into(), AMQPValue::LongString(kind.into()));
            arguments.insert(size.into(), AMQPValue::LongInt(i32::from(NODES)));
            arguments.insert("x-queue-leader-locator".into(), AMQPValue::LongString("client-local".into()));
            let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
            channel.queue_declare(self.name(place).into(), options, arguments).await?;
        }
        Ok(())
    }
}

/// Publishes to one queue, with confirms.
pub struct RabbitPublisher {
    _connection: Connection,
    channel: Channel,
    queue: String,
}

/// A confirm that is awaited.
pub struct Confirm(PublisherConfirm);

/// Consumes one queue.
pub struct RabbitConsumer {
    _connection: Connection,
    consumer: lapin::Consumer,
}

impl System for Queues {
    type Publisher = RabbitPublisher;
    type Consumer = RabbitConsumer;

    fn consumers_min(&self) -> u32 {
        self.count
    }

    async fn publisher(&self, place: u32) -> Result<RabbitPublisher, Error> {
        let (connection, channel) = self.channel(place).await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(RabbitPublisher { _connection: connection, channel, queue: self.name(place) })
    }

    async fn consumer(&self, place: u32, _: u32) -> Result<RabbitConsumer, Error> {
        let (connection, channel) = self.channel(place).await?;
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await?;
        let mut arguments = FieldTable::default();
        if self.kind == Kind::Stream {
            arguments.insert("x-stream-offset".into(), AMQPValue::LongString("first".into()));
        }
        let (queue, tag) = (self.name(place).into(), format!("consumer-{place}").into());
        let consumer = channel.basic_consume(queue, tag, BasicConsumeOptions::default(), arguments).await?;
        Ok(RabbitConsumer { _connection: connection, consumer })
    }
}

impl Publisher for RabbitPublisher {
    type Confirm = Confirm;

    async fn publish(&mut self, body: Bytes) -> Result<Confirm, Error> {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        let options = BasicPublishOptions::default();
        let queue = self.queue.as_str().into();
        Ok(Confirm(self.channel.basic_publish("".into(), queue, options, &body, properties).await?))
    }

    async fn close(self) {}
}

impl Future for Confirm {
    type Output = Result<(), Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|confirmed| match confirmed? {
            Confirmation::Ack(None) => Ok(()),
            other => Err(format!("the message was not taken: {other:?}").into()),
        })
    }
}

impl Consumer for RabbitConsumer {
    type Ack = BoxFuture<'static, Result<(), Error>>;

    async fn next(&mut self) -> Result<(Bytes, Self::Ack), Error> {
        let delivery = self.consumer.next().await.ok_or("the consumer was cancelled")??;
        let acker = delivery.acker;
        let ack = Box::pin(async move {
            acker.ack(BasicAckOptions::default()).await?;
            Ok(())
        });
        Ok((Bytes::from(delivery.data), ack))
    }

    async fn close(self) {}
}
