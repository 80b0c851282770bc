//! Zstandard, RFC 8878. Several frames in a row count as one section.

use std::io::{self, BufReader};

use weir_types::Codec;
use zstd::stream::read::Decoder;

use crate::{Error, bounded};

/// The library's usual level.
const LEVEL: i32 = 3;
/// Largest window that a frame may ask for, as a power of two: 32 MiB, the largest batch once decompressed. Without
/// it a frame of a few bytes makes the decoder set 128 MiB aside.
const WINDOW_LOG_MAX: u32 = 25;

pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    zstd::bulk::compress(bytes, LEVEL).map_err(|source| Error::compress(Codec::Zstd, bytes.len(), source))
}

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let decoder = decoder(bytes).map_err(|source| Error::malformed(Codec::Zstd, source))?;
    bounded::read(Codec::Zstd, decoder, limit_bytes)
}

fn decoder(bytes: &[u8]) -> io::Result<Decoder<'static, BufReader<&[u8]>>> {
    let mut decoder = Decoder::new(bytes)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(decoder)
}
