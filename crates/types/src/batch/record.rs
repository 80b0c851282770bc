//! One record of a batch, borrowed.

use std::ops::RangeInclusive;

use super::BatchError;
use super::varint::{Cursor, from_length};
use crate::limits::{KEY_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADERS_MAX};

/// One record, borrowed from the uncompressed records section:
///
/// | bytes | field |
/// |---|---|
/// | varint | length of what follows |
/// | 1 | attributes, unused |
/// | varint | timestamp delta |
/// | varint | offset delta |
/// | varint, bytes | key; length -1 for none |
/// | varint, bytes | value; length -1 for none |
/// | varint | header count, then per header: varint, name; varint, value (length -1 for none) |
///
/// Varints are zigzag encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Its offset after the base offset of the batch: its place in it, from 0, unless compaction has taken records out.
    pub offset_delta: u32,
    /// Milliseconds after the batch's first timestamp; may be negative.
    pub timestamp_delta: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: HeadersView<'a>,
}

/// The headers of one record, already checked: names are UTF-8, all lengths lie within the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadersView<'a> {
    section: &'a [u8],
    count: u32,
}

/// One header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeaderView<'a> {
    /// The name.
    pub name: &'a str,
    /// The value.
    pub value: Option<&'a [u8]>,
}

impl<'a> HeadersView<'a> {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// All headers, in the order they were written. A name may occur more than once.
    pub fn iter(&self) -> impl Iterator<Item = HeaderView<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.section);
        // The section was checked when the view was made, so no header is ever dropped here.
        (0..self.count).map_while(move |_| read_header(0, &mut cursor).ok())
    }

    /// The value of the last header of that name, which is the one that counts.
    pub fn get(&self, name: &str) -> Option<&'a [u8]> {
        self.iter().filter(|header| header.name == name).last().and_then(|header| header.value)
    }
}

impl<'a> RecordView<'a> {
    /// Reads record number `record` of a batch, whose offset delta must lie within `deltas`.
    pub(super) fn read(
        record: u32,
        deltas: RangeInclusive<u32>,
        cursor: &mut Cursor<'a>,
    ) -> Result<Self, BatchError> {
        let length = cursor.varlong()?;
        let mut body = Cursor::new(cursor.take(length_of(record, "length", length)?)?);
        body.take(1)?;
        let timestamp_delta = body.varlong()?;
        let offset_delta = body.varlong()?;
        let wrong = || {
            let delta = i32::try_from(offset_delta).unwrap_or(i32::MAX);
            BatchError::OffsetDelta { delta, expected: *deltas.start() }
        };
        let offset_delta =
            u32::try_from(offset_delta).ok().filter(|delta| deltas.contains(delta)).ok_or_else(wrong)?;
        let key = read_optional(record, "key length", &mut body)?;
        let value = read_optional(record, "value length", &mut body)?;
        let headers = read_headers(record, &mut body)?;
        if !body.rest().is_empty() {
            let value = from_length(body.rest().len());
            return Err(BatchError::RecordMalformed { record, field: "bytes after the headers", value });
        }
        let view = Self { offset_delta, timestamp_delta, key, value, headers };
        check_sizes(record, key, view.bytes())?;
        Ok(view)
    }

    /// Size as limited by `RECORD_BYTES_MAX`: key, value, and headers as encoded.
    pub fn bytes(&self) -> usize {
        self.key.map_or(0, <[u8]>::len) + self.value.map_or(0, <[u8]>::len) + self.headers.section.len()
    }
}

/// The limits that hold for one record, for who writes it and who reads it.
pub(super) fn check_sizes(record: u32, key: Option<&[u8]>, bytes: usize) -> Result<(), BatchError> {
    if let Some(key) = key.filter(|key| key.len() > KEY_BYTES_MAX) {
        return Err(BatchError::KeyTooLarge { record, bytes: key.len(), limit: KEY_BYTES_MAX });
    }
    if bytes > RECORD_BYTES_MAX {
        return Err(BatchError::RecordTooLarge { record, bytes, limit: RECORD_BYTES_MAX });
    }
    Ok(())
}

pub(super) fn check_header_count(record: u32, count: usize) -> Result<(), BatchError> {
    if count > RECORD_HEADERS_MAX {
        return Err(BatchError::TooManyHeaders { record, count, limit: RECORD_HEADERS_MAX });
    }
    Ok(())
}

fn length_of(record: u32, field: &'static str, value: i64) -> Result<usize, BatchError> {
    usize::try_from(value).map_err(|_| BatchError::RecordMalformed { record, field, value })
}

fn read_optional<'a>(
    record: u32,
    field: &'static str,
    cursor: &mut Cursor<'a>,
) -> Result<Option<&'a [u8]>, BatchError> {
    match cursor.varlong()? {
        -1 => Ok(None),
        length => cursor.take(length_of(record, field, length)?).map(Some),
    }
}

fn read_headers<'a>(record: u32, cursor: &mut Cursor<'a>) -> Result<HeadersView<'a>, BatchError> {
    let count = length_of(record, "header count", cursor.varlong()?)?;
    check_header_count(record, count)?;
    let section = cursor.rest();
    for _ in 0..count {
        read_header(record, cursor)?;
    }
    let section = &section[..section.len() - cursor.rest().len()];
    Ok(HeadersView { section, count: count as u32 })
}

fn read_header<'a>(record: u32, cursor: &mut Cursor<'a>) -> Result<HeaderView<'a>, BatchError> {
    let length = cursor.varlong()?;
    let name = cursor.take(length_of(record, "header name length", length)?)?;
    let name = str::from_utf8(name).map_err(|_| BatchError::HeaderName { record })?;
    let value = read_optional(record, "header value length", cursor)?;
    Ok(HeaderView { name, value })
}
