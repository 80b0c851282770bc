//! A queue with ten million messages that nobody has touched: what they cost, and whether publishing still goes on beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use weir_bench::system::Error;
use weir_client::{Client, NewTopic, Producer, ProducerOptions, Record, TopicKind, WorkerOptions};

use crate::cell::Software;
use crate::cluster::NODES;
use crate::figures::Figure;
use crate::stage::Stage;
use crate::usage::Usage;
use crate::weir;

const MESSAGES: u64 = 10_000_000;
const MESSAGE_BYTES: usize = 100;
const PARTITIONS: u32 = 3;
/// Messages under way of each producer; there is one per partition.
const IN_FLIGHT: usize = 4_096;
/// Messages that a worker holds unsettled at a partition.
const CREDIT: u32 = 512;
/// After a load, until caches and memtables are what they stay.
const SETTLING: Duration = Duration::from_secs(15);
/// How long publishing is measured.
const WINDOW: Duration = Duration::from_secs(10);

/// Memory of a node for the backlog, and the share of its publish rate that a queue keeps while the backlog drains.
pub async fn all(stage: &mut Stage) -> Result<[Figure; 2], Error> {
    let mut cluster = stage.start(Software::Weir).await?;
    let measured = measure(stage, cluster.pids()).await;
    cluster.stop().await;
    measured
}

async fn measure(stage: &Stage, pids: &[u32]) -> Result<[Figure; 2], Error> {
    let resident = || -> Result<f64, Error> { Ok(Usage::now(pids, stage.folder())?.resident_bytes as f64) };
    let client = Client::connect(weir::options()).await?;
    // The same load into a stream first: what it leaves in memory are the caches that any load fills.
    publish(&client, "filler", TopicKind::Stream, Until::Count(MESSAGES)).await?;
    tokio::time::sleep(SETTLING).await;
    let before = resident()?;

    let empty = beside_workers(&client, "empty").await?;
    publish(&client, "backlog", TopicKind::Queue, Until::Count(MESSAGES)).await?;
    tokio::time::sleep(SETTLING).await;
    let after = resident()?;
    let megabytes = (after - before) / f64::from(NODES) / 1e6;
    let draining = beside_workers(&client, "backlog").await?;

    let memory =
        json!({ "resident_bytes_before": before, "resident_bytes_after": after, "messages": MESSAGES });
    let rates = json!({ "rate_on_an_empty_queue": empty.0, "rate_while_draining": draining.0,
        "acked_per_s_empty": empty.1, "acked_per_s_draining": draining.1, "workers": PARTITIONS });
    Ok([
        Figure::own("backlog_10m_memory_mb", "MB per node", vec![megabytes], memory),
        Figure::own("backlog_10m_publish_share", "ratio", vec![draining.0 / empty.0], rates),
    ])
}

/// Messages published per second while workers take what there is, and how many those acked.
async fn beside_workers(client: &Client, topic: &str) -> Result<(f64, f64), Error> {
    create(client, topic, TopicKind::Queue).await?;
    let acked = Arc::new(AtomicU64::new(0));
    let mut workers = JoinSet::new();
    for _ in 0..PARTITIONS {
        let options = WorkerOptions { credit: CREDIT, ..WorkerOptions::default() };
        let mut worker = client.queue_worker(topic, options).await?;
        let acked = Arc::clone(&acked);
        workers.spawn(async move {
            while let Some(Ok(message)) = worker.next().await {
                let acked = Arc::clone(&acked);
                tokio::spawn(async move {
                    if message.ack().await.is_ok() {
                        acked.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
    }
    let published = publish(client, topic, TopicKind::Queue, Until::Time(WINDOW)).await?;
    let seconds = WINDOW.as_secs_f64();
    let done = (published as f64 / seconds, acked.load(Ordering::Relaxed) as f64 / seconds);
    workers.shutdown().await;
    Ok(done)
}

#[derive(Clone, Copy)]
enum Until {
    Count(u64),
    Time(Duration),
}

async fn create(client: &Client, name: &str, kind: TopicKind) -> Result<(), Error> {
    let topic = NewTopic::new(name, kind).partitions(PARTITIONS).replicas(u32::from(NODES));
    match client.admin().create_topic(topic).await {
        Err(error) if error.kind() != weir_client::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

/// Publishes with a producer for each partition; how many messages were confirmed.
async fn publish(client: &Client, topic: &str, kind: TopicKind, until: Until) -> Result<u64, Error> {
    create(client, topic, kind).await?;
    let mut producing = Vec::new();
    for partition in 0..PARTITIONS {
        let producer = client.producer(topic, ProducerOptions::default()).await?;
        producing.push(produce(producer, partition, until));
    }
    Ok(try_join_all(producing).await?.into_iter().sum())
}

async fn produce(producer: Producer, partition: u32, until: Until) -> Result<u64, Error> {
    let (room, confirmed) = (Arc::new(Semaphore::new(IN_FLIGHT)), Arc::new(AtomicU64::new(0)));
    let body = Bytes::from(vec![b'x'; MESSAGE_BYTES]);
    let began = Instant::now();
    let mut sent = 0;
    while match until {
        Until::Count(count) => sent < count / u64::from(PARTITIONS),
        Until::Time(length) => began.elapsed() < length,
    } {
        let permit = Arc::clone(&room).acquire_owned().await?;
        let answer = producer.send_to(partition, Record::new(body.clone())).await?;
        let confirmed = Arc::clone(&confirmed);
        tokio::spawn(async move {
            if answer.await.is_ok() {
                confirmed.fetch_add(1, Ordering::Relaxed);
            }
            drop(permit);
        });
        sent += 1;
    }
    let within = confirmed.load(Ordering::Relaxed);
    let _all = room.acquire_many(IN_FLIGHT as u32).await?;
    producer.close().await;
    Ok(match until {
        Until::Count(_) => confirmed.load(Ordering::Relaxed),
        Until::Time(_) => within,
    })
}
