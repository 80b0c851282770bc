//! How long until every partition takes a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use weir_client::{Client, Producer, ProducerOptions};

use super::{QUEUE, STREAM, payload, produce};
use crate::history::Topic;
use crate::{History, Value};

/// The producer number of probes.
const PROBE: u16 = 1_000;

/// Producers that nothing else sends with, opened before something happens: what is measured is the partitions, not
/// how a producer opens.
pub(super) struct Probes {
    topics: [(Topic, Producer); 2],
    history: Arc<History>,
    partitions: u32,
    sequence: AtomicU32,
}

impl Probes {
    pub(super) async fn open(client: &Client, history: Arc<History>, partitions: u32) -> Self {
        let open = |name| client.producer(name, ProducerOptions::default());
        let queue = open(QUEUE).await.expect("a producer opens");
        let stream = open(STREAM).await.expect("a producer opens");
        let topics = [(Topic::Queue, queue), (Topic::Stream, stream)];
        Self { topics, history, partitions, sequence: AtomicU32::new(0) }
    }

    /// One record to every partition of both topics; how long the last answer took.
    pub(super) async fn write(&self) -> Duration {
        let began = Instant::now();
        let writes = self.topics.iter().flat_map(|(topic, producer)| {
            (0..self.partitions).map(|partition| self.write_to(*topic, producer, partition))
        });
        futures::future::join_all(writes).await;
        began.elapsed()
    }

    async fn write_to(&self, topic: Topic, producer: &Producer, partition: u32) {
        let value = Value { producer: PROBE, sequence: self.sequence.fetch_add(1, Ordering::Relaxed) };
        let from = self.history.now();
        let answer = async { producer.send_to(partition, payload::record(value)).await?.await };
        produce::note(&self.history, topic, value, from, answer.await);
    }
}
