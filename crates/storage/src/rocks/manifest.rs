//! A look at `RocksDB`'s manifest before it is opened.
//!
//! A bit that flips there is noticed by `RocksDB` as well, but for some bits its reader never returns. So checksums are held
//! against the records before; what they say is `Corrupt`, as a table or a log that is damaged would be.
//!
//! The format is that of its logs (wiki, "Write Ahead Log File Format"): blocks of 32 KiB, in each of them records of a header
//! (checksum, 4 bytes; length, 2; kind, 1) and their bytes; less than a header's room at the end of a block is zeros.

use std::fs;
use std::path::Path;

use crate::Error;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// Whole, first, middle, last. A manifest is never recycled.
const KINDS: std::ops::RangeInclusive<u8> = 1..=4;
/// What a checksum is masked with, as one over bytes that hold checksums themselves would be weak.
const MASK: u32 = 0xa282_ead8;

/// Refuses a database whose manifest is damaged. One that does not exist yet is none.
pub(super) fn check(database: &Path) -> Result<(), Error> {
    let Ok(current) = fs::read_to_string(database.join("CURRENT")) else { return Ok(()) };
    let path = database.join(current.trim_end());
    let bytes = fs::read(&path).map_err(|source| Error::io(format!("reading {}", path.display()), source))?;
    match first_damaged(&bytes) {
        None => Ok(()),
        Some(offset) => {
            Err(Error::Corrupt(format!("{}: the record at byte {offset} is damaged", path.display())))
        }
    }
}

/// Where the first record lies that is not what was written. A last one that is cut short is none: so a crash leaves it.
fn first_damaged(bytes: &[u8]) -> Option<usize> {
    let mut offset = 0;
    while offset < bytes.len() {
        let left_in_block = BLOCK - offset % BLOCK;
        if left_in_block < HEADER {
            offset += left_in_block;
            continue;
        }
        let record = &bytes[offset..bytes.len().min(offset + left_in_block)];
        let (header, rest) = record.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_le_bytes([header[4], header[5]]));
        if length > left_in_block - HEADER {
            return Some(offset);
        }
        let body = rest.get(..length)?;
        let expected = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
        let crc = crc32c::crc32c_append(crc32c::crc32c(&header[6..]), body);
        if !KINDS.contains(&header[6]) || crc.rotate_right(15).wrapping_add(MASK) != expected {
            return Some(offset);
        }
        offset += HEADER + length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), body).rotate_right(15).wrapping_add(MASK);
        let mut record = crc.to_le_bytes().to_vec();
        record.extend((body.len() as u16).to_le_bytes());
        record.push(kind);
        record.extend(body);
        record
    }

    #[test]
    fn a_whole_manifest_is_good_and_one_that_a_crash_cut_short_too() {
        let mut manifest = record(1, b"one");
        manifest.extend(record(2, &vec![7; BLOCK - manifest.len() - HEADER - 3]));
        manifest.extend([0; 3]);
        manifest.extend(record(4, b"rest"));
        assert_eq!(first_damaged(&manifest), None);
        for length in 0..manifest.len() {
            assert_eq!(first_damaged(&manifest[..length]), None, "cut to {length} bytes");
        }
    }

    #[test]
    fn a_flipped_bit_is_noticed_unless_it_makes_a_record_look_cut_short() {
        let mut manifest = record(1, b"first");
        let last = manifest.len();
        manifest.extend(record(1, b"second"));
        for bit in 0..manifest.len() * 8 {
            let mut damaged = manifest.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let in_length = [4, 5, last + 4, last + 5].contains(&(bit / 8));
            assert!(first_damaged(&damaged).is_some() || in_length, "bit {bit}");
        }
        let zeroed = [record(1, b"first"), vec![0; 64]].concat();
        assert_eq!(first_damaged(&zeroed), Some(last));
    }
}
