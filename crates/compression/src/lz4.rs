//! The LZ4 frame format: one frame, 64 KiB blocks independent of each other, which is all that Kafka's own reader
//! takes.

use std::io::{self, Read, Write};

use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use weir_types::Codec;

use crate::{Error, bounded};

pub(crate) fn compress(bytes: &[u8]) -> Result<Vec<u8>, Error> {
    let info = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2));
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish().map_err(io::Error::from))
        .map_err(|source| Error::compress(Codec::Lz4, bytes.len(), source))
}

pub(crate) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, Error> {
    let mut input = Input { rest: bytes, ended: false };
    let out = bounded::read(Codec::Lz4, FrameDecoder::new(&mut input), limit_bytes)?;
    if input.ended {
        return Err(Error::CutOff { codec: Codec::Lz4 });
    }
    if !input.rest.is_empty() {
        return Err(Error::TrailingBytes { codec: Codec::Lz4, extra: input.rest.len() });
    }
    Ok(out)
}

/// The decoder takes an input that stops between two blocks for a whole frame. But it stops reading at the end mark
/// of a whole one, so an input that was asked for more than it had was cut off.
struct Input<'a> {
    rest: &'a [u8],
    ended: bool,
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.rest.read(buffer)?;
        self.ended |= read < buffer.len();
        Ok(read)
    }
}
