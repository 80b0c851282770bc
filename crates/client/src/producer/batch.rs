//! Records that travel together.

use bytes::Bytes;
use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;
use weir_types::{BatchBuilder, BatchError, BatchView, Codec, ProducerSequence};

use super::delivery::{Answer, BatchOutcome, Delivery, Place};
use crate::record::buffer_bytes;
use crate::{Error, Result};

/// A batch from its first record until it is answered: the records, and who waits for the answer.
#[derive(Debug)]
pub(crate) struct Batch {
    builder: BatchBuilder,
    answer: oneshot::Sender<Answer>,
    outcome: BatchOutcome,
    /// The records' share of the producer's buffer, given back when the batch is answered.
    room: Option<OwnedSemaphorePermit>,
    deadline: Instant,
}

impl Batch {
    pub(crate) fn new(deadline: Instant) -> Self {
        let (answer, outcome) = oneshot::channel();
        Self { builder: BatchBuilder::new(), answer, outcome: outcome.shared(), room: None, deadline }
    }

    /// Whether a record of so many bytes still fits. The first one always does.
    pub(crate) fn fits(&self, record_bytes: usize, bytes_max: usize, records_max: u32) -> bool {
        self.builder.is_empty()
            || (self.builder.bytes() + record_bytes <= bytes_max && self.builder.count() < records_max)
    }

    /// Adds a record, by `add`. On an error nothing is added. The batch is due with the first of its records.
    pub(crate) fn push(
        &mut self,
        add: impl FnOnce(&mut BatchBuilder) -> Result<(), BatchError>,
        room: Option<OwnedSemaphorePermit>,
        deadline: Instant,
    ) -> Result<Place, BatchError> {
        let index = self.builder.count();
        add(&mut self.builder)?;
        if let Some(room) = room {
            match &mut self.room {
                Some(held) => held.merge(room),
                none => *none = Some(room),
            }
        }
        self.deadline = self.deadline.min(deadline);
        Ok(Place::new(self.outcome.clone(), index))
    }

    /// Records in it.
    pub(crate) fn count(&self) -> u32 {
        self.builder.count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.builder.is_empty()
    }

    /// When its records have been tried long enough.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// What the flush of a producer waits for.
    pub(crate) fn outcome(&self) -> BatchOutcome {
        self.outcome.clone()
    }

    /// The bytes to send. A batch that compression does not make smaller goes as it is.
    pub(crate) fn encode(&self, stamp: Option<ProducerSequence>, codec: Codec) -> Result<Bytes, BatchError> {
        let section = self.builder.section();
        let compressed = match codec {
            Codec::None => None,
            codec => weir_compression::compress(codec, section).ok(),
        };
        match compressed.filter(|compressed| compressed.len() < section.len()) {
            Some(compressed) => self.builder.build_compressed(stamp, codec, &compressed),
            None => self.builder.build(stamp),
        }
    }

    /// Tells everybody who waits.
    pub(crate) fn answer(self, answer: Result<Delivery>) {
        // Nobody may be waiting: then nobody wants to know.
        let _ = self.answer.send(Answer::Whole(answer));
    }

    /// Takes it apart: each record goes where `put` puts it, with its share of the room, and everybody who waits for it is
    /// told to wait there.
    pub(crate) fn recut(mut self, mut put: impl FnMut(Loose<'_>) -> Place) {
        let bytes = match self.builder.build(None) {
            Ok(bytes) => bytes,
            Err(error) => return self.answer(Err(Error::Record(error))),
        };
        let view = BatchView::parse(&bytes).expect("the batch was built just now");
        let first_timestamp_ms = view.header().first_timestamp_ms;
        let mut places = Vec::with_capacity(self.builder.count() as usize);
        for record in view.records(view.section()) {
            let record = record.expect("the record was written just now");
            let headers = record.headers.iter().map(|header| (header.name, header.value)).collect();
            let mut loose = Loose {
                key: record.key,
                value: record.value,
                headers,
                timestamp_ms: first_timestamp_ms.wrapping_add(record.timestamp_delta),
                room: None,
                deadline: self.deadline,
            };
            loose.room = self.room.as_mut().and_then(|room| room.split(loose.buffer_bytes()));
            places.push(put(loose));
        }
        let _ = self.answer.send(Answer::Recut(places.into()));
    }
}

/// A record that was in a batch.
#[derive(Debug)]
pub(crate) struct Loose<'a> {
    pub(crate) key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<(&'a str, Option<&'a [u8]>)>,
    timestamp_ms: i64,
    pub(crate) room: Option<OwnedSemaphorePermit>,
    pub(crate) deadline: Instant,
}

impl Loose<'_> {
    /// As it was when it was sent.
    pub(crate) fn buffer_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.len() + value.map_or(0, <[u8]>::len));
        buffer_bytes(self.key.map_or(0, <[u8]>::len), self.value.map_or(0, <[u8]>::len), headers)
    }

    pub(crate) fn add_to(&self, batch: &mut BatchBuilder) -> Result<(), BatchError> {
        batch.push(self.key, self.value, &self.headers, self.timestamp_ms)
    }
}
