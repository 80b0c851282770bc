//! Compacted streams: the last record of each key stays at its offset and the others go, while nodes are killed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use serde_json::Value;
use weir_client::{
    Client, Codec, ConsumerOptions, ErrorKind, ProducerOptions, ReadUntil, ReaderOptions, Record,
    StreamPartition, StreamRecord,
};
use weir_tests::{Cluster, Site, Weir, eventually};

const PRICES: &str = "prices";
const KEYS: u64 = 60;
const ROUNDS: u64 = 250;
const KILLS: u64 = 3;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);

async fn json_of(weir: &Weir, line: &str) -> Value {
    serde_json::from_str(&weir.ok(&format!("{line} --json")).await).unwrap()
}

/// About a KiB that does not compress to nothing.
fn value(key: u64, round: u64) -> String {
    let mut text = format!("{key}/{round}:");
    let mut noise = key * 7_919 + round;
    while text.len() < 1_000 {
        noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(&noise.to_string());
    }
    text
}

/// Every key gets a value in each round; answers where the last one of each is.
async fn append(client: &Client, keys: Range<u64>, rounds: Range<u64>) -> BTreeMap<u64, (u32, u64)> {
    let options = ProducerOptions { codec: Codec::Lz4, ..ProducerOptions::default() };
    let producer = client.producer(PRICES, options).await.unwrap();
    let mut last = BTreeMap::new();
    for round in rounds {
        let mut sent = Vec::new();
        for key in keys.clone() {
            let record = Record::new(value(key, round)).key(format!("key-{key}"));
            sent.push((key, producer.send(record).await.unwrap()));
        }
        for (key, sent) in sent {
            let place = sent.await.unwrap();
            last.insert(key, (place.partition, place.offset));
        }
    }
    producer.close().await;
    last
}

async fn delete(client: &Client, keys: impl Iterator<Item = u64>) {
    let producer = client.producer(PRICES, ProducerOptions::default()).await.unwrap();
    for key in keys {
        let record = Record { value: None, ..Record::new("") }.key(format!("key-{key}"));
        producer.send(record).await.unwrap().await.unwrap();
    }
    producer.close().await;
}

async fn all(client: &Client) -> Result<Vec<StreamRecord>, weir_client::Error> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(PRICES, options).await?;
    let mut found = Vec::new();
    while let Some(record) = reader.next().await {
        found.push(record?);
    }
    Ok(found)
}

async fn partitions(client: &Client) -> Vec<StreamPartition> {
    let described = client.admin().describe_topic(PRICES).await.unwrap();
    described.partitions.into_iter().filter_map(|partition| partition.stream).collect()
}

fn key_of(record: &StreamRecord) -> u64 {
    let key = String::from_utf8(record.key.clone().unwrap().to_vec()).unwrap();
    key.trim_start_matches("key-").parse().unwrap()
}

/// The last record of each key.
fn last_of(records: &[StreamRecord]) -> BTreeMap<u64, &StreamRecord> {
    records.iter().map(|record| (key_of(record), record)).collect()
}

