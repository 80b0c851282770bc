//! Records that are changed, left out, multiplied and given other keys on their way to another topic.

use bytes::Bytes;
use weir_types::batch::reserved_headers;

use super::{Handler, HandlerError, Step};
use crate::{Record, StreamRecord};

type Stage = Box<dyn Fn(Record) -> Vec<Record> + Send + Sync>;

/// A handler without state: each record goes through all stages, in order, and what is left goes to a topic.
///
/// ```
/// use weir_client::Record;
/// use weir_client::operator::Flow;
///
/// // Lines to words, each under itself as its key, so that a later operator can count them.
/// let words = Flow::to("words")
///     .flat_map(|line| {
///         let text = String::from_utf8_lossy(&line.value.unwrap_or_default()).into_owned();
///         text.split_whitespace().map(|word| Record::new(word.to_owned())).collect()
///     })
///     .filter(|word| word.value.as_ref().is_some_and(|word| word.len() > 2))
///     .key_by(|word| word.value.clone().unwrap_or_default());
/// # drop(words);
/// ```
pub struct Flow {
    stages: Vec<Stage>,
    topic: String,
}

impl Flow {
    /// Everything to a stream or a queue, as it is: key, value, headers and timestamp. Headers whose names begin with
    /// `weir-` stay behind: they were meant for the topic that the record comes from.
    pub fn to(topic: impl Into<String>) -> Self {
        Self { stages: Vec::new(), topic: topic.into() }
    }

    /// Makes another record of each.
    #[must_use]
    pub fn map(self, f: impl Fn(Record) -> Record + Send + Sync + 'static) -> Self {
        self.flat_map(move |record| vec![f(record)])
    }

    /// Leaves records out.
    #[must_use]
    pub fn filter(self, keep: impl Fn(&Record) -> bool + Send + Sync + 'static) -> Self {
        self.flat_map(move |record| if keep(&record) { vec![record] } else { Vec::new() })
    }

    /// Gives records another key: they go to its partition.
    #[must_use]
    pub fn key_by(self, key: impl Fn(&Record) -> Bytes + Send + Sync + 'static) -> Self {
        self.map(move |record| {
            let key = key(&record);
            Record { key: Some(key), ..record }
        })
    }

    /// Makes any number of records of each.
    #[must_use]
    pub fn flat_map(mut self, f: impl Fn(Record) -> Vec<Record> + Send + Sync + 'static) -> Self {
        self.stages.push(Box::new(f));
        self
    }
}

impl Handler for Flow {
    fn handle(&self, record: &StreamRecord, step: &mut Step<'_>) -> Result<(), HandlerError> {
        let StreamRecord { key, value, mut headers, timestamp_ms, .. } = record.clone();
        headers.retain(|header| !header.name.starts_with(reserved_headers::PREFIX));
        let first = Record { key, value, headers, timestamp_ms: Some(timestamp_ms) };
        let through = |records: Vec<Record>, stage: &Stage| records.into_iter().flat_map(stage).collect();
        let last = self.stages.iter().fold(vec![first], through);
        for record in last {
            step.emit(&self.topic, record);
        }
        Ok(())
    }

    fn keeps_state(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for Flow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flow").field("topic", &self.topic).field("stages", &self.stages.len()).finish()
    }
}
