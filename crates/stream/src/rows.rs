//! The stream's rows: how its state lies in the store.
//!
//! | key | value |
//! |---|---|
//! | `b` ‖ base offset (u64) | a [run](RunRow): up to 64 batches of one Raft entry |
//! | `c` ‖ base offset (u64) | a [run](CompactedRow) that compaction has written |
//! | `d` ‖ group (u32) | how far the transfers to a destination are |
//! | `e` ‖ producer id (u64) | the epoch of a producer that has come back and appended nothing yet |
//! | `f` | the lowest epoch that an unknown group may use |
//! | `g` ‖ name | a [group](GroupRow): epoch and position |
//! | `i` ‖ group (u32) ‖ channel (u32) | the last batch taken in from a source of transfers |
//! | `k` | how far [compaction](crate::compaction::Compaction) is |
//! | `o` ‖ group (u32) ‖ sequence (u64) | where a batch lies that a destination does not have yet |
//! | `p` ‖ producer id (u64) ‖ slot (u8) | a [batch](ProducerRow) that is remembered for dedup; slots go round |
//! | `s` | start offset |
//! | `t` | the topic's settings |
//! | `x` | that it is [sealed](crate::seal::Seal): since when, and where it ends |
//!
//! Numbers in keys are big-endian, so keys sort as they should. A value is a version byte and postcard.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use weir_types::{
    Corrupt, GroupId, LeaseClock, LogIndex, Offset, ProducerEpoch, ProducerId, RowChange, Term,
    TransferSequence, TransferSource, WallClock,
};

use crate::{Committed, GroupEpoch};

/// The version of every value's layout.
const VERSION: u8 = 1;
/// How far back [`put_again`] looks: an append writes a run and a producer's batch, so a little more than that.
const LOOK_BACK: usize = 8;

/// A row's key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    Run(Offset),
    Compacted(Offset),
    Compaction,
    Destination(GroupId),
    Fence(ProducerId),
    EpochFloor,
    Group(String),
    Source(TransferSource),
    OutboxBatch(GroupId, TransferSequence),
    Producer(ProducerId, u8),
    Start,
    Policy,
    Seal,
}

/// Batches of one entry, in order. Offsets follow from the key and the counts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunRow {
    pub(crate) term: Term,
    pub(crate) index: LogIndex,
    pub(crate) append_time: WallClock,
    pub(crate) batches: Vec<RunBatch>,
}

/// One batch of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RunBatch {
    pub(crate) count: u32,
    pub(crate) position: u32,
    pub(crate) length: u32,
    pub(crate) max_timestamp_ms: i64,
}

/// Batches that compaction has written in one entry, in order, with gaps between their offsets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactedRow {
    pub(crate) term: Term,
    pub(crate) index: LogIndex,
    pub(crate) batches: Vec<CompactedBatch>,
}

/// One batch that compaction has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CompactedBatch {
    pub(crate) base_offset: Offset,
    pub(crate) append_time: WallClock,
    pub(crate) position: u32,
    pub(crate) length: u32,
    pub(crate) max_timestamp_ms: i64,
}

/// A consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum GroupRow {
    Live {
        epoch: GroupEpoch,
        committed: Option<Committed>,
    },
    Deleted {
        epoch: GroupEpoch,
    },
    /// As `Live`, and what committed last was a commit-and-append that began at `from`.
    Stepped {
        epoch: GroupEpoch,
        committed: Committed,
        from: Option<Offset>,
    },
}

/// A remembered batch of a producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProducerRow {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) base_sequence: u32,
    pub(crate) count: u32,
    pub(crate) base_offset: Offset,
    pub(crate) seen: LeaseClock,
}

