//! The reader's handle.

use std::sync::Arc;

use tokio::sync::mpsc;
use weir_runtime::TaskGroup;
use weir_types::TopicKind;

use super::{Chunk, Credit, Event, Origin, PartitionReader, Source};
use crate::admin::{offsets_of, partition_of};
use crate::call::Core;
use crate::routing::{PartitionRoute, TopicRoute};
use crate::{Client, ReadUntil, ReaderOptions, Result, StartPosition, StreamRecord};

/// Reads the partitions of a stream, each in order, merged as they come. It belongs to no group and commits nothing; it
/// holds its position across failovers, without a gap and without a repetition.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic, ProducerOptions, Record};
/// # let client = Client::connect(seeds).await?;
/// # let _ = client.admin().create_topic(NewTopic::stream("clicks")).await;
/// # client.producer("clicks", ProducerOptions::default()).await?.send(Record::new("here")).await?.await?;
/// use weir_client::{ReadUntil, ReaderOptions};
///
/// let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
/// let mut reader = client.stream_reader("clicks", options).await?;
/// # let mut read = 0;
/// while let Some(record) = reader.next().await {
///     let record = record?;
///     println!("{}/{}: {:?}", record.partition, record.offset, record.value);
/// #     read += 1;
/// }
/// # assert!(read > 0);
/// # Ok(())
/// # }
/// ```
pub struct StreamReader {
    topic: Arc<TopicRoute>,
    current: Option<Chunk>,
    events: mpsc::Receiver<Event>,
    _tasks: TaskGroup,
    _client: Client,
}

impl StreamReader {
    pub(crate) async fn open(client: Client, topic: &str, options: ReaderOptions) -> Result<Self> {
        options.validate()?;
        let core = &client.core;
        let topic = core.topic_of(topic, TopicKind::Stream).await?;
        let chosen: Vec<&PartitionRoute> = match &options.partitions {
            None => topic.partitions.iter().collect(),
            Some(indices) => {
                indices.iter().map(|index| partition_of(&topic, *index)).collect::<Result<_>>()?
            }
        };
        let bounds = chosen.iter().map(|partition| bounds_of(core, partition, &options));
        let bounds = futures::future::try_join_all(bounds).await?;
        let (sender, events) = mpsc::channel(chosen.len().max(1));
        let mut tasks = TaskGroup::new();
        for (partition, (position, end)) in chosen.into_iter().zip(bounds) {
            let reader = PartitionReader {
                core: Arc::clone(core),
                origin: Origin { topic: Arc::clone(&topic.name), partition: partition.partition },
                source: Source { group: partition.group, epoch: 0, turn: 0 },
                consumer_group: String::new(),
                position,
                end,
                credit: Arc::new(Credit::new(options.buffer_bytes_max as u64)),
                stall_timeout: options.stall_timeout,
                events: sender.clone(),
            };
            tasks.spawn(reader.run());
        }
        Ok(Self { topic, current: None, events, _tasks: tasks, _client: client })
    }

    /// The stream's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// The next record. None at the end, if the reader was to stop there.
    ///
    /// An error concerns one partition. After `offset-out-of-range` (retention was faster than the reader) that
    /// partition goes on at its first retained record; after other errors that can pass it is tried on; the others go on
    /// in any case, so that `next` may be called again.
    ///
    /// Cancel safe: a record is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<StreamRecord>> {
        loop {
            if let Some(record) = self.current.as_mut().and_then(|chunk| chunk.records.pop_front()) {
                return Some(Ok(record));
            }
            // Before waiting: the credit of what was handled may be what the next records wait for.
            self.current = None;
            match self.events.recv().await? {
                Ok(chunk) => self.current = Some(chunk),
                Err((_, error)) => return Some(Err(error)),
            }
        }
    }
}

/// Where reading begins, and where it stops.
async fn bounds_of(
    core: &Core,
    partition: &PartitionRoute,
    options: &ReaderOptions,
) -> Result<(u64, Option<u64>)> {
    let time_ms = match options.start {
        StartPosition::TimeMs(time_ms) => Some(time_ms),
        _ => None,
    };
    let offsets = offsets_of(core, partition.group, time_ms).await?;
    let position = match &options.start {
        StartPosition::Earliest => offsets.start_offset,
        StartPosition::Latest => offsets.end_offset,
        StartPosition::Offset(offset) => *offset,
        StartPosition::Lag(records) => offsets.end_offset.saturating_sub(*records).max(offsets.start_offset),
        StartPosition::TimeMs(_) => offsets.time_offset.unwrap_or(offsets.end_offset),
        StartPosition::Offsets(by_partition) => {
            by_partition.get(&partition.partition).copied().unwrap_or(offsets.start_offset)
        }
    };
    let end = match options.until {
        ReadUntil::Forever => None,
        ReadUntil::End => Some(offsets.end_offset),
    };
    Ok((position, end))
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
