//! A follower that was away while the log it needs was retired comes back by snapshot, while writes and trims go on
//! and although it is killed midway; then it leads, and serves every retained record.
//!
//! `WEIR_SNAPSHOT_MIB` says how much is retained (default 64).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_client::{
    Client, NewTopic, ProducerOptions, ReadUntil, ReaderOptions, Record, Settings as TopicSettings,
    StreamSettings,
};
use weir_tests::{Cluster, Dice, Site, eventually, within};

const STREAM: &str = "events";
/// What a node logs when it has a whole snapshot.
const RECEIVED: &str = "snapshot received";
/// Bytes of one record's body.
const BODY: usize = 64 << 10;
/// Records that are sent and not yet answered.
const PENDING: usize = 64;
/// A leader keeps 256 MiB of a stream's log for followers that may come back, in steps of a quarter: what is written
/// meanwhile must be more, or the log is enough.
const WRITTEN_MIN: u64 = 448 << 20;
/// How long a phase may take for each MiB retained, above a minute.
const PER_MIB: Duration = Duration::from_secs(2);
/// Ways to move the lead that are tried.
const MOVES_MAX: u32 = 12;

fn retained_mib() -> u64 {
    std::env::var("WEIR_SNAPSHOT_MIB").map_or(64, |text| text.parse().expect("WEIR_SNAPSHOT_MIB is a number"))
}

fn phase() -> Duration {
    Duration::from_mins(1) + PER_MIB * u32::try_from(retained_mib()).unwrap()
}

/// The body of the record with this number: any reader can check it.
fn body(number: u64) -> Bytes {
    let mut body = number.to_be_bytes().to_vec();
    body.extend(Dice::new(number).bytes(256));
    body.resize(BODY, number as u8);
    body.into()
}

/// Appends records from `first` on until it is told to stop, or `count` are there; the number of the next one.
async fn append(client: &Client, first: u64, count: u64, stop: CancellationToken) -> u64 {
    let producer = client.producer(STREAM, ProducerOptions::default()).await.unwrap();
    let mut pending = std::collections::VecDeque::new();
    let mut number = first;
    while number < first + count && !stop.is_cancelled() {
        pending.push_back((number, producer.send(Record::new(body(number))).await.unwrap()));
        number += 1;
        if pending.len() >= PENDING {
            let (sent, answer) = pending.pop_front().unwrap();
            assert_eq!(
                answer.await.unwrap().offset,
                sent,
                "one producer and one partition: offsets count records"
            );
        }
    }
    for (sent, answer) in pending {
        assert_eq!(answer.await.unwrap().offset, sent);
    }
    number
}

/// Slow appends in the background.
fn go_on_appending(client: Client, first: u64, stop: CancellationToken) -> JoinHandle<u64> {
    tokio::spawn(async move {
        let mut next = first;
        while !stop.is_cancelled() {
            next = append(&client, next, 16, stop.clone()).await;
            let _ = tokio::time::timeout(Duration::from_millis(100), stop.cancelled()).await;
        }
        next
    })
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

async fn offsets(client: &Client) -> (u64, u64) {
    let offsets = client.admin().offsets(STREAM, None).await.unwrap();
    (offsets[0].start_offset, offsets[0].end_offset)
}

/// Reads everything that is retained and checks each body; first and next offset.
async fn read_all(client: &Client) -> (u64, u64) {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(STREAM, options).await.unwrap();
    let (mut first, mut next) = (None, None);
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        assert_eq!(record.offset, next.unwrap_or(record.offset), "no offset is left out");
        assert!(
            record.value.as_ref() == Some(&body(record.offset)),
            "the record at {} changed",
            record.offset
        );
        first.get_or_insert(record.offset);
        next = Some(record.offset + 1);
    }
    (first.unwrap(), next.unwrap())
}

/// Stops whoever leads until `wanted` does. Nobody can be told to lead, so it is a matter of a few turns.
async fn make_leader(cluster: &mut Cluster, client: &Client, wanted: usize) {
    for _ in 0..MOVES_MAX {
        let status = cluster.caught_up(client).await;
        let partition = status.partitions.iter().find(|partition| partition.topic == STREAM).unwrap();
        let leader = cluster.index_of(&status, partition.leader.unwrap());
        if leader == wanted {
            return;
        }
        cluster.nodes()[leader].stop().await;
        let status = cluster.whole(client).await;
        let partition = status.partitions.iter().find(|partition| partition.topic == STREAM).unwrap();
        let now = cluster.index_of(&status, partition.leader.unwrap());
        if now == wanted {
            return;
        }
        cluster.nodes()[leader].start();
    }
    panic!("n{} did not become the leader in {MOVES_MAX} turns", wanted + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_whose_log_is_gone_comes_back_by_snapshot_and_serves_everything_as_leader() {
    let retained = retained_mib() << 20;
    let written = (retained + retained / 2).max(WRITTEN_MIN) / BODY as u64;
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    let settings = StreamSettings { retention_bytes: Some(retained), ..StreamSettings::default() };
    let topic = NewTopic::stream(STREAM).partitions(1).replicas(3).settings(TopicSettings::Stream(settings));
    client.admin().create_topic(topic).await.unwrap();
    let never = CancellationToken::new();
    let mut next = append(&client, 0, 64, never.clone()).await;

    let status = cluster.caught_up(&client).await;
    let partition = status.partitions.iter().find(|partition| partition.topic == STREAM).unwrap();
    let leader = cluster.index_of(&status, partition.leader.unwrap());
    let away = (leader + 1) % 3;
    cluster.nodes()[away].kill().await;
    let left_at = next;
    let filling = append(&client, next, written, never);
    next = within("more than the log keeps is written", phase(), filling).await;
    eventually("what the follower needs is retired", phase(), async || {
        let (start, end) = offsets(&client).await;
        if start > left_at {
            Ok(())
        } else {
            Err(format!("retained are {start} to {end}, it left at {left_at}"))
        }
    })
    .await;

    // It comes back while writes and trims go on, and is killed when a part of the snapshot has come.
    let stop = CancellationToken::new();
    let appending = go_on_appending(cluster.client().await, next, stop.clone());
    let before = bytes_below(cluster.nodes()[away].data());
    cluster.nodes()[away].start();
    eventually("a quarter of the snapshot has come", phase(), async || {
        let come = bytes_below(cluster.nodes()[away].data()).saturating_sub(before);
        if come > retained / 4 { Ok(()) } else { Err(format!("{come} of {retained} bytes")) }
    })
    .await;
    cluster.nodes()[away].kill().await;
    let midway = !cluster.nodes()[away].log().contains(RECEIVED);
    eprintln!("the receiver was killed {}", if midway { "midway" } else { "after it had the snapshot" });
    cluster.nodes()[away].start();
    cluster.whole(&client).await;
    eventually("the follower has a snapshot", phase(), async || {
        if cluster.nodes()[away].log().contains(RECEIVED) { Ok(()) } else { Err("its log names none") }
    })
    .await;
    stop.cancel();
    next = within("the appends end", phase(), appending).await.unwrap();

    within("the follower leads", phase(), make_leader(&mut cluster, &client, away)).await;
    let (start, end) = within("everything is read from the new leader", phase(), read_all(&client)).await;
    assert_eq!(end, next, "every acknowledged record is there");
    assert!((end - start) * BODY as u64 >= retained / 2, "retained are {start} to {end}");
    assert_eq!(offsets(&client).await, (start, end));
    cluster.check();
}
