//! Catching up: reading what is on disk only, against reading what is still in memory.

use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use weir_bench::system::Error;
use weir_client::{Client, NewTopic, ProducerOptions, ReadUntil, ReaderOptions, Record, StartPosition};

use crate::cell::Software;
use crate::cluster::{Cluster, NODES};
use crate::figures::Figure;
use crate::stage::Stage;
use crate::weir;

const TOPIC: &str = "catch-up";
/// Records of 1 KiB: 2 GiB, many times what the tail cache holds.
const RECORDS: u64 = 2 << 20;
const RECORD_BYTES: usize = 1_024;
/// The newest ones, which are in the tail cache.
const TAIL: u64 = 24 << 10;
/// After the restart, until leaders are what they stay.
const SETTLING: Duration = Duration::from_secs(10);

/// Megabytes per second of a reader that begins at the oldest record, with nothing in any cache, against those of one that
/// reads the newest.
pub async fn cold_over_tail(stage: &mut Stage, repeats: u32) -> Result<Figure, Error> {
    let mut cluster = stage.start(Software::Weir).await?;
    let measured = measure(stage, &mut cluster, repeats).await;
    cluster.stop().await;
    let pairs = measured?;
    let ratios = pairs.iter().map(|(cold, tail)| cold / tail).collect();
    let detail: Vec<_> =
        pairs.iter().map(|(cold, tail)| json!({ "cold_mb_per_s": cold, "tail_mb_per_s": tail })).collect();
    Ok(Figure::own("cold_read_vs_tail_read", "ratio", ratios, json!(detail)))
}

async fn measure(stage: &Stage, cluster: &mut Cluster, repeats: u32) -> Result<Vec<(f64, f64)>, Error> {
    let client = Client::connect(weir::options()).await?;
    client.admin().create_topic(NewTopic::stream(TOPIC).partitions(1).replicas(u32::from(NODES))).await?;
    append(&client, RECORDS).await?;
    let mut pairs = Vec::new();
    for _ in 0..repeats {
        // What a restart leaves in memory is nothing of ours; the kernel's cache goes, too.
        for place in 0..usize::from(NODES) {
            cluster.kill(place).await?;
        }
        std::fs::write("/proc/sys/vm/drop_caches", "3")?;
        for place in 0..usize::from(NODES) {
            cluster.replace(place, stage.restart_weir(place)?);
        }
        tokio::time::sleep(SETTLING).await;
        let cold = read(&client, StartPosition::Earliest, RECORDS / 2).await?;
        append(&client, TAIL).await?;
        let tail = read(&client, StartPosition::Lag(TAIL), TAIL).await?;
        pairs.push((cold, tail));
    }
    Ok(pairs)
}

async fn append(client: &Client, records: u64) -> Result<(), Error> {
    let producer = client.producer(TOPIC, ProducerOptions::default()).await?;
    let mut body = vec![0; RECORD_BYTES];
    let mut last = None;
    for number in 0..records {
        body[..8].copy_from_slice(&number.to_le_bytes());
        last = Some(producer.send(Record::new(Bytes::copy_from_slice(&body))).await?);
    }
    if let Some(last) = last {
        last.await?;
    }
    producer.close().await;
    Ok(())
}

/// Megabytes per second of so many records.
async fn read(client: &Client, start: StartPosition, records: u64) -> Result<f64, Error> {
    let options = ReaderOptions { start, until: ReadUntil::Forever, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(TOPIC, options).await?;
    let began = Instant::now();
    for _ in 0..records {
        reader.next().await.ok_or("the reader has ended")??;
    }
    Ok((records * RECORD_BYTES as u64) as f64 / began.elapsed().as_secs_f64() / 1e6)
}
