//! Entries of stream groups.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | bucket |
//! | 4 | group |
//! | 8 | index |
//!
//! A bucket is a stretch of time for all groups together, and one memtable: its file overlaps no other, so
//! compaction only moves it, and when all of it is dead it is dropped as a file. Within a bucket the entries of
//! a group lie side by side. Which bucket holds which indexes is the [`super::segment`] table's to say: an
//! entry outside its group's segments is dead, whatever its key.

use std::ops::Range;

use weir_types::{GroupId, LogIndex};

use crate::Error;
use crate::buckets::Bucket;
use crate::key::{KeyReader, KeyWriter};

pub(crate) fn key(bucket: Bucket, group: GroupId, index: LogIndex) -> Vec<u8> {
    KeyWriter::with_capacity(16).u32(bucket.0).u32(group.0).u64(index.0).finish()
}

pub(crate) fn decode(key: &[u8]) -> Result<(Bucket, GroupId, LogIndex), Error> {
    let mut reader = KeyReader::new("stream_log", key);
    let decoded = (Bucket(reader.u32()?), reader.group()?, LogIndex(reader.u64()?));
    reader.end()?;
    Ok(decoded)
}

/// Keys of one group's entries from `from` on, within one bucket.
pub(crate) fn group_from(bucket: Bucket, group: GroupId, from: LogIndex) -> Range<Vec<u8>> {
    // The last index is excluded: no log gets there.
    key(bucket, group, from)..key(bucket, group, LogIndex(u64::MAX))
}

/// Keys of everything in the buckets `first` to `last`, both included.
pub(crate) fn buckets(first: Bucket, last: Bucket) -> Range<Vec<u8>> {
    key(first, GroupId(0), LogIndex(0))..key(last.next(), GroupId(0), LogIndex(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_log_keys_are_golden() {
        let key = key(Bucket(0x0102_0304), GroupId(0x0506_0708), LogIndex(0x090a_0b0c_0d0e_0f10));
        assert_eq!(key, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let (bucket, group, index) = decode(&key).expect("decodes what was encoded");
        assert_eq!((bucket.0, group.0, index.0), (0x0102_0304, 0x0506_0708, 0x090a_0b0c_0d0e_0f10));
    }
}
