//! Records are handled and committed together with what came of them, while nodes and members are killed: every record has
//! its output once, in the order of its key (P11, P14).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_client::{
    Client, ConsumerOptions, ErrorKind, NewTopic, Outputs, ProducerOptions, ReadUntil, ReaderOptions, Record,
    StreamConsumer, StreamRecord,
};
use weir_tests::{Cluster, Site, eventually};

const CLICKS: &str = "clicks";
const LENGTHS: &str = "lengths";
const GROUP: &str = "measure";
const COUNT: u64 = 3_000;
const KEYS: u64 = 20;
const KILLS: u64 = 4;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);
/// After so long without a heartbeat a member is out.
const SESSION: Duration = Duration::from_secs(3);
/// Records that a member takes at once.
const BATCH: usize = 50;

fn click(number: u64) -> Record {
    Record::new(number.to_string()).key(format!("key-{}", number % KEYS))
}

async fn create_topics(client: &Client, replicas: u32) {
    for topic in [NewTopic::stream(CLICKS).partitions(3), NewTopic::stream(LENGTHS).partitions(2)] {
        client.admin().create_topic(topic.replicas(replicas)).await.unwrap();
    }
}

async fn append(client: &Client, count: u64) {
    let producer = client.producer(CLICKS, ProducerOptions::default()).await.unwrap();
    for number in 0..count {
        // Waits only for room: each record counts by its output.
        drop(producer.send(click(number)).await.unwrap());
    }
    producer.close().await;
}

async fn join(client: &Client) -> StreamConsumer {
    let options =
        ConsumerOptions { commit_on_revoke: false, session_timeout: SESSION, ..ConsumerOptions::default() };
    client.stream_consumer(GROUP, &[CLICKS], options).await.unwrap()
}

fn outputs(records: &[StreamRecord]) -> Outputs {
    let output = |record: &StreamRecord| Record {
        key: record.key.clone(),
        ..Record::new(record.value.clone().unwrap())
    };
    Outputs::new().append_all(LENGTHS, records.iter().map(output))
}

/// A member that takes step after step. Whoever cannot, does not know: the records come again if they are not done.
async fn process(client: Client, stop: CancellationToken) {
    let mut consumer = join(&client).await;
    loop {
        let batch = tokio::select! {
            () = stop.cancelled() => break,
            batch = consumer.next_batch(BATCH) => batch.unwrap(),
        };
        let records = match batch {
            Ok(records) => records,
            Err(error) => {
                eprintln!("a partition has stalled: {error}");
                continue;
            }
        };
        // What nobody knows is asked again as it was.
        while let Err(error) = consumer.commit_and_append(outputs(&records)).await {
            match error.kind() {
                ErrorKind::Fenced => break,
                ErrorKind::OutcomeUnknown | ErrorKind::Retry => {}
                other => panic!("{other:?}: {error}"),
            }
        }
    }
    consumer.close().await.unwrap();
}

/// Members that read a batch, and are gone before they have committed it. The group has forgotten one before the next
/// joins: otherwise most of its members would be dead ones.
async fn crash_again_and_again(client: Client, stop: CancellationToken) {
    while !stop.is_cancelled() {
        let mut consumer = join(&client).await;
        let _ = stop.run_until_cancelled(consumer.next_batch(BATCH)).await;
        drop(consumer);
        let _ = stop.run_until_cancelled(sleep(SESSION + SESSION / 3)).await;
    }
}

/// What came of the records: the numbers of each key, in order.
async fn results(client: &Client) -> BTreeMap<String, Vec<u64>> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(LENGTHS, options).await.unwrap();
    let mut results: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let number = text(&record.value.unwrap()).parse().unwrap();
        results.entry(text(&record.key.unwrap())).or_default().push(number);
    }
    results
}

