//! The reader: sums the stream as a member of a consumer group.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use weir_client::{Client, ConsumerOptions, StreamConsumer, StreamRecord};

use super::message::{Event, decode};
use super::tally::EventTally;
use super::{GROUP, STREAM};

/// The end of the stream, per partition, once everything is appended.
pub(super) type Ends = BTreeMap<u32, u64>;

/// How long reading may err before the run fails: longer than a failover.
const ERRORS_WITHIN: Duration = Duration::from_mins(1);

/// Reads until every partition is read up to its end, which `ends` says when it is known.
pub(super) async fn sum(
    client: Client,
    mut ends: watch::Receiver<Option<Ends>>,
) -> Result<EventTally, String> {
    let mut consumer = client
        .stream_consumer(GROUP, &[STREAM], ConsumerOptions::default())
        .await
        .map_err(|error| error.to_string())?;
    let mut reader = Reader::default();
    while !reader.is_at(ends.borrow_and_update().as_ref()) {
        tokio::select! {
            changed = ends.changed() => changed.map_err(|_| "the run ended before its reader".to_owned())?,
            record = next(&mut consumer) => {
                reader.enter(&record?)?;
                consumer.commit_async();
            }
        }
    }
    consumer.commit().await.map_err(|error| format!("the last commit of `{GROUP}`: {error}"))?;
    consumer.close().await.map_err(|error| format!("leaving `{GROUP}`: {error}"))?;
    Ok(reader.tally)
}

/// The next record. Errors pass while a partition finds a new leader; when they do not, the last one is returned.
async fn next(consumer: &mut StreamConsumer) -> Result<StreamRecord, String> {
    let mut erring_since = None;
    loop {
        match consumer.next().await {
            Some(Ok(record)) => return Ok(record),
            Some(Err(error)) => {
                let since = *erring_since.get_or_insert_with(tokio::time::Instant::now);
                let grave = matches!(
                    error.kind(),
                    weir_client::ErrorKind::Invalid
                        | weir_client::ErrorKind::Corrupt
                        | weir_client::ErrorKind::NotFound
                );
                if grave || since.elapsed() > ERRORS_WITHIN {
                    return Err(format!("reading `{STREAM}`: {error}"));
                }
                tracing::debug!(%error, "reading goes on");
            }
            None => return Err(format!("the consumer of `{STREAM}` is closed")),
        }
    }
}

/// The books, and how far each partition is read.
#[derive(Debug, Default)]
struct Reader {
    tally: EventTally,
    next: BTreeMap<u32, u64>,
}

impl Reader {
    /// Enters a record. One that was read before (ownership went and came back before a commit) is no repeated event;
    /// an offset that is left out is an error, because offsets are dense and nothing is old enough to be deleted.
    fn enter(&mut self, record: &StreamRecord) -> Result<(), String> {
        let next = self.next.entry(record.partition).or_default();
        if record.offset < *next {
            return Ok(());
        }
        if record.offset > *next {
            return Err(format!(
                "the reader of {STREAM}/{} got offset {} where {next} comes next",
                record.partition, record.offset
            ));
        }
        *next += 1;
        if let Event::Counted { task, counts } = decode(record.value.as_ref())? {
            self.tally.enter(task, counts);
        }
        Ok(())
    }

    fn is_at(&self, ends: Option<&Ends>) -> bool {
        ends.is_some_and(|ends| {
            ends.iter().all(|(partition, end)| self.next.get(partition).copied().unwrap_or(0) >= *end)
        })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::message::encode;
    use super::super::wc::Counts;
    use super::*;

    fn record(partition: u32, offset: u64, event: &Event) -> StreamRecord {
        StreamRecord {
            topic: STREAM.into(),
            partition,
            offset,
            timestamp_ms: 0,
            key: None,
            value: Some(encode(event)),
            headers: Vec::new(),
        }
    }

    #[test]
    fn a_record_read_twice_is_no_repeated_event_but_one_appended_twice_is() {
        let event = Event::Counted { task: 1, counts: Counts { lines: 1, words: 2 } };
        let mut reader = Reader::default();
        for (offset, event) in [(0, &event), (0, &event), (1, &Event::Probe), (2, &event)] {
            reader.enter(&record(0, offset, event)).unwrap();
        }
        assert_eq!((reader.tally.events(), reader.tally.repeated()), (2, 1));
        assert!(reader.enter(&record(0, 4, &event)).is_err(), "offset 3 is missing");
    }

    #[test]
    fn the_reader_is_done_when_every_partition_is_at_its_end() {
        let mut reader = Reader::default();
        let ends = Ends::from([(0, 1), (1, 0)]);
        assert!(!reader.is_at(None) && !reader.is_at(Some(&ends)));
        reader.enter(&record(0, 0, &Event::Probe)).unwrap();
        assert!(reader.is_at(Some(&ends)));
    }
}
