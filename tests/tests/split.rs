//! Partitions are split and merged under load, while nodes are killed: nothing that was acknowledged is lost or there twice,
//! and every key keeps its order (P1, P2, P4, P10, P15).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use weir_client::{
    Client, ConsumerOptions, GroupStart, LinkKind, NewTopic, PartitionStage, ProducerOptions, QueueSettings,
    ReadUntil, ReaderOptions, Record, ResetTo, Settings, WorkerOptions,
};
use weir_tests::{Cluster, Site, Weir, eventually};

const KEYS: u64 = 24;
/// For everything to come to rest after the last record was sent.
const REST: Duration = Duration::from_mins(2);
/// Between two records of a producer.
const PACE: Duration = Duration::from_millis(1);
/// Between two commits of a member of a group.
const COMMIT_EVERY: usize = 50;

/// What was seen, by key, in the order in which it was seen.
type Seen = Arc<Mutex<BTreeMap<String, Vec<u64>>>>;

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

fn note(seen: &Seen, key: Option<&[u8]>, value: Option<&[u8]>) {
    let number = text(value).parse().unwrap();
    seen.lock().entry(text(key)).or_default().push(number);
}

fn count(seen: &Seen) -> u64 {
    seen.lock().values().map(|numbers| numbers.len() as u64).sum()
}

/// Each key has its numbers once, in order.
fn check(seen: &Seen, sent: u64) {
    let seen = seen.lock();
    for key in 0..KEYS {
        let expected: Vec<u64> = (key..sent).step_by(KEYS as usize).collect();
        let found = seen.get(&format!("key-{key}")).cloned().unwrap_or_default();
        assert_eq!(found, expected, "what was seen of key {key}");
    }
}

/// The first time that each number was seen, in that order: what is not yet committed may come again when a partition changes
/// hands.
fn firsts(seen: &Seen) -> Seen {
    let mut firsts = BTreeMap::new();
    for (key, numbers) in &*seen.lock() {
        let mut of_key: Vec<u64> = Vec::new();
        for number in numbers {
            if !of_key.contains(number) {
                of_key.push(*number);
            }
        }
        firsts.insert(key.clone(), of_key);
    }
    Arc::new(Mutex::new(firsts))
}

/// Sends numbers, each under one of the keys, until it is told to stop; every one of them has to be acknowledged.
struct Sending {
    stop: CancellationToken,
    tasks: JoinSet<u64>,
}

impl Sending {
    fn to(client: &Client, topic: &str) -> Self {
        let (client, topic, stop) = (client.clone(), topic.to_owned(), CancellationToken::new());
        let mut tasks = JoinSet::new();
        let stopped = stop.clone();
        tasks.spawn(async move {
            let producer = client.producer(&topic, ProducerOptions::default()).await.unwrap();
            let (mut pending, mut number) = (Vec::new(), 0);
            while !stopped.is_cancelled() {
                let record = Record::new(number.to_string()).key(format!("key-{}", number % KEYS));
                pending.push(producer.send(record).await.unwrap());
                number += 1;
                tokio::time::sleep(PACE).await;
            }
            for delivery in pending {
                delivery.await.unwrap();
            }
            producer.close().await;
            number
        });
        Self { stop, tasks }
    }

    /// How many numbers were sent.
    async fn end(mut self) -> u64 {
        self.stop.cancel();
        self.tasks.join_next().await.unwrap().unwrap()
    }
}

/// Reads a stream from its beginning for ever.
fn follow(tasks: &mut JoinSet<()>, client: &Client, topic: &str) -> Seen {
    let (client, topic, seen) = (client.clone(), topic.to_owned(), Seen::default());
    let noted = Arc::clone(&seen);
    tasks.spawn(async move {
        let mut reader = client.stream_reader(&topic, ReaderOptions::default()).await.unwrap();
        while let Some(record) = reader.next().await {
            let record = record.unwrap();
            note(&noted, record.key.as_deref(), record.value.as_deref());
        }
    });
    seen
}

/// Reads a stream as a member of a group, and commits now and then.
fn join(tasks: &mut JoinSet<()>, client: &Client, group: &str, topic: &str, seen: &Seen) {
    let (client, seen) = (client.clone(), Arc::clone(seen));
    let (group, topic) = (group.to_owned(), topic.to_owned());
    tasks.spawn(async move {
        let options = ConsumerOptions { start: GroupStart::Earliest, ..ConsumerOptions::default() };
        let mut consumer = client.stream_consumer(&group, &[&topic], options).await.unwrap();
        let mut handled = 0;
        while let Some(record) = consumer.next().await {
            // A partition that changes hands is an error of one record, and told once.
            let Ok(record) = record else { continue };
            note(&seen, record.key.as_deref(), record.value.as_deref());
            handled += 1;
            if handled % COMMIT_EVERY == 0 {
                consumer.commit_async();
            }
        }
    });
}

