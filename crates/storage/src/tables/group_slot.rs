//! Small values of a group that consensus keeps here; their bytes are its own.
//!
//! Key: 1 ‖ group (4) ‖ slot (1), with slot 1 vote, 2 committed, 3 purged.

use std::ops::Range;

use weir_types::GroupId;

use crate::key::{KeyWriter, prefix_end};
use crate::tables::kind;

/// Which value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    Vote = 1,
    Committed = 2,
    Purged = 3,
}

pub(crate) fn key(group: GroupId, slot: Slot) -> Vec<u8> {
    KeyWriter::with_capacity(6).u8(kind::GROUP).u32(group.0).u8(slot as u8).finish()
}

/// Keys of all slots of one group, without its group row.
pub(crate) fn all(group: GroupId) -> Range<Vec<u8>> {
    let prefix = KeyWriter::with_capacity(5).u8(kind::GROUP).u32(group.0).finish();
    key(group, Slot::Vote)..prefix_end(&prefix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_slots_are_golden() {
        assert_eq!(key(GroupId(0x0102_0304), Slot::Vote), [1, 1, 2, 3, 4, 1]);
        assert_eq!(key(GroupId(0x0102_0304), Slot::Committed), [1, 1, 2, 3, 4, 2]);
        assert_eq!(key(GroupId(0x0102_0304), Slot::Purged), [1, 1, 2, 3, 4, 3]);
        assert_eq!(all(GroupId(1)), vec![1, 0, 0, 0, 1, 1]..vec![1, 0, 0, 0, 2]);
    }
}
