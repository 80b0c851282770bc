//! Doors for the fuzz targets (`tests/fuzz`) to the decoders of what peers send and of consensus's own rows. Each
//! function takes arbitrary bytes and panics when one of the laws that it names is broken.

use std::cell::OnceCell;

use bytes::Bytes;
use tokio::runtime::Runtime;
use weir_storage::LogRecord;
use weir_types::{LogIndex, Row, Term};

use crate::raft::{ConsensusRows, LogId, Vote, decode_row, encode_row, entry_of, record_of};
use crate::{snapshot, transport};

/// What the bytes of a connection are taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Bytes before a hello, at the port.
    Accepted,
    /// Bytes before a welcome, on a connection that we dialled.
    Dialled,
    /// Bytes after the hello of a peer.
    Lane,
}

/// `bytes` arrive on a connection, as they are.
pub fn connection(kind: Connection, bytes: &[u8]) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let build = || tokio::runtime::Builder::new_current_thread().enable_time().build();
        runtime.get_or_init(|| build().expect("a runtime without IO")).block_on(async {
            match kind {
                Connection::Accepted => transport::fuzzing::welcome_stranger(bytes).await,
                Connection::Dialled => transport::fuzzing::dial_stranger(bytes).await,
                Connection::Lane => transport::fuzzing::serve_peer(bytes).await,
            }
        });
    });
}

/// `body` as the one frame of a stream: with its length and checksum.
pub fn framed(body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_le_bytes();
    [&length[..], &crc32c::crc32c(body).to_le_bytes(), body].concat()
}

/// What travels in frames survives being decoded and encoded.
pub fn messages(bytes: &[u8]) {
    transport::fuzzing::items(bytes);
    snapshot::fuzz_messages(bytes);
}

/// Rows are split into consensus's and the machine's, or refused.
pub fn rows(rows: Vec<Row>) {
    let theirs = rows.iter().filter(|row| row.key.first() != Some(&crate::RESERVED_PREFIX)).count();
    if let Ok((_, machine)) = ConsensusRows::split(rows) {
        assert_eq!(machine.len(), theirs, "the machine gets its rows");
    }
}

/// Stored pointers that decode are encoded to the same again.
pub fn pointers(bytes: &[u8]) {
    if let Ok(vote) = decode_row::<Vote>(bytes) {
        assert_eq!(decode_row::<Vote>(&encode_row(&vote)).ok(), Some(vote));
    }
    if let Ok(id) = decode_row::<Option<LogId>>(bytes) {
        assert_eq!(decode_row::<Option<LogId>>(&encode_row(&id)).ok(), Some(id));
    }
}

/// A stored record that is an entry is stored as the same record again.
pub fn log_record(kind: u8, payload: &[u8]) {
    let record =
        LogRecord { index: LogIndex(7), term: Term(3), kind, payload: Bytes::copy_from_slice(payload) };
    let Ok(entry) = entry_of(record) else { return };
    let once = record_of(entry);
    let again = record_of(entry_of(once.clone()).expect("what was encoded decodes"));
    assert_eq!(once, again);
}
