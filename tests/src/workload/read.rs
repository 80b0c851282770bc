//! Readers without a group.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op, Value};
use weir_client::{Client, ReadUntil, ReaderOptions, StreamRecord};

use super::{FOLLOWER, LAST, STREAM, payload};
use crate::recorder::{Begun, End};
use crate::{Recorder, within};

/// How long the stream may take to be read once more.
const REREAD: Duration = Duration::from_mins(2);

/// Reads from the beginning on, across everything that happens, until it is told to stop.
pub(super) async fn follow(client: Client, recorder: Arc<Recorder>, stop: CancellationToken) {
    let mut reader = client.stream_reader(STREAM, ReaderOptions::default()).await.expect("a reader opens");
    let mut reading = Reading::of(FOLLOWER, &recorder);
    loop {
        let begun = recorder.begin();
        let record = tokio::select! {
            () = stop.cancelled() => return,
            record = reader.next() => record.expect("it reads for ever"),
        };
        match record {
            Ok(record) => reading.note(begun, &record),
            Err(error) => recorder.trouble("the follower", error),
        }
    }
}

/// Reads the whole stream once: what is not there then is lost.
///
/// # Panics
/// When a partition cannot be read.
pub(super) async fn to_the_end(client: &Client, recorder: &Recorder, partitions: u32) {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    within("the whole stream is read once more", REREAD, async {
        let ends: Vec<_> = (0..partitions).map(|_| recorder.begin()).collect();
        let mut reader = client.stream_reader(STREAM, options).await.expect("a reader opens");
        let mut reading = Reading::of(LAST, recorder);
        loop {
            let begun = recorder.begin();
            let Some(record) = reader.next().await else { break };
            reading.note(begun, &record.expect("everything is readable once all is calm"));
        }
        // The reader went to the ends that there were when it began.
        for (partition, begun) in (0..).zip(ends) {
            reading.note_end(begun, partition);
        }
    })
    .await;
}

/// What one reader has read.
struct Reading<'a> {
    consumer: Consumer,
    recorder: &'a Recorder,
    /// By partition: the offset that has to come next.
    next: BTreeMap<u32, u64>,
}

impl<'a> Reading<'a> {
    fn of(consumer: Consumer, recorder: &'a Recorder) -> Self {
        Self { consumer, recorder, next: BTreeMap::new() }
    }

    fn note(&mut self, begun: Begun, record: &StreamRecord) {
        let next = self.next.insert(record.partition, record.offset + 1).unwrap_or(0);
        let records = vec![(record.offset, payload::value(record.value.as_ref()))];
        self.recorder.end(begun, self.poll(record.partition, next, records), End::Ok);
    }

    /// Nothing more is there.
    fn note_end(&self, begun: Begun, partition: u32) {
        let next = self.next.get(&partition).copied().unwrap_or(0);
        self.recorder.end(begun, self.poll(partition, next, Vec::new()), End::Ok);
    }

    fn poll(&self, partition: u32, offset: u64, records: Vec<(u64, Option<Value>)>) -> Op {
        let (topic, consumer) = (STREAM.to_owned(), self.consumer);
        Op::Poll { topic, consumer, group: None, partition, offset, records }
    }
}
