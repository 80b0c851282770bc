//! Snappy, in two framings. Kafka's clients write that of xerial's snappy-java:
//!
//! | bytes | field |
//! |---|---|
//! | 8 | `82 53 4e 41 50 50 59 00` |
//! | 4 | version, 1 |
//! | 4 | oldest version that can read it, 1 |
//! | 4, bytes | length of a block, big-endian; the block in the raw format; and so on to the end |
//!
//! Some write one block in the raw format alone; that is read as well. No raw block starts like the magic: its first
//! element would copy from before the start.

use std::io;

use snap::raw::{Decoder, Encoder, decompress_len};
use weir_types::Codec;

use crate::Error;

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
const VERSION: [u8; 4] = 1u32.to_be_bytes();
/// What snappy-java puts into one block.
const BLOCK_BYTES: usize = 32 << 10;
/// No element makes more of its bytes: a copy of 3 bytes stands for 64.
const RATIO_MAX: usize = 22;

pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut out = Vec::with_capacity(bytes.len() / 2 + 32);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION);
    out.extend_from_slice(&VERSION);
    let mut encoder = Encoder::new();
    for chunk in bytes.chunks(BLOCK_BYTES) {
        let block = encoder
            .compress_vec(chunk)
            .map_err(|source| Error::compress(Codec::Snappy, bytes.len(), source))?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(out)
}

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    let Some(framed) = bytes.strip_prefix(&MAGIC) else {
        append_block(bytes, limit_bytes, &mut out)?;
        return Ok(out);
    };
    let cut_off = Error::CutOff { codec: Codec::Snappy };
    let (versions, mut rest) = framed.split_at_checked(8).ok_or(cut_off)?;
    if versions[4..] != VERSION {
        return Err(malformed("framing of an unknown version"));
    }
    while !rest.is_empty() {
        let cut_off = || Error::CutOff { codec: Codec::Snappy };
        let (length, after) = rest.split_first_chunk().ok_or_else(cut_off)?;
        let (block, after) =
            after.split_at_checked(u32::from_be_bytes(*length) as usize).ok_or_else(cut_off)?;
        append_block(block, limit_bytes, &mut out)?;
        rest = after;
    }
    Ok(out)
}

/// Decompresses one raw block behind what is in `out`. The block states its size first, so it is judged before
/// anything is allocated.
fn append_block(block: &[u8], limit_bytes: usize, out: &mut Vec<u8>) -> Result<(), Error> {
    let size = decompress_len(block).map_err(|source| Error::malformed(Codec::Snappy, source))?;
    if size > limit_bytes - out.len() {
        return Err(Error::TooLarge { codec: Codec::Snappy, limit_bytes });
    }
    if size > block.len().saturating_mul(RATIO_MAX) {
        return Err(malformed("block states more bytes than it can hold"));
    }
    let start = out.len();
    out.resize(start + size, 0);
    let written = Decoder::new()
        .decompress(block, &mut out[start..])
        .map_err(|source| Error::malformed(Codec::Snappy, source))?;
    debug_assert_eq!(written, size, "the decoder fills what the block states");
    Ok(())
}

fn malformed(text: &'static str) -> Error {
    Error::malformed(Codec::Snappy, io::Error::new(io::ErrorKind::InvalidData, text))
}
