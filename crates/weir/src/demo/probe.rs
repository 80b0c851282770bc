//! How long it takes after a kill until every partition takes a write.

use std::time::Duration;

use tokio::time::Instant;
use weir_client::{Client, Producer, ProducerOptions, Record};

use super::message::{Event, Task, encode};
use super::{PARTITIONS, QUEUE, STREAM};

/// Producers for both topics, opened before the kill: what is measured is the partitions, not how a producer opens.
/// Nothing else sends with them, so that no batch stands before a probe.
pub(super) struct Probes {
    tasks: Producer,
    events: Producer,
}

impl Probes {
    pub(super) async fn open(client: &Client) -> Result<Self, String> {
        let open = |topic| client.producer(topic, ProducerOptions::default());
        let (tasks, events) =
            tokio::try_join!(open(QUEUE), open(STREAM)).map_err(|error| error.to_string())?;
        Ok(Self { tasks, events })
    }

    /// Writes to every partition of both topics at once, and gives the time from `killed_at` to the last
    /// acknowledgement.
    pub(super) async fn writable_after(self, killed_at: Instant) -> Result<Duration, String> {
        let task = Record::new(encode(&Task::Probe));
        let event = Record::new(encode(&Event::Probe));
        let tasks = (0..PARTITIONS).map(|partition| write(&self.tasks, QUEUE, partition, task.clone()));
        let events = (0..PARTITIONS).map(|partition| write(&self.events, STREAM, partition, event.clone()));
        let (tasks, events) =
            tokio::try_join!(futures::future::try_join_all(tasks), futures::future::try_join_all(events))?;
        let last = tasks.into_iter().chain(events).max().unwrap_or(killed_at);
        Ok(last.saturating_duration_since(killed_at))
    }
}

async fn write(producer: &Producer, topic: &str, partition: u32, record: Record) -> Result<Instant, String> {
    let answer = async { producer.send_to(partition, record).await?.await };
    answer.await.map_err(|error| format!("{topic}/{partition} stayed unwritable: {error}"))?;
    Ok(Instant::now())
}
