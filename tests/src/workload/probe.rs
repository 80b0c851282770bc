//! How long until every partition takes a write.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use weir_checker::Value;
use weir_client::{Client, Producer, ProducerOptions};
use weir_types::TopicKind;

use super::{QUEUE, STREAM, payload, produce};
use crate::Recorder;

/// The producer number of probes.
const PROBE: u32 = 1_000;

/// Producers that nothing else sends with, opened before something happens: what is measured is the partitions, not
/// how a producer opens.
pub(super) struct Probes {
    topics: [(TopicKind, Producer); 2],
    recorder: Arc<Recorder>,
    partitions: u32,
    sequence: AtomicU64,
}

impl Probes {
    pub(super) async fn open(client: &Client, recorder: Arc<Recorder>, partitions: u32) -> Self {
        let open = |name| client.producer(name, ProducerOptions::default());
        let queue = open(QUEUE).await.expect("a producer opens");
        let stream = open(STREAM).await.expect("a producer opens");
        let topics = [(TopicKind::Queue, queue), (TopicKind::Stream, stream)];
        Self { topics, recorder, partitions, sequence: AtomicU64::new(0) }
    }

    /// One record to every partition of both topics; how long the last answer took.
    pub(super) async fn write(&self) -> Duration {
        let began = Instant::now();
        let writes = self.topics.iter().flat_map(|(kind, producer)| {
            (0..self.partitions).map(|partition| self.write_to(*kind, producer, partition))
        });
        futures::future::join_all(writes).await;
        began.elapsed()
    }

    async fn write_to(&self, kind: TopicKind, producer: &Producer, partition: u32) {
        let value = Value { producer: PROBE, sequence: self.sequence.fetch_add(1, Ordering::Relaxed) };
        let begun = self.recorder.begin();
        let answer = async { producer.send_to(partition, payload::record(value)).await?.await };
        produce::note(&self.recorder, begun, (kind, value), &answer.await);
    }
}
