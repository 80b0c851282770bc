//! Bringing something from outside into a stream, from where the last run left off, and nothing twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use futures::FutureExt as _;
use weir_types::TopicKind;
use weir_types::batch::reserved_headers::{SOURCE, SOURCE_ACKED, SOURCE_POSITION};

use crate::routing::TopicRoute;
use crate::{
    Client, Error, ErrorKind, PendingDelivery, Producer, ProducerOptions, ReadUntil, ReaderOptions, Record,
    Result, StartPosition, StreamRecord,
};

/// Records on their way, at most.
const PENDING_MAX: usize = 10_000;

/// The one producer of a stream: a named one that knows, when it starts again, how far it came.
///
/// What it brings in has positions that grow: line numbers, byte offsets, sequence numbers of a database's log. When it is
/// opened, its older self can append no more, and [`position`](Self::position) says from where on to read again. Some of
/// that may be in the stream already: [`send`](Self::send) leaves it out. So every position is in the stream once, in order
/// within its partition, whatever is killed when. The same positions have to bring the same keys again.
///
/// Each record carries its position in the header `weir-source-position`. The stream has to keep the last record of every
/// partition, the last 10,000 of each once it was split or merged, and takes records of no other producer.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic};
/// # let client = Client::connect(seeds).await?;
/// # let _ = client.admin().create_topic(NewTopic::stream("log-lines")).await;
/// use weir_client::Record;
/// use weir_client::operator::Source;
///
/// let lines = ["first", "second", "third"];
/// let mut source = Source::open(&client, "log", "log-lines").await?;
/// let done = source.position().map_or(0, |position| position + 1);
/// for (number, line) in (0..).zip(lines).skip(done as usize) {
///     source.send(number, Record::new(line)).await?;
/// }
/// source.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Source {
    producer: Producer,
    /// As it was when the source was opened: what it says of a record without a key stays so.
    topic: Arc<TopicRoute>,
    name: String,
    progress: Progress,
    pending: VecDeque<(u64, PendingDelivery)>,
}

/// How far a source is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// The last position in each partition, when the source was opened: those before it are there too.
    last: BTreeMap<u32, u64>,
    /// Positions that were there when the source was opened, instead: of a stream that was split or merged. Which partition
    /// a position went to does not follow from the partitions of today.
    present: BTreeSet<u64>,
    /// Everything up to it is in the stream.
    acked: Option<u64>,
    /// The position that was sent last.
    sent: Option<u64>,
}

impl Progress {
    /// Reads how far a source is from the ends of its partitions.
    async fn read(client: &Client, name: &str, topic: &TopicRoute) -> Result<Self> {
        let is_reshaped = topic.is_reshaped();
        // At most so many positions are on their way, so that fewer records are behind one that is not known to be there.
        let tail = if is_reshaped { PENDING_MAX as u64 } else { 1 };
        let last = ReaderOptions {
            start: StartPosition::Lag(tail),
            until: ReadUntil::End,
            ..ReaderOptions::default()
        };
        let mut reader = client.stream_reader(&topic.name, last).await?;
        let mut progress = Self::default();
        while let Some(record) = reader.next().await {
            if is_reshaped {
                progress.found_one_of(name, &record?)?;
            } else {
                progress.found(name, &record?)?;
            }
        }
        Ok(progress)
    }

    /// Takes in the last record of a partition.
    fn found(&mut self, name: &str, record: &StreamRecord) -> Result<()> {
        let position = self.position_of(name, record)?;
        self.last.insert(record.partition, position);
        Ok(())
    }

    /// Takes in one of the last records of a stream that was split or merged.
    fn found_one_of(&mut self, name: &str, record: &StreamRecord) -> Result<()> {
        let position = self.position_of(name, record)?;
        self.present.insert(position);
        Ok(())
    }

    fn position_of(&mut self, name: &str, record: &StreamRecord) -> Result<u64> {
        let header = |wanted: &str| {
            let found = record.headers.iter().rfind(|header| header.name == wanted)?;
            str::from_utf8(&found.value).ok()
        };
        let position = header(SOURCE_POSITION).and_then(|position| position.parse().ok());
        let (Some(position), true) = (position, header(SOURCE) == Some(name)) else {
            let (topic, offset, partition) = (&record.topic, record.offset, record.partition);
            let text =
                format!("record {offset} of `{topic}` partition {partition} is not of source `{name}`");
            return Err(Error::new(ErrorKind::Invalid, "not-of-source", text));
        };
        self.acked = self.acked.max(header(SOURCE_ACKED).and_then(|acked| acked.parse().ok()));
        Ok(position)
    }

    /// Whether a position has to be sent to its partition.
    ///
    /// # Errors
    /// For one that is not behind the one before.
    fn takes(&mut self, position: u64, partition: u32) -> Result<bool> {
        if let Some(sent) = self.sent.filter(|sent| position <= *sent) {
            let problem = format!("is {position}, and {sent} was sent before: positions grow");
            return Err(Error::Option { option: "position", problem });
        }
        self.sent = Some(position);
        let is_new = self.last.get(&partition).is_none_or(|last| position > *last);
        Ok(is_new && !self.present.contains(&position))
    }
}

