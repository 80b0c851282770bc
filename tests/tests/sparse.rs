//! A few old messages of very many keep no disk space: what is left of a queue's log is written anew, while a node is killed.
//!
//! `WEIR_SPARSE_MIB` sets how much is enqueued; 1,024 for the whole claim.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use weir_client::{
    Client, Error, LeasedMessage, PeekOptions, ProducerOptions, ReceiveOptions, Record, Settle, SettleAction,
};
use weir_tests::{Cluster, Site, eventually};

const QUEUE: &str = "jobs";
const BODY: usize = 1 << 10;
/// One message of so many stays.
const ONE_OF: u64 = 1_000;
const HOUR: Duration = Duration::from_hours(1);
/// Replicas keep 16 MiB of a log for followers that are behind and delete in steps of 4 MiB, of which two may be under way;
/// files that are not half dead are not compacted, and that is asked in steps of 4 MiB too.
const KEPT_ANYWAY: u64 = (2 * (16 + 2 * 4) + 4) << 20;

fn mebibytes() -> u64 {
    std::env::var("WEIR_SPARSE_MIB").map_or(400, |text| text.parse().expect("WEIR_SPARSE_MIB is a number"))
}

/// Says which message it is, and is as long as all of them.
fn body(number: u64) -> Bytes {
    let mut body = format!("{number:020}").into_bytes();
    body.resize(BODY, b'.');
    Bytes::from(body)
}

async fn publish(client: &Client, count: u64) {
    let producer = client.producer(QUEUE, ProducerOptions::default()).await.unwrap();
    let mut last = None;
    for number in 0..count {
        last = Some(producer.send(Record::new(body(number))).await.unwrap());
    }
    last.unwrap().await.unwrap();
    producer.close().await;
}

async fn receive(client: &Client) -> Vec<LeasedMessage> {
    let options = ReceiveOptions {
        max_messages: 1_024,
        wait: Duration::from_secs(1),
        lease: Some(HOUR),
        ..ReceiveOptions::default()
    };
    eventually("a receive", Duration::from_mins(3), async || {
        client.receive(QUEUE, options).await.map_err(|error| error.to_string())
    })
    .await
}

/// What becomes of a message; none stays leased.
fn outcome(number: u64) -> Option<SettleAction> {
    if !number.is_multiple_of(ONE_OF) {
        return Some(SettleAction::Ack);
    }
    let reason = "stays".to_owned();
    match number / ONE_OF % 3 {
        0 => Some(SettleAction::Reject { reason }),
        1 => Some(SettleAction::Nack { delay: Some(HOUR), reason }),
        _ => None,
    }
}

/// Bytes of the table files of each node.
fn disk(cluster: &mut Cluster) -> Vec<u64> {
    cluster.nodes().iter().map(|node| table_bytes(node.data())).collect()
}

fn table_bytes(folder: &Path) -> u64 {
    // Files come and go while they are listed.
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| {
            let path = entry.path();
            let is_table = path.extension().is_some_and(|extension| extension == "sst");
            if path.is_dir() {
                table_bytes(&path)
            } else if is_table {
                entry.metadata().map_or(0, |meta| meta.len())
            } else {
                0
            }
        })
        .sum()
}

fn number_of(body: Option<&Bytes>) -> u64 {
    let text = std::str::from_utf8(&body.unwrap()[..20]).unwrap();
    text.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_message_in_a_thousand_that_stays_keeps_no_disk_space_and_keeps_its_body() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let (client, weir) = (cluster.client().await, cluster.weir());
    weir.ok("topic create jobs --kind queue --partitions 1 --replicas 3").await;
    let count = mebibytes() * (1 << 20) / BODY as u64;
    publish(&client, count).await;
    let peak = disk(&mut cluster);
    eprintln!("{count} messages, {peak:?} bytes");

    let (mut handled, mut held) = (0, BTreeMap::new());
    while handled < count {
        let mut settles = Vec::new();
        for message in receive(&client).await {
            let number = number_of(message.value.as_ref());
            handled += 1;
            match outcome(number) {
                Some(action) => settles.push(Settle { token: message.token, action }),
                None => drop(held.insert(number, message)),
            }
        }
        let settled: Vec<Result<(), Error>> = client.settle(&settles).await;
        settled.into_iter().for_each(Result::unwrap);
    }
    // Whoever leads next goes on.
    cluster.crash_busiest(&client).await;
    let bound: Vec<u64> = peak.iter().map(|bytes| (bytes / 20).max(KEPT_ANYWAY)).collect();
    eventually("the space comes back", Duration::from_mins(3), async || {
        let now = disk(&mut cluster);
        let is_back = now.iter().zip(&bound).all(|(now, bound)| now <= bound);
        if is_back { Ok(()) } else { Err(format!("{now:?} of {peak:?} bytes are left")) }
    })
    .await;
    eprintln!("{:?} bytes are left", disk(&mut cluster));

    // Everything that stayed says what it said, and whoever held it still does.
    let options = PeekOptions { max_messages: 10_000, ..PeekOptions::default() };
    let peeked = client.admin().peek(QUEUE, options).await.unwrap();
    let stayed: Vec<u64> = peeked.iter().map(|message| number_of(message.value.as_ref())).collect();
    assert_eq!(stayed, (0..count).step_by(ONE_OF as usize).collect::<Vec<_>>());
    let acks = held.into_values().map(|message| Settle { token: message.token, action: SettleAction::Ack });
    let settled = client.settle(&acks.collect::<Vec<_>>()).await;
    settled.into_iter().for_each(Result::unwrap);
    cluster.check();
}
