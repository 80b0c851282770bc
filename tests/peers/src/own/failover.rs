//! How long partitions are without a leader when the node that leads most of them is killed.

use std::time::{Duration, Instant};

use futures::future::try_join_all;
use serde_json::json;
use weir_bench::system::Error;
use weir_client::{Client, NewTopic, Producer, ProducerOptions, Record};

use crate::cell::Software;
use crate::cluster::{Cluster, NODES};
use crate::figures::{Figure, percentile};
use crate::stage::Stage;
use crate::weir;

/// Topics of one partition each, so that a send names its partition.
const TOPICS: u32 = 300;
const KILLS: u32 = 5;
/// After a start: leaderships are spread again.
const SETTLING: Duration = Duration::from_secs(15);

/// Milliseconds from the kill until a partition that the dead node led acknowledged a record: the p99 over partitions
/// and kills.
pub async fn p99(stage: &mut Stage) -> Result<Figure, Error> {
    let mut cluster = stage.start(Software::Weir).await?;
    let measured = measure(stage, &mut cluster).await;
    cluster.stop().await;
    let kills = measured?;
    let all: Vec<f64> = kills.iter().flatten().copied().collect();
    let per_kill: Vec<f64> = kills.iter().map(|kill| percentile(kill, 0.99)).collect();
    let led: Vec<usize> = kills.iter().map(Vec::len).collect();
    let detail = json!({ "p50_ms": percentile(&all, 0.5), "partitions_led_per_kill": led, "p99_per_kill_ms": per_kill });
    let figure = Figure::own("failover_300_p99_ms", "ms", per_kill, detail);
    Ok(Figure { value: percentile(&all, 0.99), ..figure })
}

async fn measure(stage: &Stage, cluster: &mut Cluster) -> Result<Vec<Vec<f64>>, Error> {
    let client = Client::connect(weir::options()).await?;
    let mut producers = Vec::new();
    for place in 0..TOPICS {
        let topic = NewTopic::stream(format!("failover-{place}")).partitions(1).replicas(u32::from(NODES));
        let topic = client.admin().create_topic(topic).await?;
        producers.push(client.producer(&topic.name, ProducerOptions::default()).await?);
    }
    let mut kills = Vec::new();
    for _ in 0..KILLS {
        tokio::time::sleep(SETTLING).await;
        try_join_all(producers.iter().map(send)).await?;
        let (victim, led) = busiest(&client).await?;
        let killed = Instant::now();
        cluster.kill(victim).await?;
        let led = producers.iter().filter(|producer| led.iter().any(|topic| topic == producer.topic()));
        kills.push(try_join_all(led.map(|producer| writable(producer, killed))).await?);
        cluster.replace(victim, stage.restart_weir(victim)?);
    }
    Ok(kills)
}

async fn send(producer: &Producer) -> Result<(), Error> {
    producer.send(Record::new("x")).await?.await?;
    Ok(())
}

async fn writable(producer: &Producer, since: Instant) -> Result<f64, Error> {
    send(producer).await?;
    Ok(since.elapsed().as_secs_f64() * 1e3)
}

/// The place of the node that leads most, and the topics that it leads.
async fn busiest(client: &Client) -> Result<(usize, Vec<String>), Error> {
    let status = client.admin().cluster_status().await?;
    let node = status.nodes.iter().max_by_key(|node| node.leaders).ok_or("a cluster without nodes")?;
    let led = status.partitions.iter().filter(|partition| partition.leader == Some(node.node_id));
    let place = node.name.strip_prefix("weir").and_then(|place| place.parse::<usize>().ok());
    Ok((place.ok_or("a node of another name")? - 1, led.map(|partition| partition.topic.clone()).collect()))
}
