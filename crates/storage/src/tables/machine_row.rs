//! Rows of a group's machine; key and value within the group are the machine's own.
//!
//! | bytes | field |
//! |---|---|
//! | 4 | group |
//! | 4 | generation, as in [`super::queue_log`] |
//! | rest | the machine's key |

use std::ops::Range;

use weir_types::GroupId;

use crate::catalog::Generation;
use crate::key::{KeyWriter, prefix_end};

const PREFIX_BYTES: usize = 8;

pub(crate) fn key(group: GroupId, generation: Generation, key: &[u8]) -> Vec<u8> {
    KeyWriter::with_capacity(PREFIX_BYTES + key.len()).u32(group.0).u32(generation.0).bytes(key).finish()
}

/// Keys of the rows of one generation whose own key starts with `prefix`.
pub(crate) fn with_prefix(group: GroupId, generation: Generation, prefix: &[u8]) -> Range<Vec<u8>> {
    let start = key(group, generation, prefix);
    let end = prefix_end(&start);
    start..end
}

/// The machine's own key.
pub(crate) fn decode(key: &[u8]) -> &[u8] {
    key.get(PREFIX_BYTES..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machine_rows_are_golden() {
        let key = key(GroupId(0x0102_0304), Generation(5), b"k");
        assert_eq!(key, [1, 2, 3, 4, 0, 0, 0, 5, b'k']);
        assert_eq!(decode(&key), b"k");
        assert_eq!(
            with_prefix(GroupId(1), Generation(5), b""),
            vec![0, 0, 0, 1, 0, 0, 0, 5]..vec![0, 0, 0, 1, 0, 0, 0, 6]
        );
    }
}