/// Takes messages of a queue and acks them.
fn work(tasks: &mut JoinSet<()>, client: &Client, queue: &str, seen: &Seen) {
    let (client, seen, queue) = (client.clone(), Arc::clone(seen), queue.to_owned());
    tasks.spawn(async move {
        let mut worker = client.queue_worker(&queue, WorkerOptions::default()).await.unwrap();
        while let Some(message) = worker.next().await {
            let message = message.unwrap();
            let (key, value) = (message.key.clone(), message.value.clone());
            // Written down before the ack: the next message of its key may be with another worker right after it.
            let number = text(value.as_deref()).parse().unwrap();
            if message.attempt == 1 || !is_noted(&seen, key.as_deref(), number) {
                note(&seen, key.as_deref(), value.as_deref());
            }
            // An ack whose lease is gone is no harm: the message comes again.
            let _ = message.ack().await;
        }
    });
}

fn is_noted(seen: &Seen, key: Option<&[u8]>, number: u64) -> bool {
    seen.lock().get(&text(key)).is_some_and(|numbers| numbers.contains(&number))
}

async fn until(what: &str, seen: &Seen, wanted: u64) {
    eventually(what, REST, async || {
        let count = count(seen);
        if count >= wanted { Ok(()) } else { Err(format!("{count} of {wanted}")) }
    })
    .await;
}

async fn describe(weir: &Weir, topic: &str) -> serde_json::Value {
    serde_json::from_str(&weir.ok(&format!("topic describe {topic} --json")).await).unwrap()
}

/// Numbers of the partitions that own keys.
async fn owners(client: &Client, topic: &str) -> Vec<u32> {
    let partitions = client.admin().describe_topic(topic).await.unwrap().partitions;
    partitions
        .into_iter()
        .filter(|p| !matches!(p.stage, PartitionStage::Coming | PartitionStage::Sealed))
        .map(|p| p.partition)
        .collect()
}

