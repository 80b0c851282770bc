//! The value of both logs: an entry without its index, which is in the key.
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version of the envelope: 1 |
//! | 1 | kind, consensus's |
//! | 8 | term |
//! | rest | payload |

use bytes::Bytes;
use weir_types::{LogIndex, Term};

use crate::key::KeyReader;
use crate::{Error, LogRecord};

/// Bytes before the payload.
pub(crate) const HEAD_BYTES: usize = 10;
const VERSION: u8 = 1;

/// What stands before the payload; the payload itself is not copied to build a value.
pub(crate) fn head(record: &LogRecord) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    head[0] = VERSION;
    head[1] = record.kind;
    head[2..].copy_from_slice(&record.term.0.to_be_bytes());
    head
}

pub(crate) fn decode(index: LogIndex, value: &[u8]) -> Result<LogRecord, Error> {
    let mut reader = KeyReader::new("log entry", value);
    let version = reader.u8()?;
    if version != VERSION {
        return Err(Error::Corrupt(format!("log entry {index} has version {version}, known is {VERSION}")));
    }
    let kind = reader.u8()?;
    let term = Term(reader.u64()?);
    Ok(LogRecord { index, term, kind, payload: Bytes::copy_from_slice(reader.rest()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_values_are_golden() {
        let record = LogRecord {
            index: LogIndex(9),
            term: Term(0x0102),
            kind: 7,
            payload: Bytes::from_static(b"body"),
        };
        let mut value = head(&record).to_vec();
        value.extend_from_slice(&record.payload);
        assert_eq!(value, b"\x01\x07\0\0\0\0\0\0\x01\x02body");
        assert_eq!(decode(LogIndex(9), &value).expect("decodes what was encoded"), record);
    }

    #[test]
    fn an_entry_of_an_unknown_version_is_corrupt() {
        assert!(matches!(decode(LogIndex(1), b"\x02\0\0\0\0\0\0\0\0\x01"), Err(Error::Corrupt(_))));
        assert!(matches!(decode(LogIndex(1), b"\x01\0\0"), Err(Error::Corrupt(_))));
    }
}
