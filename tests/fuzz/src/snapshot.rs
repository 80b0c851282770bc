//! The byte stream of a snapshot: as it comes, and as it is written.

use weir_storage::fuzzing::{snapshot, snapshot_stream};

use crate::input::Input;

/// A stream of bytes never yields an entry out of its place; a snapshot comes out as it went in, however it is cut,
/// and never with a flipped bit.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    let (written, chunk) = (input.u8() & 1 == 1, usize::from(input.u8()));
    if !written {
        return snapshot_stream(input.rest(), chunk);
    }
    let (flip, start, entries) = (usize::from(input.u16()), input.u64(), input.u8() % 16);
    let payloads: Vec<&[u8]> = (0..entries).map(|_| input.sized()).collect();
    snapshot(start, &input.rows(), &payloads, chunk, flip);
}

pub fn seeds() -> Vec<Vec<u8>> {
    let body = [
        b"\x01\x01\x01\0\0\0\x07\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x04".as_slice(),
        b"\x02\0\0\0\x03\0\0\0\x05keyvalue",
        b"\x03\0\0\0\0\0\0\0\x03\0\0\0\x0e\x01\x05\0\0\0\0\0\0\0\x02body",
        b"\x04\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01",
    ]
    .concat();
    let stream = [&body[..], &crc32c::crc32c(&body).to_be_bytes()].concat();
    vec![
        [&[0, 7], &stream[..]].concat(),
        [&[0, 255], &stream[..]].concat(),
        b"\x01\x05\x01\x23\0\0\0\0\0\0\0\x07\x02\x03one\x03two\x01k\x01v\x02kk\x02vv".to_vec(),
    ]
}
