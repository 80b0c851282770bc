//! That a group is, or was, here.
//!
//! Key: 1 ‖ group (4) ‖ 0. Value:
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | class: 0 stream, 1 queue |
//! | 1 | life: 1 alive, 0 destroyed (a tombstone) |
//! | 4 | generation of its rows and queue entries |

use weir_types::GroupId;

use crate::catalog::Generation;
use crate::key::{KeyReader, KeyWriter};
use crate::tables::kind;
use crate::{Error, LogClass};

const VERSION: u8 = 1;

/// The value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupRow {
    pub(crate) class: LogClass,
    pub(crate) alive: bool,
    pub(crate) generation: Generation,
}

pub(crate) fn key(group: GroupId) -> Vec<u8> {
    KeyWriter::with_capacity(6).u8(kind::GROUP).u32(group.0).u8(0).finish()
}

/// The group of a [`GroupRow`]'s key; none when the key is a slot's.
pub(crate) fn decode_key(key: &[u8]) -> Result<Option<GroupId>, Error> {
    let mut reader = KeyReader::new("group_row", key);
    reader.u8()?;
    let group = reader.group()?;
    let slot = reader.u8()?;
    reader.end()?;
    Ok((slot == 0).then_some(group))
}

pub(crate) fn encode(row: GroupRow) -> Vec<u8> {
    let class = match row.class {
        LogClass::Stream => 0,
        LogClass::Queue => 1,
    };
    KeyWriter::with_capacity(7).u8(VERSION).u8(class).u8(u8::from(row.alive)).u32(row.generation.0).finish()
}

pub(crate) fn decode(value: &[u8]) -> Result<GroupRow, Error> {
    let mut reader = KeyReader::new("group_row", value);
    let version = reader.u8()?;
    let class = match (version, reader.u8()?) {
        (VERSION, 0) => LogClass::Stream,
        (VERSION, 1) => LogClass::Queue,
        (version, class) => {
            return Err(Error::Corrupt(format!("group row of version {version} and class {class}")));
        }
    };
    let row = GroupRow { class, alive: reader.u8()? == 1, generation: Generation(reader.u32()?) };
    reader.end()?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_rows_are_golden() {
        assert_eq!(key(GroupId(0x0102_0304)), [1, 1, 2, 3, 4, 0]);
        assert_eq!(decode_key(&[1, 1, 2, 3, 4, 0]).expect("decodes"), Some(GroupId(0x0102_0304)));
        let row = GroupRow { class: LogClass::Queue, alive: true, generation: Generation(0x0a0b_0c0d) };
        assert_eq!(encode(row), [1, 1, 1, 10, 11, 12, 13]);
        assert_eq!(decode(&encode(row)).expect("decodes"), row);
        let tombstone = GroupRow { class: LogClass::Stream, alive: false, generation: Generation(1) };
        assert_eq!(encode(tombstone), [1, 0, 0, 0, 0, 0, 1]);
    }
}
