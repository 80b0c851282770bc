//! What a thousand partitions cost that nobody uses.

use std::time::Duration;

use futures::future::try_join_all;
use serde_json::json;
use weir_bench::system::Error;
use weir_client::{Client, NewTopic, ProducerOptions, Record};

use crate::cell::Software;
use crate::cluster::NODES;
use crate::figures::Figure;
use crate::stage::Stage;
use crate::usage::Usage;
use crate::weir;

const TOPICS: u32 = 10;
const PARTITIONS_EACH: u32 = 100;
/// After the last partition was made, until nothing of it is going on any more.
const SETTLING: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(20);

/// Processor time of a node in percent of a core, and memory of a replica that was used and is idle.
pub async fn all(stage: &mut Stage, repeats: u32) -> Result<[Figure; 2], Error> {
    let mut cluster = stage.start(Software::Weir).await?;
    let measured = measure(stage, cluster.pids(), repeats).await;
    cluster.stop().await;
    let (percents, before, after) = measured?;
    let replicas = TOPICS * PARTITIONS_EACH * u32::from(NODES);
    let kib = after.saturating_sub(before) as f64 / f64::from(replicas) / 1_024.0;
    let detail = json!({ "partitions": TOPICS * PARTITIONS_EACH });
    let memory = json!({ "replicas": replicas, "resident_bytes_empty": before, "resident_bytes": after });
    Ok([
        Figure::own("idle_1000_partitions_cpu_percent", "percent of a core", percents, detail),
        Figure::own("idle_replica_memory_kib", "KiB", vec![kib], memory),
    ])
}

/// Processor time of each window; resident memory of all nodes without the partitions, and with them.
async fn measure(stage: &Stage, pids: &[u32], repeats: u32) -> Result<(Vec<f64>, u64, u64), Error> {
    let client = Client::connect(weir::options()).await?;
    let before = Usage::now(pids, stage.folder())?.resident_bytes;
    for place in 0..TOPICS {
        let topic =
            NewTopic::stream(format!("idle-{place}")).partitions(PARTITIONS_EACH).replicas(u32::from(NODES));
        let topic = client.admin().create_topic(topic).await?;
        let producer = client.producer(&topic.name, ProducerOptions::default()).await?;
        let sends =
            (0..PARTITIONS_EACH).map(|partition| producer.send_to(partition, Record::new("used once")));
        try_join_all(try_join_all(sends).await?).await?;
        producer.close().await;
    }
    drop(client);
    tokio::time::sleep(SETTLING).await;
    let (mut percents, mut resident) = (Vec::new(), 0);
    for _ in 0..repeats {
        let before = Usage::now(pids, stage.folder())?;
        tokio::time::sleep(WINDOW).await;
        let used = Usage::now(pids, stage.folder())?.since(&before);
        percents.push(100.0 * used.cpu_s / WINDOW.as_secs_f64() / f64::from(NODES));
        resident = used.resident_bytes;
    }
    Ok((percents, before, resident))
}
