//! From a pointer to bytes: record batches out of the Raft log, and single records out of batches.

use bytes::Bytes;
use weir_consensus::{Group, ReadError};
use weir_types::batch::{BatchView, Codec, RecordView};
use weir_types::{ErrorKind, LogIndex, Pointer, Term, WeirError};

use crate::door;
use crate::replica::{Replica, State, bodies};

/// One record, taken out of its batch. The bytes are slices of the batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Message key.
    pub key: Option<Bytes>,
    /// Body.
    pub value: Option<Bytes>,
    /// Headers in order; a header without a value has an empty one.
    pub headers: Vec<(String, Bytes)>,
    /// As the producer set it, milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
}

/// Reads batches by pointer, keeping the last entry: consecutive pointers mostly lie in the same one.
pub(crate) struct BatchReader<'a, S: State> {
    group: &'a Group<Replica<S>>,
    last: Option<(Term, LogIndex, Bytes)>,
}

impl<'a, S: State> BatchReader<'a, S> {
    pub(crate) fn new(group: &'a Group<Replica<S>>) -> Self {
        Self { group, last: None }
    }

    /// The batch that a pointer names. `Gone` when it was retired meanwhile.
    pub(crate) async fn read(&mut self, pointer: Pointer) -> Result<Bytes, ReadError> {
        let bodies = match &self.last {
            Some((term, index, bodies)) if (*term, *index) == (pointer.term, pointer.index) => bodies.clone(),
            _ => {
                let payload = self.group.read_entry(pointer.term, pointer.index).await?;
                let bodies = bodies(&payload).map_err(|_| ReadError::Gone)?;
                self.last = Some((pointer.term, pointer.index, bodies.clone()));
                bodies
            }
        };
        let from = pointer.position as usize;
        let to = from + pointer.length as usize;
        if to > bodies.len() {
            return Err(ReadError::Gone);
        }
        Ok(bodies.slice(from..to))
    }
}

/// Picks records out of a batch by number; `wanted` rises.
pub(crate) fn pick(batch: &Bytes, wanted: &[u32]) -> Result<Vec<Record>, WeirError> {
    let view = BatchView::parse(batch).map_err(damaged)?;
    let first_timestamp_ms = view.header().first_timestamp_ms;
    let section = section_of(batch, &view)?;
    let mut wanted = wanted.iter().copied().peekable();
    let mut picked = Vec::with_capacity(wanted.len());
    for record in view.records(&section) {
        let Some(next) = wanted.peek() else { break };
        let record = record.map_err(damaged)?;
        if record.offset_delta == *next {
            wanted.next();
            picked.push(owned(&section, &record, first_timestamp_ms));
        }
    }
    match wanted.next() {
        None => Ok(picked),
        Some(missing) => Err(damaged(format!("record {missing} is not in its batch"))),
    }
}

/// All records of a stored batch, in order, each with its offset after the base offset.
pub(crate) fn all(batch: &Bytes) -> Result<Vec<(u32, Record)>, WeirError> {
    let view = BatchView::parse(batch).map_err(damaged)?;
    let section = section_of(batch, &view)?;
    let records = view.records(&section).map(|record| {
        let record = record.map_err(damaged)?;
        Ok((record.offset_delta, owned(&section, &record, view.header().first_timestamp_ms)))
    });
    records.collect()
}

/// The records section of a batch, uncompressed, which shares its memory if it can.
fn section_of(batch: &Bytes, view: &BatchView<'_>) -> Result<Bytes, WeirError> {
    match view.header().codec {
        Codec::None => Ok(batch.slice_ref(view.section())),
        _ => Ok(Bytes::from(door::open(view)?.into_owned())),
    }
}

fn owned(section: &Bytes, record: &RecordView<'_>, first_timestamp_ms: i64) -> Record {
    let slice = |bytes: &[u8]| if bytes.is_empty() { Bytes::new() } else { section.slice_ref(bytes) };
    Record {
        key: record.key.map(slice),
        value: record.value.map(slice),
        headers: record
            .headers
            .iter()
            .map(|header| (header.name.to_owned(), slice(header.value.unwrap_or_default())))
            .collect(),
        // Two numbers of the producer: nothing says that their sum is one.
        timestamp_ms: first_timestamp_ms.saturating_add(record.timestamp_delta),
    }
}

/// A stored batch that the door let in cannot be read: damage.
#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over")]
pub(crate) fn damaged(error: impl ToString) -> WeirError {
    WeirError::new(ErrorKind::Corrupt, "stored-batch-damaged", error.to_string())
}

/// What a failed read of a body means to a client.
pub(crate) fn read_error(error: &ReadError) -> WeirError {
    match error {
        ReadError::Gone => {
            WeirError::new(ErrorKind::Retry, "record-moving", "the record was retired while it was read")
                .after_ms(10)
        }
        ReadError::Rows(error) => WeirError::new(ErrorKind::Corrupt, "rows-damaged", error.to_string()),
        ReadError::Store(error) => WeirError::new(ErrorKind::Internal, "storage-failed", error.to_string()),
    }
}
