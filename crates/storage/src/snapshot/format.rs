//! The byte stream of a snapshot: frames one after the other, cut into chunks at any place.
//!
//! | frame | layout |
//! |---|---|
//! | header, first | tag 1 ‖ version 1 (1) ‖ class (1) ‖ group (4) ‖ log start (8) ‖ log end, exclusive (8) |
//! | row | tag 2 ‖ key length (4) ‖ value length (4) ‖ key ‖ value |
//! | entry | tag 3 ‖ index (8) ‖ value length (4) ‖ value as in `tables::entry` |
//! | trailer, last | tag 4 ‖ rows (8) ‖ entries (8) ‖ CRC-32C of everything before this field (4) |
//!
//! All integers are big-endian.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};
use weir_types::{GroupId, LogIndex, Row};

use crate::key::{KeyReader, KeyWriter};
use crate::tables::entry;
use crate::{Error, LogClass, LogRecord};

const VERSION: u8 = 1;
const TAG_HEADER: u8 = 1;
const TAG_ROW: u8 = 2;
const TAG_ENTRY: u8 = 3;
const TAG_TRAILER: u8 = 4;
const HEADER_BYTES: usize = 23;
const ROW_HEAD_BYTES: usize = 9;
const ENTRY_HEAD_BYTES: usize = 13;
const TRAILER_BYTES: usize = 21;
/// Largest frame that a receiver gathers before it calls the stream damaged.
const FRAME_BYTES_MAX: usize = 64 << 20;

/// What a snapshot says of itself at its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) class: LogClass,
    pub(crate) group: GroupId,
    pub(crate) log: Range<u64>,
}

/// One frame, as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Header(Header),
    Row(Row),
    Entry(LogRecord),
    /// The stream is complete and its counts and checksum are right.
    Trailer,
}

/// Builds the stream.
#[derive(Default)]
pub(crate) struct Encoder {
    pending: BytesMut,
    rows: u64,
    entries: u64,
    crc: u32,
}

impl Encoder {
    pub(crate) fn header(&mut self, header: &Header) {
        let class = match header.class {
            LogClass::Stream => 0,
            LogClass::Queue => 1,
        };
        let frame = KeyWriter::with_capacity(HEADER_BYTES)
            .u8(TAG_HEADER)
            .u8(VERSION)
            .u8(class)
            .u32(header.group.0)
            .u64(header.log.start)
            .u64(header.log.end)
            .finish();
        self.add(&[&frame]);
    }

    pub(crate) fn row(&mut self, key: &[u8], value: &[u8]) {
        self.rows += 1;
        let head = KeyWriter::with_capacity(ROW_HEAD_BYTES)
            .u8(TAG_ROW)
            .u32(key.len() as u32)
            .u32(value.len() as u32)
            .finish();
        self.add(&[&head, key, value]);
    }

    pub(crate) fn entry(&mut self, index: LogIndex, value: &[u8]) {
        self.entries += 1;
        let head = KeyWriter::with_capacity(ENTRY_HEAD_BYTES)
            .u8(TAG_ENTRY)
            .u64(index.0)
            .u32(value.len() as u32)
            .finish();
        self.add(&[&head, value]);
    }

    pub(crate) fn trailer(&mut self) {
        let frame =
            KeyWriter::with_capacity(TRAILER_BYTES).u8(TAG_TRAILER).u64(self.rows).u64(self.entries).finish();
        self.add(&[&frame]);
        let crc = self.crc.to_be_bytes();
        self.pending.extend_from_slice(&crc);
    }

    fn add(&mut self, parts: &[&[u8]]) {
        for part in parts {
            self.crc = crc32c::crc32c_append(self.crc, part);
            self.pending.extend_from_slice(part);
        }
    }

    /// Bytes ready to be sent.
    pub(crate) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes at most `bytes_max` of them.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Bytes {
        let bytes = self.pending.len().min(bytes_max);
        self.pending.split_to(bytes).freeze()
    }
}

