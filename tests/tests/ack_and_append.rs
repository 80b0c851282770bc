//! Tasks are acked together with what came out of them, while nodes are killed: every result is there once, in the
//! order of its key (P2, P11).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio_util::sync::CancellationToken;
use weir_client::{
    Client, ErrorKind, Message, NewTopic, Outputs, ProducerOptions, QueueSettings, ReadUntil, ReaderOptions,
    ReceiveOptions, Record, Settings, WorkerOptions,
};
use weir_tests::{Cluster, Site, eventually};

const TASKS: &str = "tasks";
const RESULTS: &str = "results";
const COUNT: u64 = 3_000;
const KEYS: u64 = 20;
const KILLS: u64 = 4;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);

fn task(number: u64) -> Record {
    Record::new(number.to_string()).key(format!("key-{}", number % KEYS))
}

async fn create_topics(client: &Client, settings: QueueSettings) {
    let queue = NewTopic::queue(TASKS).partitions(2).settings(Settings::Queue(settings));
    for topic in [queue, NewTopic::stream(RESULTS).partitions(3)] {
        client.admin().create_topic(topic).await.unwrap();
    }
}

async fn send_tasks(client: &Client) {
    let producer = client.producer(TASKS, ProducerOptions::default()).await.unwrap();
    for number in 0..COUNT {
        // Waits only for room: answers are waited for by `close`, each task counts by its result.
        drop(producer.send(task(number)).await.unwrap());
    }
    producer.close().await;
}

/// Acks a task together with its result. Whoever cannot, does not know: the task comes again if it is not done.
async fn finish(message: Message) {
    let (key, value) = (message.key.clone().unwrap(), message.value.clone().unwrap());
    if let Err(error) = message.ack_and_append(RESULTS, [Record::new(value).key(key)]).await {
        let expected = matches!(error.kind(), ErrorKind::LeaseLost | ErrorKind::OutcomeUnknown);
        assert!(expected, "{error}");
    }
}

async fn work(client: Client, stop: CancellationToken) {
    let options = WorkerOptions { credit: 64, ..WorkerOptions::default() };
    let mut worker = client.queue_worker(TASKS, options).await.unwrap();
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            message = worker.next() => match message {
                Some(Ok(message)) => running.push(finish(message)),
                Some(Err(error)) => eprintln!("a partition has stalled: {error}"),
                None => break,
            },
            Some(()) = running.next() => {}
        }
    }
    while running.next().await.is_some() {}
    worker.close().await.unwrap();
}

/// What the stream holds: the numbers of each key, in order.
async fn results(client: &Client) -> BTreeMap<String, Vec<u64>> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(RESULTS, options).await.unwrap();
    let mut results: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let number = text(&record.value.unwrap()).parse().unwrap();
        results.entry(text(&record.key.unwrap())).or_default().push(number);
    }
    results
}

/// Every task has its result; then nothing more comes.
async fn all_results(client: &Client) -> BTreeMap<String, Vec<u64>> {
    eventually("a result of every task", REST, async || {
        let found: usize = results(client).await.values().map(Vec::len).sum();
        if found as u64 >= COUNT { Ok(()) } else { Err(format!("{found} of {COUNT}")) }
    })
    .await;
    let messages = client.admin().queue_stats(TASKS).await.unwrap();
    let left: u64 = messages.iter().map(|partition| partition.ready + partition.leased).sum();
    assert_eq!(left, 0, "every task is done: {messages:?}");
    results(client).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_task_has_one_result_in_the_order_of_its_key_although_nodes_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    create_topics(
        &client,
        QueueSettings { fifo: Some(true), lease_ms: Some(5_000), ..QueueSettings::default() },
    )
    .await;
    let stop = CancellationToken::new();
    let sending = tokio::spawn({
        let client = client.clone();
        async move { send_tasks(&client).await }
    });
    let workers: Vec<_> = (0..2).map(|_| tokio::spawn(work(client.clone(), stop.clone()))).collect();

    for kill in 1..=KILLS {
        let done = COUNT * kill / (KILLS + 2);
        eventually("some more tasks are done", REST, async || {
            let acked = client.admin().queue_stats(TASKS).await.map_err(|error| error.to_string())?;
            let acked: u64 = acked.iter().map(|partition| partition.acked_total).sum();
            if acked >= done { Ok(()) } else { Err(format!("{acked} of {done}")) }
        })
        .await;
        cluster.crash_busiest(&client).await;
    }
    sending.await.unwrap();
    let found = all_results(&client).await;
    stop.cancel();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(found.len() as u64, KEYS);
    for (key, numbers) in found {
        let first: u64 = key.trim_start_matches("key-").parse().unwrap();
        let expected: Vec<u64> = (first..COUNT).step_by(KEYS as usize).collect();
        assert_eq!(numbers, expected, "results of {key}");
    }
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_messages_are_acked_with_their_outputs_or_none_is() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    for topic in [NewTopic::queue(TASKS), NewTopic::stream(RESULTS).partitions(3), NewTopic::queue("next")] {
        client.admin().create_topic(topic.replicas(1)).await.unwrap();
    }
    let producer = client.producer(TASKS, ProducerOptions::default()).await.unwrap();
    for number in 0..3 {
        producer.send(task(number)).await.unwrap().await.unwrap();
    }
    let options = ReceiveOptions { max_messages: 3, ..ReceiveOptions::default() };
    let leased = client.receive(TASKS, options).await.unwrap();
    let tokens: Vec<_> = leased.iter().map(|message| message.token).collect();
    let outputs = || Outputs::new().append(RESULTS, task(7)).append("next", Record::new("go on").priority(3));

    client.ack_and_append(&tokens[..2], outputs()).await.unwrap();
    // One of them is gone by now, so the third stays as it is.
    let error = client.ack_and_append(&tokens[1..], outputs()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost, "{error}");
    let error =
        client.ack_and_append(&tokens[2..], Outputs::new().append("nowhere", task(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    let stats = client.admin().queue_stats(TASKS).await.unwrap();
    assert_eq!((stats[0].acked_total, stats[0].leased), (2, 1));
    client.ack_and_append(&tokens[2..], Outputs::new()).await.unwrap();

    let next =
        ReceiveOptions { max_messages: 10, wait: Duration::from_secs(10), ..ReceiveOptions::default() };
    let moved = client.receive("next", next).await.unwrap();
    assert_eq!(moved.len(), 1, "{moved:?}");
    assert_eq!(moved[0].value.as_deref(), Some(&b"go on"[..]));
    let found = eventually("the result", REST, async || {
        let found = results(&client).await;
        if found.is_empty() { Err("nothing yet") } else { Ok(found) }
    })
    .await;
    assert_eq!(found["key-7"], [7]);
    cluster.check();
}
