//! Small rows of the node itself.
//!
//! Key: 5 ‖ the node's key. Value: the node's.

use std::ops::Range;

use crate::key::{KeyWriter, prefix_end};
use crate::tables::kind;

pub(crate) fn key(key: &[u8]) -> Vec<u8> {
    KeyWriter::with_capacity(1 + key.len()).u8(kind::NODE).bytes(key).finish()
}

/// Keys of all node rows whose own key starts with `prefix`.
pub(crate) fn with_prefix(prefix: &[u8]) -> Range<Vec<u8>> {
    let start = key(prefix);
    let end = prefix_end(&start);
    start..end
}

/// The node's own key.
pub(crate) fn decode(key: &[u8]) -> &[u8] {
    key.get(1..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_rows_are_golden() {
        assert_eq!(key(b"ab"), [5, b'a', b'b']);
        assert_eq!(decode(&[5, b'a', b'b']), b"ab");
        assert_eq!(with_prefix(b"a"), vec![5, b'a']..vec![5, b'b']);
    }
}