/// Takes the stream apart again, and checks it.
#[derive(Default)]
pub(crate) struct Decoder {
    pending: BytesMut,
    header: Option<Header>,
    rows: u64,
    entries: u64,
    crc: u32,
    complete: bool,
}

impl Decoder {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(bytes);
    }

    pub(crate) fn is_complete(&self) -> bool {
        self.complete && self.pending.is_empty()
    }

    /// The header, once it came.
    pub(crate) fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// The next whole frame; none until more bytes come.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Error> {
        let Some(bytes) = self.frame_bytes()? else { return Ok(None) };
        if self.complete {
            return Err(invalid("bytes after its end"));
        }
        let frame = self.pending.split_to(bytes).freeze();
        let tag = frame[0];
        if (tag == TAG_HEADER) == self.header.is_some() {
            return Err(invalid("not exactly one header, first"));
        }
        let covered = if tag == TAG_TRAILER { bytes - 4 } else { bytes };
        self.crc = crc32c::crc32c_append(self.crc, &frame[..covered]);
        match tag {
            TAG_HEADER => self.take_header(&frame[1..]).map(Some),
            TAG_ROW => Ok(Some(self.take_row(frame))),
            TAG_ENTRY => self.take_entry(&frame[1..]).map(Some),
            _ => self.take_trailer(&frame[1..]).map(Some),
        }
    }

    /// Length of the frame at the front, if it is all there.
    fn frame_bytes(&self) -> Result<Option<usize>, Error> {
        let Some(tag) = self.pending.first() else { return Ok(None) };
        let length = |at: usize| {
            let field = self.pending.get(at..at + 4)?;
            Some(u32::from_be_bytes(field.try_into().expect("four bytes")) as usize)
        };
        let bytes = match *tag {
            TAG_HEADER => Some(HEADER_BYTES),
            TAG_ROW => length(1).zip(length(5)).map(|(key, value)| ROW_HEAD_BYTES + key + value),
            TAG_ENTRY => length(9).map(|value| ENTRY_HEAD_BYTES + value),
            TAG_TRAILER => Some(TRAILER_BYTES),
            tag => return Err(invalid(&format!("unknown frame {tag}"))),
        };
        if bytes.is_some_and(|bytes| bytes > FRAME_BYTES_MAX) {
            return Err(invalid("a frame above the limit"));
        }
        Ok(bytes.filter(|bytes| *bytes <= self.pending.len()))
    }

    fn take_header(&mut self, frame: &[u8]) -> Result<Frame, Error> {
        let mut reader = KeyReader::new("snapshot header", frame);
        let class = match (reader.u8()?, reader.u8()?) {
            (VERSION, 0) => LogClass::Stream,
            (VERSION, 1) => LogClass::Queue,
            (version, class) => return Err(invalid(&format!("version {version}, class {class}"))),
        };
        let group = reader.group()?;
        let header = Header { class, group, log: reader.u64()?..reader.u64()? };
        if header.log.start > header.log.end {
            return Err(invalid("a log that ends before it starts"));
        }
        self.header = Some(header.clone());
        Ok(Frame::Header(header))
    }

    fn take_row(&mut self, mut frame: Bytes) -> Frame {
        self.rows += 1;
        frame.advance(1);
        let key_bytes = frame.get_u32() as usize;
        frame.advance(4);
        let key = frame.split_to(key_bytes).to_vec();
        Frame::Row(Row { key, value: frame.to_vec() })
    }

    fn take_entry(&mut self, frame: &[u8]) -> Result<Frame, Error> {
        let mut reader = KeyReader::new("snapshot entry", frame);
        let index = LogIndex(reader.u64()?);
        reader.u32()?;
        let header = self.header.as_ref().expect("the header came first");
        let expected = header.log.start + self.entries;
        if index.0 != expected || expected >= header.log.end {
            return Err(invalid(&format!("entry {index} where {expected} belongs")));
        }
        self.entries += 1;
        Ok(Frame::Entry(entry::decode(index, reader.rest())?))
    }

    fn take_trailer(&mut self, frame: &[u8]) -> Result<Frame, Error> {
        let mut reader = KeyReader::new("snapshot trailer", frame);
        let (rows, entries, crc) = (reader.u64()?, reader.u64()?, reader.u32()?);
        let header = self.header.as_ref().expect("the header came first");
        if (rows, entries) != (self.rows, self.entries) || entries != header.log.end - header.log.start {
            return Err(invalid(&format!(
                "{} rows and {} entries came of {rows} and {entries}",
                self.rows, self.entries
            )));
        }
        if crc != self.crc {
            return Err(invalid("its checksum is wrong"));
        }
        self.complete = true;
        Ok(Frame::Trailer)
    }
}