impl Source {
    /// Takes the source over from whoever ran it before.
    ///
    /// # Errors
    /// `NotFound` for the stream; `Invalid` when its last records are of somebody else.
    pub async fn open(client: &Client, name: &str, stream: &str) -> Result<Self> {
        let options = ProducerOptions {
            name: Some(format!("source.{name}")),
            kind: Some(TopicKind::Stream),
            ..ProducerOptions::default()
        };
        let producer = client.producer(stream, options).await?;
        let mut topic = client.core.topic_of(stream, TopicKind::Stream).await?;
        let progress = loop {
            producer.fence().await?;
            let progress = Progress::read(client, name, &topic).await?;
            // What was split or merged meanwhile is read again, in the partitions of now.
            let now = client.core.topic_of(stream, TopicKind::Stream).await?;
            if now.has_same_partitions(&topic) {
                break progress;
            }
            topic = now;
        };
        Ok(Self { producer, topic, name: name.to_owned(), progress, pending: VecDeque::new() })
    }

    /// Everything up to this position is in the stream: go on behind it. None: nothing is known to be.
    pub fn position(&self) -> Option<u64> {
        self.progress.acked
    }

    /// Sends the record of a position, unless it is in the stream already. A record without a key goes to a partition that
    /// follows from its position. Waits when many records are on their way.
    ///
    /// # Errors
    /// When an earlier record could not be appended, as of [`Producer::send`]: open the source again. `Fenced` when another
    /// instance has taken over.
    pub async fn send(&mut self, position: u64, record: Record) -> Result<()> {
        let owners = &self.topic.partitions;
        let by_position = || (position % owners.len() as u64) as usize;
        let place = record.key.as_ref().map_or_else(by_position, |key| self.topic.of_key(key));
        let partition = owners[place].partition;
        if !self.progress.takes(position, partition)? {
            return Ok(());
        }
        self.settle(PENDING_MAX - 1).await?;
        let mut record =
            record.header(SOURCE, self.name.clone()).header(SOURCE_POSITION, position.to_string());
        if let Some(acked) = self.progress.acked {
            record = record.header(SOURCE_ACKED, acked.to_string());
        }
        let delivery = self.producer.send_to(partition, record).await?;
        self.pending.push_back((position, delivery));
        Ok(())
    }

    /// Waits until everything that was sent is in the stream.
    ///
    /// # Errors
    /// As of [`send`](Self::send).
    pub async fn flush(&mut self) -> Result<()> {
        self.settle(0).await
    }

    /// [Flushes](Self::flush) and ends.
    ///
    /// # Errors
    /// As of [`send`](Self::send).
    pub async fn close(mut self) -> Result<()> {
        let flushed = self.flush().await;
        self.producer.close().await;
        flushed
    }

    /// Takes answers in from the front until at most so many are missing, and whatever else is there.
    async fn settle(&mut self, left: usize) -> Result<()> {
        loop {
            let must_wait = self.pending.len() > left;
            let Some((position, delivery)) = self.pending.front_mut() else { return Ok(()) };
            let position = *position;
            if must_wait {
                delivery.await?;
            } else if let Some(answer) = delivery.now_or_never() {
                answer?;
            } else {
                return Ok(());
            }
            self.progress.acked = Some(position);
            self.pending.pop_front();
        }
    }
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("name", &self.name)
            .field("progress", &self.progress)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;
    use crate::Header;

    fn record(partition: u32, source: &str, position: &str, acked: Option<&str>) -> StreamRecord {
        let header =
            |name: &str, value: &str| Header { name: name.to_owned(), value: value.to_owned().into() };
        let mut headers = vec![header(SOURCE, source), header(SOURCE_POSITION, position)];
        headers.extend(acked.map(|acked| header(SOURCE_ACKED, acked)));
        let topic = "lines".into();
        StreamRecord { topic, partition, offset: 7, timestamp_ms: 0, key: None, value: None, headers }
    }

    #[test]
    fn a_source_goes_on_behind_what_is_certainly_there_and_leaves_out_what_is() {
        let mut progress = Progress::default();
        progress.found("log", &record(0, "log", "12", Some("8"))).unwrap();
        progress.found("log", &record(1, "log", "9", None)).unwrap();
        assert_eq!(progress.acked, Some(8));
        assert!(!progress.takes(9, 1).unwrap());
        assert!(progress.takes(10, 1).unwrap());
        assert!(!progress.takes(12, 0).unwrap());
        assert!(progress.takes(13, 0).unwrap());
        assert!(progress.takes(14, 2).unwrap());
    }

    #[test]
    fn in_a_stream_that_was_split_each_position_is_known_by_itself() {
        let mut progress = Progress::default();
        for (partition, position) in [(0, "4"), (2, "9"), (3, "7")] {
            progress.found_one_of("log", &record(partition, "log", position, Some("3"))).unwrap();
        }
        assert_eq!(progress.acked, Some(3));
        let taken: Vec<u64> = (4..11).filter(|position| progress.takes(*position, 2).unwrap()).collect();
        assert_eq!(taken, [5, 6, 8, 10]);
    }

    #[test]
    fn positions_grow() {
        let mut progress = Progress::default();
        assert!(progress.takes(3, 0).unwrap());
        assert!(progress.takes(3, 0).is_err());
        assert!(progress.takes(2, 0).is_err());
        assert!(progress.takes(4, 0).unwrap());
    }

    #[test]
    fn records_of_others_are_refused() {
        let mut progress = Progress::default();
        for other in [record(0, "another", "1", None), record(0, "log", "x", None)] {
            assert_eq!(progress.found("log", &other).unwrap_err().code(), "not-of-source");
        }
    }
}
