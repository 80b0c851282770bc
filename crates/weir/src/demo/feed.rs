//! Puts a task into the queue for every file, in as many rounds as are asked for.

use std::path::PathBuf;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use weir_client::{Client, Producer, ProducerOptions, Record};

use super::QUEUE;
use super::message::{Task, encode};
use super::tally::Latencies;

/// Tasks that are sent and not yet answered. So few that the latency is that of the cluster, and not of a line in
/// front of it.
const IN_FLIGHT: usize = 64;

/// Publishes all tasks, with ids dense from 0, and says how long each took from `send` to its acknowledgement.
pub(super) async fn feed(client: Client, files: Vec<PathBuf>, rounds: u64) -> Result<Latencies, String> {
    let producer =
        client.producer(QUEUE, ProducerOptions::default()).await.map_err(|error| error.to_string())?;
    let mut tasks = (0..rounds).flat_map(|_| files.iter().cloned()).zip(0..);
    let mut latencies = Latencies::default();
    let mut sent: FuturesUnordered<_> = FuturesUnordered::new();
    loop {
        sent.extend(
            tasks.by_ref().take(IN_FLIGHT - sent.len()).map(|(path, task)| publish(&producer, path, task)),
        );
        match sent.next().await {
            Some(answer) => latencies.enter(answer?),
            None => return Ok(latencies),
        }
    }
}

async fn publish(producer: &Producer, path: PathBuf, task: u64) -> Result<u64, String> {
    let started = Instant::now();
    // A key of its own spreads the tasks over the partitions.
    let record = Record::new(encode(&Task::Count { task, path })).key(task.to_string());
    let answer = async { producer.send(record).await?.await };
    answer.await.map_err(|error| format!("task {task} was not published: {error}"))?;
    Ok(started.elapsed().as_micros() as u64)
}
