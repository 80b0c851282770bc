//! gzip, RFC 1952. Several members in a row count as one section, as gzip itself has it.

use std::io::Write;

use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use weir_types::Codec;

use crate::{Error, bounded};

pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::default());
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .map_err(|source| Error::compress(Codec::Gzip, bytes.len(), source))
}

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    bounded::read(Codec::Gzip, MultiGzDecoder::new(bytes), limit_bytes)
}
