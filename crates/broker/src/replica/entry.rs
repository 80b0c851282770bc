//! The payload of one Raft entry: one drain of a partition's mailbox.
//!
//! | bytes        | what                                                              |
//! |--------------|-------------------------------------------------------------------|
//! | 1            | version, 1                                                        |
//! | 8            | wall clock of the leader, milliseconds since the epoch, LE        |
//! | 4            | advance of the lease clock since the last entry, milliseconds, LE |
//! | 4            | length of the commands, LE                                        |
//! | that many    | the commands, postcard                                            |
//! | the rest     | the bodies: record batches, end to end, exactly as received       |

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_types::{Corrupt, WallClock};

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 8 + 4 + 4;

/// What the leader's clocks said when it made the entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// The leader's wall clock.
    pub(crate) wall: WallClock,
    /// How far the lease clock moved since the leader's last entry, in milliseconds.
    pub(crate) lease_advance_ms: u32,
}

/// A decoded entry.
pub(crate) struct Entry<C> {
    pub(crate) stamp: Stamp,
    pub(crate) commands: Vec<C>,
}

/// Builds the payload. `bodies` are the batches in the order in which the commands' positions were counted.
pub(crate) fn encode<C: Serialize>(stamp: Stamp, commands: &[C], bodies: &[Bytes]) -> Bytes {
    let header =
        postcard::to_allocvec(commands).expect("commands are plain data, which postcard always encodes");
    let bodies_bytes: usize = bodies.iter().map(Bytes::len).sum();
    let mut payload = BytesMut::with_capacity(HEADER_BYTES + header.len() + bodies_bytes);
    payload.put_u8(VERSION);
    payload.put_u64_le(stamp.wall.0);
    payload.put_u32_le(stamp.lease_advance_ms);
    payload.put_u32_le(header.len() as u32);
    payload.put_slice(&header);
    for body in bodies {
        payload.put_slice(body);
    }
    payload.freeze()
}

/// How much a command adds to an entry.
pub(crate) fn encoded_bytes<C: Serialize>(command: &C) -> usize {
    postcard::experimental::serialized_size(command)
        .expect("commands are plain data, which postcard always encodes")
}

/// Reads what [`encode`] wrote, without its bodies.
pub(crate) fn decode<C: DeserializeOwned>(payload: &Bytes) -> Result<Entry<C>, Corrupt> {
    let (stamp, header, _) = split(payload)?;
    let commands =
        postcard::from_bytes(&header).map_err(|e| Corrupt(format!("commands of an entry: {e}")))?;
    Ok(Entry { stamp, commands })
}

/// The bodies of an entry, as a slice of it.
pub(crate) fn bodies(payload: &Bytes) -> Result<Bytes, Corrupt> {
    split(payload).map(|(_, _, bodies)| bodies)
}

fn split(payload: &Bytes) -> Result<(Stamp, Bytes, Bytes), Corrupt> {
    let mut rest = payload.clone();
    if rest.len() < HEADER_BYTES {
        return Err(Corrupt(format!("entry of {} bytes is shorter than its header", rest.len())));
    }
    let version = rest.get_u8();
    if version != VERSION {
        return Err(Corrupt(format!("entry version {version} is unknown, expected {VERSION}")));
    }
    let stamp = Stamp { wall: WallClock(rest.get_u64_le()), lease_advance_ms: rest.get_u32_le() };
    let length = rest.get_u32_le() as usize;
    if rest.len() < length {
        return Err(Corrupt(format!("entry has {} bytes of {length} bytes of commands", rest.len())));
    }
    let header = rest.split_to(length);
    Ok((stamp, header, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_comes_back_as_it_went_in() {
        let stamp = Stamp { wall: WallClock(0x0102), lease_advance_ms: 3 };
        let payload = encode(stamp, &[7u64, 300], &[Bytes::from_static(b"ab"), Bytes::from_static(b"c")]);
        // Golden: this layout is on disk and on the wire between nodes.
        assert_eq!(&payload[..], b"\x01\x02\x01\0\0\0\0\0\0\x03\0\0\0\x04\0\0\0\x02\x07\xac\x02abc",);
        let entry = decode::<u64>(&payload).expect("it was just encoded");
        assert_eq!((entry.stamp, entry.commands), (stamp, vec![7, 300]));
        assert_eq!(bodies(&payload).expect("it was just encoded"), "abc");
    }

    #[test]
    fn a_command_counts_as_many_bytes_as_it_adds() {
        let command = (300u64, "abc".to_owned());
        let without = encode::<(u64, String)>(Stamp::default(), &[], &[]).len();
        let with = encode(Stamp::default(), std::slice::from_ref(&command), &[]).len();
        assert_eq!(encoded_bytes(&command), with - without);
    }

    #[test]
    fn damaged_entries_are_errors() {
        let payload = encode(Stamp::default(), &[1u64], &[]);
        for length in 0..payload.len() {
            assert!(decode::<u64>(&payload.slice(..length)).is_err());
        }
    }
}
