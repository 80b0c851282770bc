//! The producer's handle.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use weir_types::BatchError;
use weir_types::limits::RECORD_BYTES_MAX;

use super::lanes::Lanes;
use super::stamps::Stamps;
use crate::routing::TopicRoute;
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
    room: Arc<Semaphore>,
    delivery_timeout: Duration,
    stamps: Arc<Stamps>,
    lanes: Arc<Lanes>,
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
        Ok(Self {
            lanes: Lanes::open(core, &topic, &stamps, &options),
            room: Arc::new(Semaphore::new(options.buffer_bytes_max)),
            delivery_timeout: options.delivery_timeout,
            stamps,
            client,
            topic,
        })
    }

    /// Shuts older selves of this producer out of every partition, before it has appended anything itself; and out of those
    /// that come of a split or a merge, as soon as it hears of them.
    pub(crate) async fn fence(&self) -> Result<()> {
        let timeout = self.client.core.options.request_timeout;
        let each = self.lanes.fence_later_ones().into_iter().map(|group| self.stamps.fence(group, timeout));
        futures::future::try_join_all(each).await.map(drop)
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// Takes a record, waiting for room in the buffer; the future that it returns completes when a majority of replicas
    /// has the record on disk, or it has failed. The partition follows from the key; records without one fill a batch
    /// of one partition, then of the next. When the partition is split or merged before the record is in it, the record goes
    /// on in the one that owns its key then, behind those of its key that were sent before.
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
        let (timestamp_ms, deadline) = self.times_of(&record);
        self.lanes.put(&record, timestamp_ms, room, deadline)
    }

    /// As [`send`](Self::send), to a partition of the caller's choice. When that one is split or merged, the record goes to
    /// the partition that owns its key then, among those that have taken over; without a key, or with one that was never of
    /// the chosen partition, to any of them.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, too.
    pub async fn send_to(&self, partition: u32, record: Record) -> Result<PendingDelivery> {
        self.lanes.find(partition)?;
        let room = self.room_for(&record).await?;
        let (timestamp_ms, deadline) = self.times_of(&record);
        self.lanes.put_to(partition, &record, timestamp_ms, room, deadline)
    }

    /// Waits until every record that was taken before is answered, well or badly.
    pub async fn flush(&self) {
        self.lanes.flush().await;
    }

    /// Takes no more records, and waits until the ones taken are answered. A producer that is dropped instead gives up
    /// on those: their outcome is unknown.
    pub async fn close(self) {
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

    /// The record's timestamp, and when it has been tried long enough.
    fn times_of(&self, record: &Record) -> (u64, Instant) {
        let clock = self.client.core.options.runtime.clock();
        let timestamp_ms = record.timestamp_ms.unwrap_or_else(|| clock.wall().0);
        (timestamp_ms, clock.now() + self.delivery_timeout)
    }
}

const CLOSED: Error = Error::Closed { what: "producer" };

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
