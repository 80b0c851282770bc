//! The producer's handle.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use weir_proto::v1;
use weir_proto::v1::stream_client::StreamClient;
use weir_runtime::TaskGroup;
use weir_types::limits::RECORD_BYTES_MAX;
use weir_types::{BatchError, ErrorKind};

use super::intake::Intake;
use super::lane::Lane;
use super::stamps::Stamps;
use crate::routing::{Target, TopicRoute};
use crate::{Client, Error, PendingDelivery, ProducerOptions, Record, Result};

/// Sends records to the partitions of one topic.
///
/// Records gather into a batch only while the connection is busy with earlier ones: nothing waits for a timer, a lone
/// record goes out at once. Records of one partition are appended in the order of `send`; with `idempotent`, each once.
/// Share it by reference or in an `Arc`.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic};
/// # let client = Client::connect(seeds).await?;
/// # let _ = client.admin().create_topic(NewTopic::stream("numbers")).await;
/// use weir_client::{ProducerOptions, Record};
///
/// let producer = client.producer("numbers", ProducerOptions::default()).await?;
/// let mut pending = Vec::new();
/// for n in 0..1000 {
///     pending.push(producer.send(Record::new(n.to_string()).key("counter")).await?);
/// }
/// for delivery in pending {
///     println!("{}", delivery.await?.offset);
/// }
/// producer.close().await;
/// # Ok(())
/// # }
/// ```
pub struct Producer {
    client: Client,
    topic: Arc<TopicRoute>,
    /// One per partition, in the order of the topic's.
    intakes: Vec<Arc<Intake>>,
    /// Where records without a key go now.
    sticky: AtomicUsize,
    room: Arc<Semaphore>,
    delivery_timeout: Duration,
    stamps: Arc<Stamps>,
    _lanes: TaskGroup,
}

impl Producer {
    pub(crate) async fn open(client: Client, topic: &str, options: ProducerOptions) -> Result<Self> {
        options.validate()?;
        let core = &client.core;
        let topic = match options.kind {
            Some(kind) => core.topic_of(topic, kind).await?,
            None => core.topic(topic).await?,
        };
        let stamps = Arc::new(Stamps::new(Arc::clone(core), options.name.clone()));
        if options.idempotent {
            stamps.other_than(None, core.options.request_timeout).await?;
        }
        let mut lanes = TaskGroup::new();
        let open = |partition| {
            let lane = Lane::new(core, topic.kind, partition, &stamps, &options);
            let intake = lane.intake();
            lanes.spawn(lane.run());
            intake
        };
        let intakes: Vec<_> = topic.partitions.iter().map(open).collect();
        let first = core.options.runtime.random_u64() % intakes.len() as u64;
        Ok(Self {
            sticky: AtomicUsize::new(first as usize),
            room: Arc::new(Semaphore::new(options.buffer_bytes_max)),
            delivery_timeout: options.delivery_timeout,
            _lanes: lanes,
            stamps,
            client,
            topic,
            intakes,
        })
    }

    /// Shuts older selves of this producer out of every partition, before it has appended anything itself.
    pub(crate) async fn fence(&self) -> Result<()> {
        let core = &self.client.core;
        let stamp = self.stamps.other_than(None, core.options.request_timeout).await?;
        let each = self.topic.partitions.iter().map(async |partition| {
            let group_id = partition.group.0;
            let request =
                v1::FenceProducerRequest { group_id, producer_id: stamp.id.0, epoch: stamp.epoch.0 };
            let call = core.operation(Target::Leader(partition.group), "shut older producers out");
            core.call(call, |channel| async move { StreamClient::new(channel).fence_producer(request).await })
                .await
        });
        futures::future::try_join_all(each).await.map(drop)
    }

    /// The partition of a key.
    pub(crate) fn partition_of(&self, key: &[u8]) -> u32 {
        self.topic.partitions[self.topic.of_key(key)].partition
    }

    /// The topic's partitions.
    pub(crate) fn partitions(&self) -> impl ExactSizeIterator<Item = u32> {
        self.topic.partitions.iter().map(|partition| partition.partition)
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Takes a record, waiting for room in the buffer; the future that it returns completes when a majority of replicas
    /// has the record on disk, or it has failed. The partition follows from the key; records without one fill a batch
    /// of one partition, then of the next.
    ///
    /// Cancel safe: a record whose `send` is dropped was not taken.
    ///
    /// # Errors
    /// Of `send`: [`Error::Record`] for a record over a limit, [`Error::Closed`], `Fenced`. Of the future:
    /// [`Error::Timeout`] when it was surely not appended within `delivery_timeout`, [`Error::OutcomeUnknown`] when it
    /// may have been, `Fenced` when a newer producer of this name has taken over, or the cluster's refusal: at once when it
    /// is final, or when a dead letter blocks the key of a record of the batch (`key-blocked`), at the end when it was a limit (`OutOfSpace`, `Throttled`) that held until then.
    pub async fn send(&self, record: Record) -> Result<PendingDelivery> {
        let room = self.room_for(&record).await?;
        let lane = record.key.as_ref().map_or_else(|| self.lane_without_key(), |key| self.topic.of_key(key));
        self.put(lane, &record, room)
    }

    /// As [`send`](Self::send), to a partition of the caller's choice.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, too.
    pub async fn send_to(&self, partition: u32, record: Record) -> Result<PendingDelivery> {
        let known = self.topic.partitions.iter().position(|known| known.partition == partition);
        let lane = known.ok_or_else(|| {
            let text = format!("topic `{}` has no partition {partition}", self.topic.name);
            Error::new(ErrorKind::NotFound, "partition-not-found", text)
        })?;
        let room = self.room_for(&record).await?;
        self.put(lane, &record, room)
    }

    /// Waits until every record that was taken before is answered, well or badly.
    pub async fn flush(&self) {
        let newest: Vec<_> = self.intakes.iter().filter_map(|intake| intake.newest()).collect();
        futures::future::join_all(newest).await;
    }

    /// Takes no more records, and waits until the ones taken are answered. A producer that is dropped instead gives up
    /// on those: their outcome is unknown.
    pub async fn close(self) {
        for intake in &self.intakes {
            intake.refuse(CLOSED);
        }
        self.flush().await;
    }

    /// Room in the buffer. A record that could never have any is refused before it waits.
    async fn room_for(&self, record: &Record) -> Result<OwnedSemaphorePermit> {
        let bytes = record.buffer_bytes();
        if bytes > ProducerOptions::BUFFER_BYTES_MIN {
            let refused = BatchError::RecordTooLarge { record: 0, bytes, limit: RECORD_BYTES_MAX };
            return Err(Error::Record(refused));
        }
        Arc::clone(&self.room).acquire_many_owned(bytes as u32).await.map_err(|_| CLOSED)
    }

    fn put(&self, lane: usize, record: &Record, room: OwnedSemaphorePermit) -> Result<PendingDelivery> {
        let runtime = &self.client.core.options.runtime;
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| runtime.clock().wall().0);
        let deadline = runtime.clock().now() + self.delivery_timeout;
        self.intakes[lane].push(record, timestamp_ms, room, deadline)
    }

    /// Stays with a partition while its batch takes records, so that batches fill; then moves on.
    fn lane_without_key(&self) -> usize {
        let current = self.sticky.load(Ordering::Relaxed) % self.intakes.len();
        if self.intakes[current].is_fresh() {
            return self.sticky.fetch_add(1, Ordering::Relaxed).wrapping_add(1) % self.intakes.len();
        }
        current
    }
}

const CLOSED: Error = Error::Closed { what: "producer" };

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
