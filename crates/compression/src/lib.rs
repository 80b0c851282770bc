//! Compression of record batches: the five codecs that a batch's attributes can name, in the framings that Kafka's
//! clients write.
//!
//! Output is bounded: [`decompress`] takes a limit and stops there, so that a few bytes that stand for gigabytes (a
//! decompression bomb) cost no more than the limit. What comes out is exactly one compressed section: cut-off input
//! and bytes behind the end are errors.
//!
//! What this crate is not: it knows no batch layout (that is `weir_types::batch`) and never decides whether to
//! compress; the broker compresses nothing, it only looks inside a batch once, at the door.

#![forbid(unsafe_code)]

mod bounded;
mod error;
mod gzip;
mod lz4;
mod snappy;
mod zstandard;

use bytes::Bytes;
pub use error::Error;
pub use weir_types::Codec;

/// Compresses `bytes` with the codec's usual level.
pub fn compress(codec: Codec, bytes: &[u8]) -> Result<Bytes, Error> {
    let compressed = match codec {
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => gzip::compress(bytes),
        Codec::Snappy => snappy::compress(bytes),
        Codec::Lz4 => lz4::compress(bytes),
        Codec::Zstd => zstandard::compress(bytes),
    };
    compressed.map(Bytes::from)
}

/// Decompresses `bytes`, which must be exactly one compressed section, to at most `limit_bytes`.
pub fn decompress(codec: Codec, bytes: &[u8], limit_bytes: usize) -> Result<Bytes, Error> {
    if bytes.is_empty() && codec != Codec::None {
        return Err(Error::CutOff { codec });
    }
    let decompressed = match codec {
        Codec::None if bytes.len() > limit_bytes => Err(Error::TooLarge { codec, limit_bytes }),
        Codec::None => Ok(bytes.to_vec()),
        Codec::Gzip => gzip::decompress(bytes, limit_bytes),
        Codec::Snappy => snappy::decompress(bytes, limit_bytes),
        Codec::Lz4 => lz4::decompress(bytes, limit_bytes),
        Codec::Zstd => zstandard::decompress(bytes, limit_bytes),
    };
    decompressed.map(Bytes::from)
}
