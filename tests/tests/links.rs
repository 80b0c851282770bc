//! Links between topics: forwards, dead letters and subscriptions, each message once and in the order of its key,
//! while nodes are killed at either end (P11).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use weir_client::{
    Client, ErrorKind, LinkKind, NewTopic, ProducerOptions, QueueSettings, ReadUntil, ReaderOptions,
    ReceiveOptions, Record, ResetTo, Settings, Settle, SettleAction, StreamRecord, WorkerOptions,
};
use weir_tests::{Cluster, Site, eventually};

const KEYS: u64 = 20;
const COUNT: u64 = 4_000;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);

fn record(number: u64) -> Record {
    Record::new(number.to_string()).key(format!("key-{}", number % KEYS)).header("number", number.to_string())
}

async fn send(client: &Client, topic: &str, numbers: std::ops::Range<u64>) {
    let producer = client.producer(topic, ProducerOptions::default()).await.unwrap();
    for number in numbers {
        drop(producer.send(record(number)).await.unwrap());
    }
    producer.close().await;
}

/// Everything that a stream holds, by key in order.
async fn in_stream(client: &Client, topic: &str) -> BTreeMap<String, Vec<StreamRecord>> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(topic, options).await.unwrap();
    let mut found: BTreeMap<String, Vec<StreamRecord>> = BTreeMap::new();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        found.entry(text(record.key.as_deref())).or_default().push(record);
    }
    found
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap_or_default().to_vec()).unwrap()
}

fn number(value: Option<&[u8]>) -> u64 {
    text(value).parse().unwrap()
}

/// Waits until so many records are at the end.
async fn arrived(client: &Client, count: u64) {
    eventually("records at the end", REST, async || {
        let offsets = client.admin().offsets("sink", None).await.map_err(|error| error.to_string())?;
        let there: u64 = offsets.iter().map(|partition| partition.end_offset).sum();
        if there >= count { Ok(()) } else { Err(format!("{there} of {count}")) }
    })
    .await;
}

