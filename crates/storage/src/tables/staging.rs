//! An import that is under way: the generation that its rows and queue entries are staged under. Written before
//! them, removed by the installation; whatever is found at open is deleted, so a half import costs nothing.
//!
//! Key: 4 ‖ group (4) ‖ generation (4). Value: empty.

use weir_types::GroupId;

use crate::Error;
use crate::catalog::Generation;
use crate::key::{KeyReader, KeyWriter};
use crate::tables::kind;

pub(crate) fn key(group: GroupId, generation: Generation) -> Vec<u8> {
    KeyWriter::with_capacity(9).u8(kind::STAGING).u32(group.0).u32(generation.0).finish()
}

pub(crate) fn decode(key: &[u8]) -> Result<(GroupId, Generation), Error> {
    let mut reader = KeyReader::new("staging", key);
    reader.u8()?;
    let decoded = (reader.group()?, Generation(reader.u32()?));
    reader.end()?;
    Ok(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stagings_are_golden() {
        let key = key(GroupId(0x0102_0304), Generation(0x0506_0708));
        assert_eq!(key, [4, 1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(decode(&key).expect("decodes"), (GroupId(0x0102_0304), Generation(0x0506_0708)));
    }
}