fn fifo() -> Settings {
    Settings::Queue(QueueSettings { fifo: Some(true), ..QueueSettings::default() })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_is_split_and_merged_under_load_and_every_reader_sees_each_key_in_order() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::stream("events").partitions(2)).await.unwrap();
    let sending = Sending::to(&client, "events");
    let mut readers = JoinSet::new();
    let followed = follow(&mut readers, &client, "events");
    let grouped = Seen::default();
    for _ in 0..2 {
        join(&mut readers, &client, "readers", "events", &grouped);
    }
    until("the load flows", &followed, 500).await;

    let weir = cluster.weir();
    let split: serde_json::Value =
        serde_json::from_str(&weir.ok("partition split events 0 --json").await).unwrap();
    assert_eq!((&split["parents"], &split["children"]), (&[0].into(), &[2, 3].into()), "{split}");
    until("the load goes on", &followed, count(&followed) + 500).await;
    cluster.crash_busiest(&client).await;

    // The right child of the first and the second of the beginning are neighbours.
    weir.ok("partition merge events 3 1").await;
    until("the load goes on", &followed, count(&followed) + 500).await;
    weir.ok("topic scale events --partitions 5").await;
    cluster.crash_busiest(&client).await;
    until("the load goes on", &followed, count(&followed) + 500).await;
    assert_eq!(owners(&client, "events").await.len(), 5);
    weir.ok("topic scale events --partitions 2").await;
    let sent = sending.end().await;

    until("the follower has read everything", &followed, sent).await;
    check(&followed, sent);
    eventually("the group has read everything", REST, async || {
        let seen = count(&firsts(&grouped));
        if seen >= sent { Ok(()) } else { Err(format!("{seen} of {sent}")) }
    })
    .await;
    check(&firsts(&grouped), sent);
    readers.shutdown().await;

    // Once more from the beginning, by one who comes afterwards.
    let again = Seen::default();
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader("events", options).await.unwrap();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        note(&again, record.key.as_deref(), record.value.as_deref());
    }
    check(&again, sent);
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_is_split_and_merged_under_load_and_each_message_is_handled_once() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::queue("tasks").partitions(1)).await.unwrap();
    let sending = Sending::to(&client, "tasks");
    let (mut workers, seen) = (JoinSet::new(), Seen::default());
    for _ in 0..2 {
        work(&mut workers, &client, "tasks", &seen);
    }
    until("the load flows", &seen, 300).await;
    let weir = cluster.weir();
    weir.ok("topic scale tasks --partitions 4").await;
    until("the load goes on", &seen, count(&seen) + 300).await;
    cluster.crash_busiest(&client).await;
    weir.ok("topic scale tasks --partitions 2").await;
    until("the load goes on", &seen, count(&seen) + 300).await;
    let sent = sending.end().await;
    until("everything is handled", &seen, sent).await;
    let mut numbers: Vec<u64> = seen.lock().values().flatten().copied().collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..sent).collect::<Vec<_>>());
    workers.shutdown().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fifo_queue_with_a_backlog_is_split_and_every_key_is_handled_in_order() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let topic = NewTopic::queue("orders").partitions(1).settings(fifo());
    client.admin().create_topic(topic).await.unwrap();
    let sending = Sending::to(&client, "orders");
    let weir = cluster.weir();
    eventually("a backlog", REST, async || {
        let stats = client.admin().queue_stats("orders").await.map_err(|error| error.to_string())?;
        let ready = stats[0].ready;
        if ready >= 500 { Ok(()) } else { Err(format!("{ready} wait")) }
    })
    .await;
    weir.ok("partition split orders 0").await;
    let (mut workers, seen) = (JoinSet::new(), Seen::default());
    for _ in 0..3 {
        work(&mut workers, &client, "orders", &seen);
    }
    // While keys are still being drained from the first parent.
    weir.ok("partition split orders 1").await;
    cluster.crash_busiest(&client).await;
    until("the load goes on", &seen, count(&seen) + 500).await;
    weir.ok("partition merge orders 4 2").await;
    cluster.crash_busiest(&client).await;
    until("the load goes on", &seen, count(&seen) + 500).await;
    let sent = sending.end().await;
    until("everything is handled", &seen, sent).await;
    check(&seen, sent);
    workers.shutdown().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_from_topic_to_topic_arrives_once_and_in_order_although_both_ends_are_split() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    for topic in [
        NewTopic::stream("source").partitions(1),
        NewTopic::queue("between").partitions(1).settings(fifo()),
        NewTopic::stream("sink").partitions(1),
    ] {
        admin.create_topic(topic).await.unwrap();
    }
    admin.create_link(LinkKind::Subscription, "source", "between", ResetTo::Earliest).await.unwrap();
    let sending = Sending::to(&client, "source");
    let mut readers = JoinSet::new();
    let arrived = follow(&mut readers, &client, "sink");
    let mut passing = JoinSet::new();
    for _ in 0..4 {
        let client = client.clone();
        passing.spawn(async move {
            let mut worker = client.queue_worker("between", WorkerOptions::default()).await.unwrap();
            while let Some(message) = worker.next().await {
                let message = message.unwrap();
                let record = Record::new(message.value.clone().unwrap_or_default());
                let record = record.key(message.key.clone().unwrap_or_default());
                // One whose lease is gone comes again.
                let _ = message.ack_and_append("sink", [record]).await;
            }
        });
    }
    until("the load flows", &arrived, 200).await;
    let weir = cluster.weir();
    weir.ok("partition split sink 0").await;
    until("the load goes on", &arrived, count(&arrived) + 200).await;
    weir.ok("partition split source 0").await;
    cluster.crash_busiest(&client).await;
    until("the load goes on", &arrived, count(&arrived) + 200).await;
    weir.ok("partition split between 0").await;
    cluster.crash_busiest(&client).await;
    until("the load goes on", &arrived, count(&arrived) + 200).await;
    let sent = sending.end().await;
    until("everything has arrived", &arrived, sent).await;
    check(&arrived, sent);
    passing.shutdown().await;
    readers.shutdown().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forwarded_from_a_fifo_queue_arrives_once_and_in_order_although_the_queue_is_split_and_merged()
 {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    admin.create_topic(NewTopic::queue("parcels").partitions(1).settings(fifo())).await.unwrap();
    admin.create_topic(NewTopic::stream("delivered").partitions(2)).await.unwrap();
    admin.create_link(LinkKind::Forward, "parcels", "delivered", ResetTo::Earliest).await.unwrap();
    let sending = Sending::to(&client, "parcels");
    let mut readers = JoinSet::new();
    let arrived = follow(&mut readers, &client, "delivered");
    until("the load flows", &arrived, 200).await;
    let weir = cluster.weir();
    for change in
        ["partition split parcels 0", "topic scale parcels --partitions 4", "partition merge parcels 3 4"]
    {
        weir.ok(change).await;
        cluster.crash_busiest(&client).await;
        until("the load goes on", &arrived, count(&arrived) + 200).await;
    }
    let sent = sending.end().await;
    until("everything has arrived", &arrived, sent).await;
    check(&arrived, sent);
    readers.shutdown().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_split_or_merged_is_refused_and_changes_nothing() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::stream("events").partitions(3).replicas(1)).await.unwrap();
    let weir = cluster.weir();
    let before = describe(&weir, "events").await["partition_status"].as_array().unwrap().len();
    weir.run("partition merge events 0 2").await.fails(5, "partitions-not-mergeable");
    weir.run("partition split events 7").await.fails(3, "partition-not-found");
    weir.run("partition split events 0 --at ffffffff").await.fails(5, "partition-not-splittable");
    weir.run("partition split nothing 0").await.fails(3, "topic-not-found");
    weir.run("topic scale events --partitions 0").await.fails(5, "no-partitions");
    weir.run("topic scale events --partitions 5000").await.fails(5, "too-many-partitions");
    assert_eq!(describe(&weir, "events").await["partition_status"].as_array().unwrap().len(), before);

    weir.ok("partition split events 0").await;
    weir.run("partition split events 0").await.fails(5, "partition-sealed");
    let described = weir.ok("topic describe events").await;
    assert!(described.contains("sealed"), "{described}");
    // Scaling to what is there already changes nothing.
    weir.ok("topic scale events --partitions 4").await;
    assert_eq!(owners(&client, "events").await.len(), 4);
    client.admin().delete_topic("events").await.unwrap();
    assert!(client.admin().cluster_status().await.unwrap().partitions.is_empty());
    cluster.check();
}
