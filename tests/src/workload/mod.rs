//! Load on a cluster, written down: producers and consumers of a queue and a stream, all through the client library.

mod group;
mod payload;
mod probe;
mod produce;
mod read;
mod receive;
mod work;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_client::{Client, NewTopic, QueueSettings, Settings};

use crate::history::{Reader, Topic};
use crate::{Cluster, History, Op, check, eventually, within};

/// How long it may take until everything is read and acked once the producers have stopped.
const DRAIN: Duration = Duration::from_mins(2);
/// How long every partition may take until it takes a write.
const WRITABLE: Duration = Duration::from_mins(1);
/// How long a task of the load may take to end.
const END: Duration = Duration::from_mins(1);

/// The queue, the stream and the group of the load.
pub(crate) const QUEUE: &str = "tasks";
pub(crate) const STREAM: &str = "events";
pub(crate) const GROUP: &str = "readers";

/// What the load does.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Partitions of each topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replicas: u32,
    /// Producers of each topic.
    pub producers: u16,
    /// Between two records of a producer.
    pub pace: Duration,
    /// Consumers give some messages back, and let some leases run out. Without it they ack everything.
    pub careless: bool,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self { partitions: 3, replicas: 3, producers: 2, pace: Duration::from_millis(5), careless: true }
    }
}

/// Running producers and consumers.
pub struct Load {
    client: Client,
    history: Arc<History>,
    options: LoadOptions,
    producers: JoinSet<()>,
    consumers: JoinSet<()>,
    produce: CancellationToken,
    consume: CancellationToken,
    probes: probe::Probes,
}

impl Load {
    /// Creates the topics and begins.
    ///
    /// # Panics
    /// When the cluster does not take part.
    pub async fn start(cluster: &Cluster, options: LoadOptions) -> Self {
        let client = cluster.client().await;
        create_topics(&client, options).await;
        let history = Arc::new(History::default());
        let (produce, consume) = (CancellationToken::new(), CancellationToken::new());
        let mut producers = JoinSet::new();
        for topic in [Topic::Queue, Topic::Stream] {
            for number in 0..options.producers {
                let producer = produce::Producing {
                    client: cluster.client().await,
                    history: Arc::clone(&history),
                    topic,
                    number,
                    pace: options.pace,
                };
                producers.spawn(producer.run(produce.clone()));
            }
        }
        let mut consumers = JoinSet::new();
        for number in 0..2 {
            let (client, history) = (cluster.client().await, Arc::clone(&history));
            consumers.spawn(work::work(client, history, number, options.careless, consume.clone()));
        }
        let (receiver, noted) = (cluster.client().await, Arc::clone(&history));
        // It forgets messages only while there are producers: what is left must drain.
        let forget = options.careless.then(|| produce.clone());
        consumers.spawn(receive::receive(receiver, noted, 2, forget, consume.clone()));
        let (reader, noted) = (cluster.client().await, Arc::clone(&history));
        consumers.spawn(read::follow(reader, noted, consume.clone()));
        for number in 0..2 {
            let (client, history) = (cluster.client().await, Arc::clone(&history));
            consumers.spawn(group::member(client, history, number, consume.clone()));
        }
        consumers.spawn(group::look(cluster.client().await, Arc::clone(&history), consume.clone()));
        let probes = probe::Probes::open(&client, Arc::clone(&history), options.partitions).await;
        Self { client, history, options, producers, consumers, produce, consume, probes }
    }

    /// What has happened so far.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// A client that nothing else uses.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until so many more operations have ended well: sends of both topics, acks, and reads.
    pub async fn flows(&self, more: usize) {
        let done = |op: &Op| {
            matches!(op, Op::Sent { at: Some(_), .. } | Op::Read { .. } | Op::Settled { ack: true, .. })
        };
        let target = self.history.count(done) + more;
        eventually("the load goes on", DRAIN, async || {
            let count = self.history.count(done);
            if count >= target { Ok(()) } else { Err(format!("{} operations to go", target - count)) }
        })
        .await;
    }

    /// Writes to every partition of both topics at once: how long until the last one has acknowledged.
    pub async fn writable(&self) -> Duration {
        within("every partition takes a write", WRITABLE, self.probes.write()).await
    }

    /// Stops the producers, waits until everything that they sent is read and acked, stops the consumers, reads the
    /// stream once more from its beginning, and checks every property.
    ///
    /// # Panics
    /// When it does not drain, or a property is violated.
    pub async fn drain_and_check(mut self) -> Arc<History> {
        self.produce.cancel();
        join(&mut self.producers, "producers").await;
        self.drained().await;
        self.consume.cancel();
        join(&mut self.consumers, "consumers").await;
        read::to_the_end(&self.client, &self.history).await;
        check::assert_all_hold(&self.history);
        self.report();
        self.history
    }

    async fn drained(&self) {
        let admin = self.client.admin();
        eventually("the queue drains", DRAIN, async || {
            let stats = admin.queue_stats(QUEUE).await.map_err(|error| error.to_string())?;
            let left: u64 = stats.iter().map(|s| s.ready + s.leased + s.scheduled + s.parked).sum();
            if left == 0 { Ok(()) } else { Err(format!("{left} messages are left: {stats:?}")) }
        })
        .await;
        eventually("the follower has read everything", DRAIN, async || {
            let ends = admin.offsets(STREAM, None).await.map_err(|error| error.to_string())?;
            let next = self.history.next_offsets(Reader::Follower);
            let behind =
                ends.iter().filter(|end| next.get(&end.partition).copied().unwrap_or(0) < end.end_offset);
            let behind: Vec<_> = behind.collect();
            if behind.is_empty() { Ok(()) } else { Err(format!("at {next:?}, the ends are {behind:?}")) }
        })
        .await;
        eventually("the group has committed everything", DRAIN, async || {
            let group = admin.describe_group(GROUP).await.map_err(|error| error.to_string())?;
            let behind: Vec<_> = group.positions.iter().filter(|position| position.lag > 0).collect();
            let all = group.positions.len() == self.options.partitions as usize;
            if all && behind.is_empty() {
                Ok(())
            } else {
                Err(format!("positions are {:?}", group.positions))
            }
        })
        .await;
    }

    fn report(&self) {
        let sent = self.history.count(|op| matches!(op, Op::Sent { at: Some(_), .. }));
        let delivered = self.history.count(|op| matches!(op, Op::Delivered { .. }));
        let acked = self.history.count(|op| matches!(op, Op::Settled { ack: true, .. }));
        let troubles = self.history.troubles();
        eprintln!(
            "{sent} acknowledged, {delivered} deliveries, {acked} acks, {} errors seen by clients",
            troubles.len()
        );
        for trouble in troubles.iter().take(5) {
            eprintln!("  such as: {trouble}");
        }
    }
}

async fn create_topics(client: &Client, options: LoadOptions) {
    // Attempts without a practical bound: nothing is to be parked.
    let settings =
        QueueSettings { attempts_max: Some(10_000), lease_ms: Some(30_000), ..QueueSettings::default() };
    let queue = NewTopic::queue(QUEUE).settings(Settings::Queue(settings));
    for topic in [queue, NewTopic::stream(STREAM)] {
        let topic = topic.partitions(options.partitions).replicas(options.replicas);
        client.admin().create_topic(topic).await.expect("a topic can be created");
    }
}

async fn join(tasks: &mut JoinSet<()>, what: &str) {
    within(&format!("the {what} end"), END, async {
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap_or_else(|error| panic!("one of the {what} failed: {error}"));
        }
    })
    .await;
}