fn invalid(what: &str) -> Error {
    Error::SnapshotInvalid(what.to_owned())
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use weir_types::Term;

    use super::*;

    fn stream() -> Bytes {
        let mut encoder = Encoder::default();
        encoder.header(&Header { class: LogClass::Queue, group: GroupId(7), log: 3..4 });
        encoder.row(b"key", b"value");
        encoder.entry(LogIndex(3), b"\x01\x05\0\0\0\0\0\0\0\x02body");
        encoder.trailer();
        encoder.take(usize::MAX)
    }

    fn decode(bytes: &[u8], chunk: usize) -> Result<(Vec<Frame>, bool), Error> {
        let mut decoder = Decoder::default();
        let mut frames = Vec::new();
        for chunk in bytes.chunks(chunk) {
            decoder.feed(chunk);
            while let Some(frame) = decoder.next()? {
                frames.push(frame);
            }
        }
        Ok((frames, decoder.is_complete()))
    }

    #[test]
    fn snapshot_streams_are_golden() {
        let expected = [
            b"\x01\x01\x01\0\0\0\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04".as_slice(),
            b"\x02\0\0\0\x03\0\0\0\x05keyvalue",
            b"\x03\0\0\0\0\0\0\0\x03\0\0\0\x0e\x01\x05\0\0\0\0\0\0\0\x02body",
            b"\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01",
        ]
        .concat();
        let crc = crc32c::crc32c(&expected).to_be_bytes();
        assert_eq!(stream(), [expected.as_slice(), &crc].concat());
    }

    #[test]
    fn a_stream_reads_the_same_however_it_is_cut() {
        let record =
            LogRecord { index: LogIndex(3), term: Term(2), kind: 5, payload: Bytes::from_static(b"body") };
        for chunk in [1, 2, 7, 1000] {
            let (frames, complete) = decode(&stream(), chunk).unwrap();
            assert!(complete);
            assert_eq!(frames.len(), 4);
            assert_eq!(frames[1], Frame::Row(Row { key: b"key".to_vec(), value: b"value".to_vec() }));
            assert_eq!(frames[2], Frame::Entry(record.clone()));
        }
    }

    #[test]
    fn any_flipped_bit_is_noticed() {
        let good = stream();
        for at in 0..good.len() {
            let mut bad = good.to_vec();
            bad[at] ^= 1;
            let accepted = decode(&bad, 1000).is_ok_and(|(_, complete)| complete);
            assert!(!accepted, "byte {at}");
        }
    }

    #[test]
    fn a_log_that_ends_before_it_starts_is_refused() {
        let mut encoder = Encoder::default();
        encoder.header(&Header {
            class: LogClass::Queue,
            group: GroupId(7),
            log: Range { start: 4, end: 3 },
        });
        encoder.trailer();
        assert!(matches!(decode(&encoder.take(usize::MAX), 1000), Err(Error::SnapshotInvalid(_))));
    }

    #[test]
    fn a_stream_cut_short_is_not_complete() {
        let good = stream();
        for end in 0..good.len() {
            assert!(!decode(&good[..end], 1000).unwrap().1);
        }
    }
}