/// Each key has its numbers once, in order.
fn check(found: &BTreeMap<String, Vec<u64>>) {
    assert_eq!(found.len() as u64, KEYS);
    for (key, numbers) in found {
        let first: u64 = key.trim_start_matches("key-").parse().unwrap();
        let expected: Vec<u64> = (first..COUNT).step_by(KEYS as usize).collect();
        assert_eq!(*numbers, expected, "what is there of {key}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_through_a_stream_a_queue_and_another_stream_is_there_once_although_nodes_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let fifo = QueueSettings { fifo: Some(true), ..QueueSettings::default() };
    for topic in [
        NewTopic::stream("source").partitions(2),
        NewTopic::queue("between").partitions(3).settings(Settings::Queue(fifo)),
        NewTopic::stream("sink").partitions(2),
    ] {
        admin.create_topic(topic).await.unwrap();
    }
    // What is there before the link counts as well.
    send(&client, "source", 0..COUNT / 4).await;
    admin.create_link(LinkKind::Subscription, "source", "between", ResetTo::Earliest).await.unwrap();
    admin.create_link(LinkKind::Forward, "between", "sink", ResetTo::Earliest).await.unwrap();
    for quarter in 1..4 {
        let sent = COUNT / 4 * quarter;
        let sending = tokio::spawn({
            let client = client.clone();
            async move { send(&client, "source", sent..sent + COUNT / 4).await }
        });
        // Some of this quarter has come through, so that the kill meets the rest on its way.
        arrived(&client, sent + 1).await;
        cluster.crash_busiest(&client).await;
        sending.await.unwrap();
    }
    arrived(&client, COUNT).await;
    let found = in_stream(&client, "sink").await;
    assert!(found.values().flatten().all(|record| record.headers[0].name == "number"), "headers come along");
    let numbers =
        |records: &Vec<StreamRecord>| records.iter().map(|record| number(record.value.as_deref())).collect();
    check(&found.iter().map(|(key, records)| (key.clone(), numbers(records))).collect());
    let left = admin.queue_stats("between").await.unwrap();
    assert!(left.iter().all(|partition| partition.ready == 0), "{left:?}");
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_go_to_another_topic_and_say_what_they_died_of() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    let admin = client.admin();
    for topic in [NewTopic::queue("tasks"), NewTopic::queue("graveyard"), NewTopic::stream("events")] {
        admin.create_topic(topic.replicas(1)).await.unwrap();
    }
    let producer = client.producer("tasks", ProducerOptions::default()).await.unwrap();
    producer.send(record(7).priority(9).message_id("seven")).await.unwrap().await.unwrap();
    let reject = async || {
        let options = ReceiveOptions { wait: Duration::from_secs(10), ..ReceiveOptions::default() };
        let leased = client.receive("tasks", options).await.unwrap();
        let action = SettleAction::Reject { reason: "smells".to_owned() };
        client.settle(&[Settle { token: leased[0].token, action }]).await.remove(0).unwrap();
    };
    // What is parked already goes when the link is made.
    reject().await;
    assert_eq!(admin.queue_stats("tasks").await.unwrap()[0].parked, 1);
    admin.create_link(LinkKind::DeadLetter, "tasks", "graveyard", ResetTo::Earliest).await.unwrap();
    let mut graveyard = client.queue_worker("graveyard", WorkerOptions::default()).await.unwrap();
    let first = graveyard.next().await.unwrap().unwrap();
    assert_eq!(first.header("weir-dead-letter-reason"), Some(&b"smells"[..]));
    assert_eq!(first.header("weir-dead-letter-attempts"), Some(&b"1"[..]));
    assert_eq!(first.header("weir-dead-letter-origin"), Some(&b"tasks/0/0"[..]));
    assert_eq!(first.header("number"), Some(&b"7"[..]));
    assert_eq!(first.header("weir-priority"), None);
    assert_eq!(number(first.value.as_deref()), 7);
    first.ack().await.unwrap();

    producer.send(record(8)).await.unwrap().await.unwrap();
    reject().await;
    let second = graveyard.next().await.unwrap().unwrap();
    assert_eq!(second.header("weir-dead-letter-origin"), Some(&b"tasks/0/1"[..]));
    second.ack().await.unwrap();
    assert_eq!(admin.queue_stats("tasks").await.unwrap()[0].parked, 0);
    graveyard.close().await.unwrap();
    producer.close().await;
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_that_make_no_sense_are_refused_and_change_nothing() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    let admin = client.admin();
    for topic in [NewTopic::queue("tasks"), NewTopic::queue("other"), NewTopic::stream("events")] {
        admin.create_topic(topic.replicas(1)).await.unwrap();
    }
    let start = ResetTo::Earliest;
    admin.create_link(LinkKind::Forward, "tasks", "events", start).await.unwrap();
    admin.create_link(LinkKind::Forward, "tasks", "events", start).await.unwrap();
    for (kind, from, to, error) in [
        (LinkKind::Forward, "tasks", "other", ErrorKind::AlreadyExists),
        (LinkKind::Subscription, "events", "tasks", ErrorKind::Invalid),
        (LinkKind::Forward, "events", "tasks", ErrorKind::Invalid),
        (LinkKind::DeadLetter, "other", "other", ErrorKind::Invalid),
        (LinkKind::DeadLetter, "other", "nowhere", ErrorKind::NotFound),
    ] {
        let refused = admin.create_link(kind, from, to, start).await.unwrap_err();
        assert_eq!(refused.kind(), error, "{kind:?} from {from} to {to}: {refused}");
    }
    assert_eq!(admin.delete_topic("events").await.unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(admin.list_links().await.unwrap().len(), 1);

    admin.delete_link(LinkKind::Forward, "tasks", "events").await.unwrap();
    let again = admin.delete_link(LinkKind::Forward, "tasks", "events").await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::NotFound);
    // Without the link messages stay where they are, and the topic can go.
    send(&client, "tasks", 0..3).await;
    assert_eq!(admin.queue_stats("tasks").await.unwrap()[0].ready, 3);
    admin.delete_topic("events").await.unwrap();
    cluster.check();
}
