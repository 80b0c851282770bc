//! Streams that are kept until named groups have read them, while nodes are killed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use serde_json::{Value, json};
use weir_client::{Client, ConsumerOptions, ProducerOptions, ReadUntil, ReaderOptions, Record};
use weir_tests::{Cluster, Site, Weir, eventually};

const STEPS: &str = "steps";
const COUNT: u64 = 1_200;
const PARTITIONS: usize = 2;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);

async fn json_of(weir: &Weir, line: &str) -> Value {
    serde_json::from_str(&weir.ok(&format!("{line} --json")).await).unwrap()
}

async fn append(client: &Client, numbers: std::ops::Range<u64>) {
    let producer = client.producer(STEPS, ProducerOptions::default()).await.unwrap();
    for number in numbers {
        // One by one, so that there are many entries: what goes, goes by whole ones.
        producer.send(Record::new(number.to_string()).key(number.to_string())).await.unwrap().await.unwrap();
    }
    producer.close().await;
}

/// A member reads until it has so many records, and commits them.
async fn read(client: &Client, group: &str, count: usize) -> Vec<u64> {
    let mut consumer = client.stream_consumer(group, &[STEPS], ConsumerOptions::default()).await.unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let record = consumer.next().await.unwrap().unwrap();
        found.push(String::from_utf8(record.value.unwrap().to_vec()).unwrap().parse().unwrap());
    }
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
    found
}

/// Records that are there, by the bounds of the partitions.
async fn retained(client: &Client) -> Result<u64, weir_client::Error> {
    let offsets = client.admin().offsets(STEPS, None).await?;
    assert_eq!(offsets.len(), PARTITIONS);
    Ok(offsets.iter().map(|partition| partition.end_offset - partition.start_offset).sum())
}

async fn readable(client: &Client) -> u64 {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(STEPS, options).await.unwrap();
    let mut found = 0;
    while let Some(record) = reader.next().await {
        record.unwrap();
        found += 1;
    }
    found
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_stay_until_every_named_group_has_read_them_and_then_go_although_nodes_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let (client, weir) = (cluster.client().await, cluster.weir());
    let create = "topic create steps --kind stream --partitions 2 --replicas 3";
    let created = json_of(&weir, &format!("{create} --retain-until-read-by billing,audit")).await;
    let kept_for = json!({ "age_ms": null, "bytes": null, "groups": ["audit", "billing"] });
    assert_eq!(created["settings"]["retention"], kept_for, "without an age of its own, none counts");
    append(&client, 0..COUNT).await;

    let audited = read(&client, "audit", COUNT as usize).await;
    assert_eq!(audited.len() as u64, COUNT);
    assert_eq!(retained(&client).await.unwrap(), COUNT, "billing has read nothing");
    let billed = read(&client, "billing", COUNT as usize / 2).await;
    let left = COUNT - billed.len() as u64;
    assert_eq!(retained(&client).await.unwrap(), left, "what both have read is gone with the commit");

    cluster.crash_busiest(&client).await;
    eventually("the bounds after a leader was killed", REST, async || {
        let found = retained(&client).await.map_err(|error| error.to_string())?;
        if found == left { Ok(()) } else { Err(format!("{found} of {left}")) }
    })
    .await;
    assert_eq!(readable(&client).await, left);
    cluster.kill_all().await;
    cluster.start_all();
    cluster.ready().await;
    cluster.whole(&client).await;
    assert_eq!(retained(&client).await.unwrap(), left);

    let rest = read(&client, "billing", left as usize).await;
    let mut all: Vec<u64> = billed.into_iter().chain(rest).collect();
    all.sort_unstable();
    assert_eq!(all, (0..COUNT).collect::<Vec<_>>(), "nothing went before it was read");
    assert_eq!(retained(&client).await.unwrap(), 0);

    // The last group is let off, and nothing goes by reading any more.
    let described = weir.ok("topic describe steps").await;
    assert!(described.contains("until read by         audit, billing"), "{described}");
    let altered = json_of(&weir, "topic alter steps --retain-until-read-by none").await;
    assert_eq!(altered["settings"]["retention"]["groups"], json!([]));
    append(&client, 0..10).await;
    for group in ["audit", "billing"] {
        read(&client, group, 10).await;
    }
    assert_eq!(retained(&client).await.unwrap(), 10);
    let wrong = weir.run("topic alter steps --retain-until-read-by .hidden").await;
    wrong.fails(5, "invalid-name");
    cluster.check();
}