fn text(record: &StreamRecord) -> Option<String> {
    record.value.as_ref().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

/// A group that reads along until it has seen every key's last value: gaps are no errors.
async fn follow(client: Client) {
    let mut consumer = client.stream_consumer("follow", &[PRICES], ConsumerOptions::default()).await.unwrap();
    let (mut last, mut read) = (BTreeMap::new(), 0_u64);
    while last.values().filter(|round| **round == ROUNDS - 1).count() < KEYS as usize {
        let record = consumer.next().await.unwrap().unwrap();
        let text = text(&record).unwrap();
        let round: u64 = text.split([':', '/']).nth(1).unwrap().parse().unwrap();
        last.insert(key_of(&record), round);
        read += 1;
        if read.is_multiple_of(500) {
            consumer.commit().await.unwrap();
        }
    }
    consumer.close().await.unwrap();
}

async fn check_last(client: &Client, keys: Range<u64>, places: &BTreeMap<u64, (u32, u64)>, round: u64) {
    let found = all(client).await.unwrap();
    let last = last_of(&found);
    for key in keys {
        let record = last[&key];
        assert_eq!((record.partition, record.offset), places[&key], "the last of key {key} keeps its offset");
        assert_eq!(text(record).unwrap(), value(key, round));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_record_of_each_key_stays_at_its_offset_and_the_others_go_although_nodes_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let (client, weir) = (cluster.client().await, cluster.weir());
    let create = "topic create prices --kind stream --partitions 2 --replicas 3 --compact";
    let created = json_of(&weir, &format!("{create} --tombstone-retention 1s")).await;
    assert_eq!(created["settings"]["compaction"]["enabled"], true);
    assert_eq!(
        created["settings"]["retention"]["age_ms"],
        Value::Null,
        "the last of a key does not get too old"
    );
    let following = tokio::spawn(follow(client.clone()));
    let mut places = BTreeMap::new();
    for kill in 0..=KILLS {
        let from = ROUNDS * kill / (KILLS + 1);
        places = append(&client, 0..KEYS, from..ROUNDS * (kill + 1) / (KILLS + 1)).await;
        if kill < KILLS {
            cluster.crash_busiest(&client).await;
        }
    }
    following.await.unwrap();
    eventually("most of what was replaced is gone", REST, async || {
        let found = all(&client).await.map_err(|error| error.to_string())?.len() as u64;
        if found < ROUNDS * KEYS / 3 { Ok(()) } else { Err(format!("{found} records")) }
    })
    .await;
    let bytes: u64 = partitions(&client).await.iter().map(|stream| stream.bytes).sum();
    assert!(bytes < ROUNDS * KEYS * 1_000 / 3, "{bytes} bytes are left");
    check_last(&client, 0..KEYS, &places, ROUNDS - 1).await;

    // Keys are deleted, and their tombstones go too once they have stayed for their time.
    delete(&client, 0..KEYS / 2).await;
    let places = append(&client, KEYS / 2..KEYS, ROUNDS..ROUNDS + 200).await;
    eventually("deleted keys and their tombstones are gone", REST, async || {
        let found = all(&client).await.map_err(|error| error.to_string())?;
        let deleted = found.iter().filter(|record| key_of(record) < KEYS / 2).count();
        if deleted == 0 { Ok(()) } else { Err(format!("{deleted} records of deleted keys")) }
    })
    .await;
    cluster.kill_all().await;
    cluster.start_all();
    cluster.ready().await;
    cluster.caught_up(&client).await;
    check_last(&client, KEYS / 2..KEYS, &places, ROUNDS + 199).await;
    let digest = json_of(&weir, "cluster digest --topic prices").await;
    let replicas = digest["replicas"].as_array().unwrap();
    assert!(replicas.len() == 6 && replicas.iter().all(|replica| replica["differs"] == false), "{digest}");
    cluster.check();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_compacted_stream_takes_no_record_without_a_key_and_is_kept_for_no_groups() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let (client, weir) = (cluster.client().await, cluster.weir());
    weir.ok("topic create prices --kind stream --partitions 1 --replicas 1").await;
    let keyless = async || {
        let producer = client.producer(PRICES, ProducerOptions::default()).await.unwrap();
        producer.send(Record::new("keyless")).await.unwrap().await
    };
    keyless().await.unwrap();
    weir.ok("topic alter prices --compact --compact-after 1h").await;
    let described = weir.ok("topic describe prices").await;
    assert!(described.contains("compacted after       1h"), "{described}");
    eventually("the partition knows of its new settings", REST, async || match keyless().await {
        Err(error) if (error.kind(), error.code()) == (ErrorKind::Invalid, "key-missing") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    let refused = weir.run("topic alter prices --retain-until-read-by audit").await;
    refused.fails(5, "invalid-policy");
    weir.ok("topic alter prices --compact=false").await;
    eventually("records without a key again", REST, async || keyless().await.map(drop)).await;
    cluster.check();
}
