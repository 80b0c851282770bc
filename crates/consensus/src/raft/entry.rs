//! Entries as the store keeps them: (index, term, kind, payload).

use std::io;

use bytes::Bytes;
use openraft::EntryPayload;
use weir_storage::LogRecord;
use weir_types::{LogIndex, Term};

use super::{Entry, LogId, Payload};

/// The first entry of a leader's term; no payload.
pub(crate) const KIND_BLANK: u8 = 0;
/// An entry of the machine; the payload is its own.
pub(crate) const KIND_NORMAL: u8 = 1;
/// A membership; the payload is its postcard encoding.
pub(crate) const KIND_MEMBERSHIP: u8 = 2;

/// The log id of (term, index).
pub(crate) fn log_id(term: Term, index: LogIndex) -> LogId {
    LogId::new_term_index(term.0, index.0)
}

/// An entry as a stored record. The payload is shared, not copied.
pub(crate) fn record_of(entry: Entry) -> LogRecord {
    let (kind, payload) = match entry.payload {
        EntryPayload::Blank => (KIND_BLANK, Bytes::new()),
        EntryPayload::Normal(Payload(bytes)) => (KIND_NORMAL, bytes),
        EntryPayload::Membership(membership) => {
            let encoded = postcard::to_stdvec(&membership).expect("a membership always encodes");
            (KIND_MEMBERSHIP, encoded.into())
        }
    };
    LogRecord {
        index: LogIndex(entry.log_id.index()),
        term: Term(**entry.log_id.committed_leader_id()),
        kind,
        payload,
    }
}

/// A stored record as an entry.
pub(crate) fn entry_of(record: LogRecord) -> io::Result<Entry> {
    let payload = match record.kind {
        KIND_BLANK => EntryPayload::Blank,
        KIND_NORMAL => EntryPayload::Normal(Payload(record.payload)),
        KIND_MEMBERSHIP => EntryPayload::Membership(
            postcard::from_bytes(&record.payload)
                .map_err(|error| corrupt(record.index, &error.to_string()))?,
        ),
        other => return Err(corrupt(record.index, &format!("unknown kind {other}"))),
    };
    Ok(Entry { log_id: log_id(record.term, record.index), payload })
}

fn corrupt(index: LogIndex, what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("entry {index}: {what}"))
}
