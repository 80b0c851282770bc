//! The reader's handle.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use weir_proto::v1;
use weir_proto::v1::stream_client::StreamClient;
use weir_runtime::TaskGroup;
use weir_types::{GroupId, TopicKind};

use super::following::{Bounds, Following};
use super::lineage::Lineage;
use super::{Chunk, Event};
use crate::admin::{offsets_of, partition_of};
use crate::call::{ANSWER_BYTES_MAX, Core};
use crate::routing::{PartitionRoute, Target, TopicRoute};
use crate::{Client, ReadUntil, ReaderOptions, Result, StartPosition, StreamRecord};

/// Reads the partitions of a stream, each in order, merged as they come. It belongs to no group and commits nothing; it
/// holds its position across failovers, without a gap and without a repetition.
///
/// A partition that came of a split or a merge begins when everything of its parents was handed out, so that the records of a
/// key come in order. Those that come of one while the reader runs are read too, from their first records on, unless the
/// reader was given an end or partitions of the caller's choice.
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
        let (topic, plan) = plan(core, topic, &options).await?;
        let (sender, events) = mpsc::channel(plan.len().max(1));
        let mut following = Following {
            core: Arc::clone(core),
            topic: Arc::clone(&topic),
            // With an end, that is in the partitions of now.
            follows: options.partitions.is_none() && options.until == ReadUntil::Forever,
            buffer_bytes_max: options.buffer_bytes_max as u64,
            stall_timeout: options.stall_timeout,
            events: sender,
            lineage: Lineage::default(),
            waiting: BTreeMap::new(),
        };
        for (partition, bounds) in plan {
            following.add(&partition, bounds);
        }
        let mut tasks = TaskGroup::new();
        tasks.spawn(following.run());
        Ok(Self { topic, current: None, events, _tasks: tasks, _client: client })
    }

    /// The stream's name.
    pub fn topic(&self) -> &str {
        &self.topic.name
    }

    /// The next record. None at the end, if the reader was to stop there, or if all partitions of the caller's choice were
    /// split or merged and are read to their ends.
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

/// What to read, from where to where.
///
/// An end is that of all that is in the stream now. So when the leader of a partition says that it is sealed, and the routing
/// table does not, a table is waited for that names those that have taken over.
async fn plan(
    core: &Core,
    mut topic: Arc<TopicRoute>,
    options: &ReaderOptions,
) -> Result<(Arc<TopicRoute>, Vec<(PartitionRoute, Bounds)>)> {
    let deadline = core.now() + core.options.request_timeout;
    loop {
        let chosen: Vec<PartitionRoute> = match &options.partitions {
            None => topic.all().cloned().collect(),
            Some(numbers) => {
                numbers.iter().map(|number| partition_of(&topic, *number).cloned()).collect::<Result<_>>()?
            }
        };
        let bounds = chosen.iter().map(|partition| bounds_of(core, &topic, partition, options));
        let bounds = futures::future::try_join_all(bounds).await?;
        let plan: Vec<_> = chosen.into_iter().zip(bounds).collect();
        if options.partitions.is_none()
            && options.until == ReadUntil::End
            && let Some(sealed) = sealed_since(core, &topic, &plan).await?
            && tokio::time::timeout_at(deadline, core.router.sealed(&topic.name, sealed)).await.is_ok()
        {
            topic = core.topic_of(&topic.name, TopicKind::Stream).await?;
            continue;
        }
        return Ok((topic, plan));
    }
}

/// A partition that is sealed and that the table says to own keys, if there is one.
async fn sealed_since(
    core: &Core,
    topic: &TopicRoute,
    plan: &[(PartitionRoute, Bounds)],
) -> Result<Option<GroupId>> {
    let owners = plan.iter().filter(|(partition, _)| topic.owns(partition.group));
    let each = owners.map(async |(partition, bounds)| {
        let (group, offset) = (partition.group, bounds.end.unwrap_or(bounds.position));
        let request = v1::ReadRequest { group_id: group.0, offset, bytes_max: 1, wait_ms: 0 };
        let call = core.operation(Target::Leader(group), "read the end of a partition");
        let answer = core.call(call, |channel| async move {
            StreamClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).read(request).await
        });
        answer.await.map(|answer| answer.sealed.then_some(group))
    });
    Ok(futures::future::try_join_all(each).await?.into_iter().flatten().next())
}

/// Where reading begins, and where it stops.
async fn bounds_of(
    core: &Core,
    topic: &TopicRoute,
    partition: &PartitionRoute,
    options: &ReaderOptions,
) -> Result<Bounds> {
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
    // Nothing comes behind the end of a sealed one.
    let stops = !topic.owns(partition.group) || options.until == ReadUntil::End;
    Ok(Bounds { position, end: stops.then_some(offsets.end_offset) })
}

impl std::fmt::Debug for StreamReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamReader").field("topic", &self.topic.name).finish_non_exhaustive()
    }
}