async fn found(client: &Client) -> u64 {
    results(client).await.values().map(|numbers| numbers.len() as u64).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_record_has_one_output_in_the_order_of_its_key_although_nodes_and_members_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    create_topics(&client, 3).await;
    let (stop, calm) = (CancellationToken::new(), CancellationToken::new());
    let appending = tokio::spawn({
        let client = client.clone();
        async move { append(&client, COUNT).await }
    });
    let members: Vec<_> = (0..2).map(|_| tokio::spawn(process(client.clone(), stop.clone()))).collect();
    let crashing = tokio::spawn(crash_again_and_again(client.clone(), calm.clone()));

    for kill in 1..=KILLS {
        let done = COUNT * kill / (KILLS + 2);
        eventually("some more records are handled", REST, async || {
            let found = found(&client).await;
            if found >= done { Ok(()) } else { Err(format!("{found} of {done}")) }
        })
        .await;
        cluster.crash_busiest(&client).await;
    }
    appending.await.unwrap();
    calm.cancel();
    crashing.await.unwrap();
    eventually("an output of every record", REST, async || {
        let found = found(&client).await;
        if found >= COUNT { Ok(()) } else { Err(format!("{found} of {COUNT}")) }
    })
    .await;
    let group = client.admin().describe_group(GROUP).await.unwrap();
    assert_eq!(group.positions.iter().map(|partition| partition.lag).sum::<u64>(), 0, "{group:?}");
    stop.cancel();
    for member in members {
        member.await.unwrap();
    }
    let found = results(&client).await;
    assert_eq!(found.len() as u64, KEYS);
    for (key, numbers) in found {
        let first: u64 = key.trim_start_matches("key-").parse().unwrap();
        let expected: Vec<u64> = (first..COUNT).step_by(KEYS as usize).collect();
        assert_eq!(numbers, expected, "outputs of {key}");
    }
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_is_refused_whole_when_its_owner_or_its_outputs_are_wrong() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    create_topics(&client, 1).await;
    append(&client, 60).await;

    let mut plain = client.stream_consumer("plain", &[CLICKS], ConsumerOptions::default()).await.unwrap();
    let error = plain.commit_and_append(Outputs::new()).await.unwrap_err();
    assert_eq!(error.code(), "option-invalid", "{error}");

    let mut consumer = join(&client).await;
    let error = consumer.commit_and_append(Outputs::new()).await.unwrap_err();
    assert_eq!(error.code(), "not-one-partition", "{error}");
    let records = consumer.next_batch(BATCH).await.unwrap().unwrap();
    let error = consumer.commit_and_append(Outputs::new().append("nowhere", click(1))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
    assert_eq!(found(&client).await, 0);
    consumer.commit_and_append(outputs(&records)).await.unwrap();

    // An operator moves the group under a member: that one's next step does not count.
    let records = consumer.next_batch(1).await.unwrap().unwrap();
    let (topic, partition) = (records[0].topic.clone(), records[0].partition);
    let epoch = consumer.epoch(&topic, partition).unwrap();
    let described = client.admin().describe_topic(&topic).await.unwrap();
    let group_id = described.partitions.iter().find(|found| found.partition == partition).unwrap().group_id;
    move_position(&cluster.seeds()[0], group_id, epoch).await;
    let error = consumer.commit_and_append(outputs(&records)).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Fenced, "position-moved"), "{error}");

    // It takes the partition over again, and goes on from there.
    let mut left = 60_usize;
    let mut seen = BTreeMap::<u32, u64>::new();
    while left > 0 {
        let Ok(records) = consumer.next_batch(BATCH).await.unwrap() else { continue };
        match consumer.commit_and_append(outputs(&records)).await {
            Ok(()) => *seen.entry(records[0].partition).or_default() += records.len() as u64,
            Err(error) => panic!("{error}"),
        }
        let group = client.admin().describe_group(GROUP).await.unwrap();
        left = group.positions.iter().map(|partition| partition.lag as usize).sum();
    }
    assert!(seen.contains_key(&partition), "{seen:?}");
    consumer.close().await.unwrap();
    cluster.check();
}

/// What no client library does: an operator resets the group while it has members.
async fn move_position(seed: &str, group_id: u32, epoch: u64) {
    use weir_proto::v1::CommitOffsetRequest;
    use weir_proto::v1::stream_client::StreamClient;
    let mut stream = StreamClient::connect(format!("http://{seed}")).await.unwrap();
    let (consumer_group, metadata) = (GROUP.to_owned(), String::new());
    let commit = CommitOffsetRequest { group_id, consumer_group, epoch, offset: 0, metadata, reset: true };
    stream.commit_offset(commit).await.unwrap();
}
