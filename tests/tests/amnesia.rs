//! A node whose disk lost acknowledged writes forgets who it was: it neither votes nor answers under its old replica
//! ids, and is let in again under fresh ones, as learner and then as voter.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use weir_client::{Client, NewTopic, PartitionStatus, ProducerOptions, ReadUntil, ReaderOptions, Record};
use weir_tests::{Cluster, Site, eventually, within};

const STREAM: &str = "events";
const RECORDS: u32 = 500;

async fn append(client: &Client, numbers: std::ops::Range<u32>) {
    let producer = client.producer(STREAM, ProducerOptions::default()).await.unwrap();
    let mut answers = Vec::new();
    for number in numbers {
        answers.push(producer.send(Record::new(number.to_string())).await.unwrap());
    }
    for answer in answers {
        answer.await.unwrap();
    }
}

async fn read_all(client: &Client) -> BTreeSet<u32> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(STREAM, options).await.unwrap();
    let mut numbers = BTreeSet::new();
    while let Some(record) = reader.next().await {
        let value = record.unwrap().value.unwrap();
        let new = numbers.insert(std::str::from_utf8(&value).unwrap().parse().unwrap());
        assert!(new, "no record is there twice");
    }
    numbers
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_acknowledged_writes_comes_back_under_fresh_replica_ids() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::stream(STREAM).partitions(2).replicas(3)).await.unwrap();
    append(&client, 0..RECORDS).await;

    let node = 1;
    cluster.nodes()[node].stop().await;
    let database = cluster.nodes()[node].data().join("db");
    let older = site.path().join("older");
    copy(&database, &older);
    cluster.nodes()[node].start();
    cluster.caught_up(&client).await;
    append(&client, RECORDS..2 * RECORDS).await;
    // All of it must be on the node's disk, or an older database would lack nothing.
    eventually("every replica has everything", Duration::from_mins(1), async || {
        let status = client.admin().cluster_status().await.map_err(|error| error.to_string())?;
        let lacks = |partition: &PartitionStatus| partition.lag_entries.iter().any(|(_, lag)| *lag > 0);
        match status.partitions.iter().find(|partition| lacks(partition)) {
            None => Ok(()),
            Some(partition) => Err(format!("{:?}", partition.lag_entries)),
        }
    })
    .await;

    // What a disk does that lies about its syncs: an older database under the newer superblock.
    cluster.nodes()[node].kill().await;
    std::fs::remove_dir_all(&database).unwrap();
    copy(&older, &database);
    cluster.nodes()[node].start();
    cluster.caught_up(&client).await;
    let log = cluster.nodes()[node].log();
    assert!(log.contains("starts over under fresh replica ids"), "{log}");

    // It counts again: with one of the others gone, there is a majority only with it.
    cluster.nodes()[0].kill().await;
    append(&client, 2 * RECORDS..3 * RECORDS).await;
    let all: BTreeSet<u32> = (0..3 * RECORDS).collect();
    let read = within("everything is read", Duration::from_mins(1), read_all(&client)).await;
    assert_eq!(read, all, "P1: every acknowledged record is there");

    // And it restarts into its new place.
    cluster.nodes()[0].start();
    cluster.nodes()[node].stop().await;
    cluster.nodes()[node].start();
    cluster.caught_up(&client).await;
}

/// Flips a bit in every kibibyte of the data in table files; their last part, which opening looks at, stays.
fn damage_tables(database: &Path) -> usize {
    let mut damaged = 0;
    for entry in std::fs::read_dir(database).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "sst") {
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        let data = bytes.len().saturating_sub(4 << 10);
        for place in (100..data).step_by(1 << 10) {
            bytes[place] ^= 0x10;
            damaged += 1;
        }
        std::fs::write(&path, bytes).unwrap();
    }
    damaged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_tables_are_damaged_ends_and_leaves_no_replica_closed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::stream(STREAM).partitions(12).replicas(3)).await.unwrap();
    append(&client, 0..20 * RECORDS).await;
    // What a killed process had in memory goes to table files when the next one begins.
    let node = 1;
    for _ in 0..2 {
        cluster.nodes()[node].kill().await;
        cluster.nodes()[node].start();
        cluster.caught_up(&client).await;
    }
    cluster.nodes()[node].kill().await;
    let database = cluster.nodes()[node].data().join("db");
    assert!(damage_tables(&database) > 0, "there are tables to damage");
    cluster.nodes()[node].start();
    let status = cluster.nodes()[node].ended(Duration::from_mins(1)).await;
    assert!(!status.success(), "{status}");
    let log = cluster.nodes()[node].log();
    assert!(log.to_lowercase().contains("corrupt"), "{log}");

    // The others go on, and a blank disk mends it.
    append(&client, 20 * RECORDS..21 * RECORDS).await;
    std::fs::remove_dir_all(cluster.nodes()[node].data()).unwrap();
    cluster.nodes()[node].start();
    cluster.caught_up(&client).await;
    assert_eq!(read_all(&client).await.len(), 21 * RECORDS as usize);
}
