//! Entries of queue groups, the metadata group and coordinators.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | group |
//! | 4 | generation |
//! | 8 | index |
//!
//! The generation is the [`super::group_row`]'s: entries of any other are dead, or staged and not yet
//! installed. That makes the installation of a snapshot one small batch.

use std::ops::Range;

use weir_types::{GroupId, LogIndex};

use crate::Error;
use crate::catalog::Generation;
use crate::key::{KeyReader, KeyWriter};

pub(crate) fn key(group: GroupId, generation: Generation, index: LogIndex) -> Vec<u8> {
    KeyWriter::with_capacity(16).u32(group.0).u32(generation.0).u64(index.0).finish()
}

pub(crate) fn decode(key: &[u8]) -> Result<(GroupId, Generation, LogIndex), Error> {
    let mut reader = KeyReader::new("queue_log", key);
    let decoded = (reader.group()?, Generation(reader.u32()?), LogIndex(reader.u64()?));
    reader.end()?;
    Ok(decoded)
}

/// Keys of one generation's entries within `indexes`.
pub(crate) fn range(group: GroupId, generation: Generation, indexes: Range<u64>) -> Range<Vec<u8>> {
    key(group, generation, LogIndex(indexes.start))..key(group, generation, LogIndex(indexes.end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queue_log_keys_are_golden() {
        let key = key(GroupId(0x0102_0304), Generation(0x0506_0708), LogIndex(0x090a_0b0c_0d0e_0f10));
        assert_eq!(key, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]);
        let (group, generation, index) = decode(&key).expect("decodes what was encoded");
        assert_eq!((group.0, generation.0, index.0), (0x0102_0304, 0x0506_0708, 0x090a_0b0c_0d0e_0f10));
    }
}
