//! Which bucket holds a stream group's entries from an index on, up to its next segment.
//!
//! Key: 2 ‖ group (4) ‖ first index (8). Value: bucket (4) ‖ end (8), the end being all ones unless a
//! truncation cut the segment after its bucket was left. Written with the group's first entry in a bucket, in
//! the same batch; the first segment's first index is where the group's log begins.

use std::ops::Range;

use weir_types::{GroupId, LogIndex};

use crate::Error;
use crate::buckets::{Bucket, Segment};
use crate::key::{KeyReader, KeyWriter, prefix_end};
use crate::tables::kind;

pub(crate) fn key(group: GroupId, first: LogIndex) -> Vec<u8> {
    KeyWriter::with_capacity(13).u8(kind::SEGMENT).u32(group.0).u64(first.0).finish()
}

pub(crate) fn value(segment: Segment) -> Vec<u8> {
    KeyWriter::with_capacity(12).u32(segment.bucket.0).u64(segment.end.0).finish()
}

pub(crate) fn decode(key: &[u8], value: &[u8]) -> Result<(GroupId, Segment), Error> {
    let mut reader = KeyReader::new("segment", key);
    reader.u8()?;
    let group = reader.group()?;
    let first = LogIndex(reader.u64()?);
    reader.end()?;
    let mut reader = KeyReader::new("segment", value);
    let bucket = Bucket(reader.u32()?);
    let end = LogIndex(reader.u64()?);
    reader.end()?;
    Ok((group, Segment { first, end, bucket }))
}

/// Keys of all segments of one group.
pub(crate) fn all(group: GroupId) -> Range<Vec<u8>> {
    let prefix = KeyWriter::with_capacity(5).u8(kind::SEGMENT).u32(group.0).finish();
    let end = prefix_end(&prefix);
    prefix..end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_golden() {
        let key = key(GroupId(0x0102_0304), LogIndex(0x0506));
        assert_eq!(key, [2, 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 5, 6]);
        let segment = Segment { first: LogIndex(0x0506), end: LogIndex(0x0a), bucket: Bucket(0x0708) };
        assert_eq!(value(segment), [0, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 10]);
        assert_eq!(decode(&key, &value(segment)).expect("decodes"), (GroupId(0x0102_0304), segment));
        let open = Segment::open(LogIndex(1), Bucket(2));
        assert_eq!(value(open), [0, 0, 0, 2, 255, 255, 255, 255, 255, 255, 255, 255]);
    }
}