impl Key {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (tag, rest) = match self {
            Self::Run(base_offset) => (b'b', base_offset.0.to_be_bytes().to_vec()),
            Self::Compacted(base_offset) => (b'c', base_offset.0.to_be_bytes().to_vec()),
            Self::Compaction => (b'k', Vec::new()),
            Self::Destination(group) => (b'd', group.0.to_be_bytes().to_vec()),
            Self::Fence(id) => (b'e', id.0.to_be_bytes().to_vec()),
            Self::EpochFloor => (b'f', Vec::new()),
            Self::Group(name) => (b'g', name.as_bytes().to_vec()),
            Self::Source(TransferSource { group, channel }) => {
                (b'i', [group.0.to_be_bytes(), channel.to_be_bytes()].concat())
            }
            Self::OutboxBatch(group, sequence) => {
                (b'o', [&group.0.to_be_bytes()[..], &sequence.0.to_be_bytes()].concat())
            }
            Self::Producer(id, slot) => (b'p', [&id.0.to_be_bytes()[..], &[*slot]].concat()),
            Self::Start => (b's', Vec::new()),
            Self::Policy => (b't', Vec::new()),
            Self::Seal => (b'x', Vec::new()),
        };
        [&[tag][..], &rest].concat()
    }

    pub(crate) fn decode(key: &[u8]) -> Result<Self, Corrupt> {
        let unknown = || Corrupt(format!("stream row with unknown key {key:02x?}"));
        let (tag, rest) = key.split_first().ok_or_else(unknown)?;
        match (tag, rest) {
            (b'b', _) => Ok(Self::Run(Offset(number(rest).ok_or_else(unknown)?))),
            (b'c', _) => Ok(Self::Compacted(Offset(number(rest).ok_or_else(unknown)?))),
            (b'k', []) => Ok(Self::Compaction),
            (b'g', name) => {
                let name = str::from_utf8(name).map_err(|_| unknown())?;
                Ok(Self::Group(name.to_owned()))
            }
            (b'i', name) => {
                let both = number(name).ok_or_else(unknown)?;
                let (group, channel) = (GroupId((both >> 32) as u32), both as u32);
                Ok(Self::Source(TransferSource { group, channel }))
            }
            (b'd', group) => Ok(Self::Destination(group_id(group).ok_or_else(unknown)?)),
            (b'e', id) => Ok(Self::Fence(ProducerId(number(id).ok_or_else(unknown)?))),
            (b'o', [a, b, c, d, sequence @ ..]) => {
                let group = group_id(&[*a, *b, *c, *d]).ok_or_else(unknown)?;
                Ok(Self::OutboxBatch(group, TransferSequence(number(sequence).ok_or_else(unknown)?)))
            }
            (b'p', [id @ .., slot]) => {
                let id = number(id).ok_or_else(unknown)?;
                Ok(Self::Producer(ProducerId(id), *slot))
            }
            (b'f', []) => Ok(Self::EpochFloor),
            (b's', []) => Ok(Self::Start),
            (b't', []) => Ok(Self::Policy),
            (b'x', []) => Ok(Self::Seal),
            _ => Err(unknown()),
        }
    }
}

fn group_id(bytes: &[u8]) -> Option<GroupId> {
    bytes.try_into().ok().map(|bytes| GroupId(u32::from_be_bytes(bytes)))
}

fn number(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_be_bytes)
}

/// The change that writes `value` under `key`.
pub(crate) fn put(key: &Key, value: &impl Serialize) -> RowChange {
    let value = postcard::to_extend(value, vec![VERSION]).expect("rows serialize to memory without fail");
    RowChange::put(key.encode(), value)
}

/// The change that removes the row under `key`.
pub(crate) fn delete(key: &Key) -> RowChange {
    RowChange::delete(key.encode())
}

/// Adds a change of a row that is likely to have been changed just before: that change is replaced, so that an entry
/// of many batches writes its run once.
pub(crate) fn put_again(changes: &mut Vec<RowChange>, change: RowChange) {
    match changes.iter_mut().rev().take(LOOK_BACK).find(|earlier| earlier.key == change.key) {
        Some(earlier) => *earlier = change,
        None => changes.push(change),
    }
}

