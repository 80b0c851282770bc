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
use weir_checker::{Consumer, Event, How, Op, Options, Outcome, Phase, QueueOptions};
use weir_client::{Client, ErrorKind, NewTopic, QueueSettings, Result, Settings};
use weir_types::TopicKind;

use crate::{Cluster, End, Recorder, eventually, within};

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

/// Deliveries of a message until it is parked, without a practical bound: nothing is to be parked.
const ATTEMPTS_MAX: u32 = 10_000;

/// Consumers of the queue: workers, and one of single calls.
const WORKERS: [Consumer; 2] = [Consumer(1), Consumer(2)];
const RECEIVER: Consumer = Consumer(3);
/// Members of the group.
const MEMBERS: [Consumer; 2] = [Consumer(4), Consumer(5)];
/// Reads the stream from the beginning on, all along, across every failover.
const FOLLOWER: Consumer = Consumer(6);
/// Reads the stream from the beginning to the end, after everything is over.
const LAST: Consumer = Consumer(7);

/// What the load does.
#[derive(Clone, Copy, Debug)]
pub struct LoadOptions {
    /// Partitions of each topic.
    pub partitions: u32,
    /// Replicas of each partition.
    pub replicas: u32,
    /// Producers of each topic.
    pub producers: u32,
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
    recorder: Arc<Recorder>,
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
        let recorder = Arc::new(Recorder::default());
        recorder.faults_begin();
        // The client asks several partitions, and drops the answers of those that are late.
        let unheard = Op::Receive { topic: QUEUE.to_owned(), consumer: RECEIVER, deliveries: Vec::new() };
        recorder.may_happen(recorder.now(), unheard);
        let (produce, consume) = (CancellationToken::new(), CancellationToken::new());
        let mut producers = JoinSet::new();
        for (kind, first) in [(TopicKind::Queue, 0), (TopicKind::Stream, options.producers)] {
            for number in first..first + options.producers {
                let (client, recorder) = (cluster.client().await, Arc::clone(&recorder));
                let producer = produce::Producing { client, recorder, kind, number, pace: options.pace };
                producers.spawn(producer.run(produce.clone()));
            }
        }
        let mut consumers = JoinSet::new();
        for worker in WORKERS {
            let (client, recorder) = (cluster.client().await, Arc::clone(&recorder));
            consumers.spawn(work::work(client, recorder, worker, options.careless, consume.clone()));
        }
        let (receiver, noted) = (cluster.client().await, Arc::clone(&recorder));
        // It forgets messages only while there are producers: what is left must drain.
        let forget = options.careless.then(|| produce.clone());
        consumers.spawn(receive::receive(receiver, noted, RECEIVER, forget, consume.clone()));
        let (reader, noted) = (cluster.client().await, Arc::clone(&recorder));
        consumers.spawn(read::follow(reader, noted, consume.clone()));
        for member in MEMBERS {
            let (client, recorder) = (cluster.client().await, Arc::clone(&recorder));
            consumers.spawn(group::member(client, recorder, member, consume.clone()));
        }
        consumers.spawn(group::look(cluster.client().await, Arc::clone(&recorder), consume.clone()));
        let probes = probe::Probes::open(&client, Arc::clone(&recorder), options.partitions).await;
        Self { client, recorder, options, producers, consumers, produce, consume, probes }
    }

    /// What has happened so far.
    pub fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// A client that nothing else uses.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Waits until so many more operations have ended well: sends of both topics, acks, and reads.
    pub async fn flows(&self, more: usize) {
        let done = |event: &Event| is_sent(event) || is_acked(event) || matches!(event.op, Op::Poll { .. });
        let target = self.recorder.count(done) + more;
        eventually("the load goes on", DRAIN, async || {
            let count = self.recorder.count(done);
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
    pub async fn drain_and_check(mut self) -> Arc<Recorder> {
        self.produce.cancel();
        join(&mut self.producers, "producers").await;
        self.drained().await;
        self.consume.cancel();
        join(&mut self.consumers, "consumers").await;
        self.recorder.note(Op::Phase(Phase::End));
        read::to_the_end(&self.client, &self.recorder, self.options.partitions).await;
        let broken = self.recorder.broken_promises(&known());
        assert!(broken.is_empty(), "{}", broken.join("\n\n"));
        self.report();
        self.recorder
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
            let next = |partition| self.recorder.next_offset(FOLLOWER, partition);
            let behind = ends.iter().find(|end| next(end.partition) < end.end_offset);
            behind.map_or(Ok(()), |end| Err(format!("at {}, the end is {end:?}", next(end.partition))))
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
        let sent = self.recorder.count(is_sent);
        let acked = self.recorder.count(is_acked);
        let mut delivered = 0;
        self.recorder.each(|event| {
            if let Op::Receive { deliveries, .. } = &event.op {
                delivered += deliveries.len();
            }
        });
        let troubles = self.recorder.troubles();
        eprintln!(
            "{sent} acknowledged, {delivered} deliveries, {acked} acks, {} errors seen by clients",
            troubles.len()
        );
        for trouble in troubles.iter().take(5) {
            eprintln!("  such as: {trouble}");
        }
    }
}

/// What the checks have to know beside the history.
fn known() -> Options {
    let queue = QueueOptions { attempts_max: Some(ATTEMPTS_MAX), ..QueueOptions::default() };
    Options { queue, ..Options::default() }
}

fn is_sent(event: &Event) -> bool {
    matches!(event.op, Op::Enqueue { at: Some(_), .. } | Op::Append { at: Some(_), .. })
}

fn is_acked(event: &Event) -> bool {
    event.outcome == Outcome::Ok && matches!(event.op, Op::Settle { how: How::Ack, .. })
}

/// How an operation ended that was answered so.
fn ended<T>(answer: &Result<T>) -> End {
    let Err(error) = answer else { return End::Ok };
    let text = format!("{}: {error}", error.code());
    if error.kind() == ErrorKind::OutcomeUnknown { End::Info(text) } else { End::Fail(text) }
}

async fn create_topics(client: &Client, options: LoadOptions) {
    let settings = QueueSettings {
        attempts_max: Some(ATTEMPTS_MAX),
        lease_ms: Some(30_000),
        ..QueueSettings::default()
    };
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
