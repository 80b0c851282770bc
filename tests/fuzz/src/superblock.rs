//! The superblock.

use weir_storage::fuzzing::{superblock_file, superblock_slot};

use crate::input::Input;

/// A file is opened or refused; a slot comes back as it was written, and a flipped bit is noticed.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    if input.u8() & 1 == 0 {
        superblock_file(input.rest());
    } else {
        let flip = usize::from(input.u16());
        let fields = [0; 5].map(|_: u64| input.u64());
        superblock_slot(fields, input.rest(), flip);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    // As laid out in its module: version 3, watermark 258, identity (12, 2, 26), two bytes of info.
    let numbers = [3u64, 258, 12, 2, 26].map(u64::to_be_bytes).concat();
    let mut slot = [b"WEIR\0\0\0\x01", &numbers[..], &[0, 0, 0, 2, b'x', b'y']].concat();
    slot.extend(crc32c::crc32c(&slot).to_be_bytes());
    vec![[&[0], &slot[..]].concat(), [&[1, 0, 200], &numbers[..], b"a place"].concat(), vec![0]]
}
