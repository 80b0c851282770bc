//! What comes out of finished messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_proto::v1;
use weir_types::limits::BATCH_BYTES_MAX;
use weir_types::{BatchBuilder, BatchError, GroupId};

use crate::admin::partition_of;
use crate::call::Core;
use crate::{Error, Record, Result};

/// Records that are appended in the step that acks a message: all of it happens, once, or nothing.
///
/// ```
/// use weir_client::{Outputs, Record};
///
/// let outputs = Outputs::new()
///     .append("payments", Record::new("paid").key("order-17"))
///     .append("mails", Record::new("send receipt").key("order-17"));
/// # drop(outputs);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outputs {
    records: Vec<(String, Place, Record)>,
}

/// Which partition of its topic a record goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// That of its key.
    Key,
    /// This one.
    Partition(u32),
}

impl Outputs {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record for a stream, or a message for a queue. Records of one key stay in order.
    #[must_use]
    pub fn append(mut self, topic: impl Into<String>, record: Record) -> Self {
        self.records.push((topic.into(), Place::Key, record));
        self
    }

    /// Adds a record for one partition of a stream, whatever its key.
    pub(crate) fn append_to(mut self, topic: &str, partition: u32, record: Record) -> Self {
        self.records.push((topic.to_owned(), Place::Partition(partition), record));
        self
    }

    /// The payloads, as text.
    #[cfg(test)]
    pub(crate) fn values(&self) -> Vec<String> {
        let text = |record: &Record| {
            String::from_utf8_lossy(record.value.as_deref().unwrap_or_default()).into_owned()
        };
        self.records.iter().map(|(_, _, record)| text(record)).collect()
    }

    /// Adds several for one topic.
    #[must_use]
    pub fn append_all(self, topic: &str, records: impl IntoIterator<Item = Record>) -> Self {
        records.into_iter().fold(self, |outputs, record| outputs.append(topic, record))
    }
}

/// Outputs as they are sent: one batch per partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct OutputBatches {
    batches: Arc<[v1::OutputBatch]>,
}

impl OutputBatches {
    /// Finds each record's partition: that of its key, or one at random for all records of a topic without a key.
    ///
    /// # Errors
    /// `NotFound` for a topic; [`Error::Record`] for a record over a limit, or all of them together.
    pub(crate) async fn of(core: &Core, outputs: Outputs) -> Result<Self> {
        let now = core.options.runtime.clock().wall().0;
        let mut builders: BTreeMap<GroupId, BatchBuilder> = BTreeMap::new();
        let any = core.random_id();
        for (topic, place, record) in outputs.records {
            let route = core.topic(&topic).await?;
            let without_key = || (any % route.partitions.len() as u64) as usize;
            let of_key = || record.key.as_ref().map_or_else(without_key, |key| route.of_key(key));
            let partition = match place {
                Place::Key => &route.partitions[of_key()],
                Place::Partition(partition) => partition_of(&route, partition)?,
            };
            let builder = builders.entry(partition.group).or_default();
            record.add_to(builder, now).map_err(Error::Record)?;
        }
        let mut batches = Vec::with_capacity(builders.len());
        let mut bytes = 0;
        for (group, builder) in builders {
            let batch = builder.build(None).map_err(Error::Record)?;
            bytes += batch.len();
            batches.push(v1::OutputBatch { group_id: group.0, batch });
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(Error::Record(BatchError::BatchTooLarge { bytes, limit: BATCH_BYTES_MAX }));
        }
        Ok(Self { batches: batches.into() })
    }

    pub(crate) fn bytes(&self) -> usize {
        self.batches.iter().map(|output| output.batch.len()).sum()
    }

    pub(crate) fn to_wire(&self) -> Vec<v1::OutputBatch> {
        self.batches.to_vec()
    }
}