/// Reads a value written by [`put`].
pub(crate) fn read<T: DeserializeOwned>(key: &Key, value: &[u8]) -> Result<T, Corrupt> {
    match value.split_first() {
        Some((&VERSION, rest)) => postcard::take_from_bytes(rest)
            .ok()
            .and_then(|(value, left)| left.is_empty().then_some(value))
            .ok_or_else(|| Corrupt(format!("stream row {key:?} does not decode"))),
        Some((version, _)) => Err(Corrupt(format!("stream row {key:?} has unknown version {version}"))),
        None => Err(Corrupt(format!("stream row {key:?} is empty"))),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::seal::Seal;

    #[test]
    fn keys_have_their_bytes_and_come_back() {
        let keys = [
            (Key::Run(Offset(258)), &b"b\0\0\0\0\0\0\x01\x02"[..]),
            (Key::Compacted(Offset(258)), b"c\0\0\0\0\0\0\x01\x02"),
            (Key::Compaction, b"k"),
            (Key::Destination(GroupId(258)), b"d\0\0\x01\x02"),
            (Key::Fence(ProducerId(7)), b"e\0\0\0\0\0\0\0\x07"),
            (Key::EpochFloor, b"f"),
            (Key::Group("sum".to_owned()), b"gsum"),
            (Key::Source(TransferSource { group: GroupId(258), channel: 3 }), b"i\0\0\x01\x02\0\0\0\x03"),
            (Key::OutboxBatch(GroupId(258), TransferSequence(3)), b"o\0\0\x01\x02\0\0\0\0\0\0\0\x03"),
            (Key::Producer(ProducerId(7), 63), b"p\0\0\0\0\0\0\0\x07\x3f"),
            (Key::Start, b"s"),
            (Key::Policy, b"t"),
            (Key::Seal, b"x"),
        ];
        for (key, bytes) in keys {
            assert_eq!(key.encode(), bytes);
            assert_eq!(Key::decode(bytes).unwrap(), key);
        }
        for unknown in [
            &b""[..],
            b"b",
            b"b\0",
            b"c",
            b"kk",
            b"d",
            b"d\0\0",
            b"o",
            b"o\0\0\0\0",
            b"ff",
            b"p",
            b"p\0",
            b"s1",
            b"xx",
            b"z",
            b"g\xff",
        ] {
            assert!(Key::decode(unknown).is_err(), "{unknown:?}");
        }
    }

    #[test]
    fn values_have_their_bytes_and_come_back() {
        let batches = vec![RunBatch { count: 3, position: 0, length: 100, max_timestamp_ms: -1 }];
        let run = RunRow { term: Term(2), index: LogIndex(9), append_time: WallClock(300), batches };
        let change = put(&Key::Start, &run);
        assert_eq!(change.value.as_deref(), Some(&[1, 2, 9, 0xac, 2, 1, 3, 0, 100, 1][..]));
        assert_eq!(read::<RunRow>(&Key::Start, &change.value.unwrap()).unwrap(), run);

        let batches = vec![CompactedBatch {
            base_offset: Offset(300),
            append_time: WallClock(4),
            position: 5,
            length: 6,
            max_timestamp_ms: -1,
        }];
        let compacted = CompactedRow { term: Term(2), index: LogIndex(9), batches };
        assert_eq!(put(&Key::Start, &compacted).value.unwrap(), [1, 2, 9, 1, 0xac, 2, 4, 5, 6, 1]);

        let seal = Seal { at: WallClock(300), end: Offset(9) };
        assert_eq!(put(&Key::Start, &seal).value.unwrap(), [1, 0xac, 2, 9]);

        let producer = ProducerRow {
            epoch: ProducerEpoch(1),
            base_sequence: 5,
            count: 2,
            base_offset: Offset(9),
            seen: LeaseClock(4),
        };
        assert_eq!(put(&Key::Start, &producer).value.unwrap(), [1, 1, 5, 2, 9, 4]);

        let committed = Some(Committed { offset: Offset(8), metadata: "m".to_owned() });
        let live = GroupRow::Live { epoch: GroupEpoch(3), committed };
        assert_eq!(put(&Key::Start, &live).value.unwrap(), [1, 0, 3, 1, 8, 1, b'm']);
        let deleted = GroupRow::Deleted { epoch: GroupEpoch(4) };
        assert_eq!(put(&Key::Start, &deleted).value.unwrap(), [1, 1, 4]);
        let committed = Committed { offset: Offset(8), metadata: "m".to_owned() };
        let stepped = GroupRow::Stepped { epoch: GroupEpoch(3), committed, from: Some(Offset(5)) };
        assert_eq!(put(&Key::Start, &stepped).value.unwrap(), [1, 2, 3, 8, 1, b'm', 1, 5]);
    }

    #[test]
    fn a_value_of_another_version_or_with_bytes_left_is_corrupt() {
        for value in [&[][..], &[2, 0], &[1], &[1, 0, 0]] {
            assert!(read::<Offset>(&Key::Start, value).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_row_changed_again_is_written_once() {
        let mut changes = Vec::new();
        for (key, value) in [(Key::Start, 1u8), (Key::Policy, 2), (Key::Start, 3)] {
            put_again(&mut changes, put(&key, &value));
        }
        assert_eq!(changes, [put(&Key::Start, &3u8), put(&Key::Policy, &2u8)]);
    }
}
