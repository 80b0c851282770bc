//! Frames: what a connection's byte stream is cut into.
//!
//! | bytes | |
//! |---|---|
//! | 0..4 | length of the rest after byte 8, `u32` LE |
//! | 4..8 | CRC-32C of that rest, `u32` LE |
//! | 8.. | the rest |
//!
//! The rest of a lane's frame is: length of the head `u32` LE ‖ head (postcard list of items) ‖ the payloads of
//! the items' entries, back to back. A received frame is one buffer; payloads are slices of it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader, ReadHalf, WriteHalf};
use weir_runtime::BoxStream;

use super::{Answer, Call};

/// Largest frame: a full append request whose last entry is as large as an entry may be, with room to spare.
pub(crate) const FRAME_BYTES_MAX: usize = 16 << 20;
const PREFIX_BYTES: usize = 8;
const READ_BUFFER_BYTES: usize = 64 << 10;

/// One message in a lane's frame. The id pairs a call with its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Item {
    Call { id: u64, call: Call },
    Answer { id: u64, answer: Answer },
}

/// The reading half of a connection.
pub(crate) struct FrameReader {
    stream: BufReader<ReadHalf<BoxStream>>,
}

/// The writing half of a connection.
pub(crate) struct FrameWriter {
    stream: WriteHalf<BoxStream>,
}

/// A frame's rest, verified.
pub(crate) type RawFrame = Bytes;

/// Cuts a stream into its two halves.
pub(crate) fn split(stream: BoxStream) -> (FrameReader, FrameWriter) {
    let (read, write) = tokio::io::split(stream);
    (FrameReader { stream: BufReader::with_capacity(READ_BUFFER_BYTES, read) }, FrameWriter { stream: write })
}

impl FrameReader {
    /// The next frame of at most `bytes_max`. Any error leaves the stream unusable.
    pub(crate) async fn read(&mut self, bytes_max: usize) -> io::Result<RawFrame> {
        self.read_noting(bytes_max, || {}).await
    }

    /// The same, calling `came` for every piece of it: a large frame on a slow link takes long.
    async fn read_noting(&mut self, bytes_max: usize, came: impl Fn()) -> io::Result<RawFrame> {
        let length = self.stream.read_u32_le().await? as usize;
        let crc = self.stream.read_u32_le().await?;
        if length > bytes_max {
            return Err(invalid(&format!("frame of {length} bytes exceeds limit {bytes_max}")));
        }
        let mut frame = BytesMut::with_capacity(length);
        while frame.len() < length {
            let missing = length - frame.len();
            let read = (&mut self.stream).take(missing as u64).read_buf(&mut frame).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            came();
        }
        if crc32c::crc32c(&frame) != crc {
            return Err(invalid("frame checksum does not match"));
        }
        Ok(frame.freeze())
    }

    /// The next frame of a lane: its items and all their payloads. Calls `came` for every piece that arrives.
    pub(crate) async fn read_items(&mut self, came: impl Fn()) -> io::Result<(Vec<Item>, Bytes)> {
        let mut frame = self.read_noting(FRAME_BYTES_MAX, came).await?;
        if frame.len() < 4 {
            return Err(invalid("frame has no head"));
        }
        let head_length = frame.get_u32_le() as usize;
        if head_length > frame.len() {
            return Err(invalid("frame head is cut short"));
        }
        let head = frame.split_to(head_length);
        let items = postcard::from_bytes(&head).map_err(|error| invalid(&error.to_string()))?;
        Ok((items, frame))
    }
}

impl FrameWriter {
    /// Writes one frame made of `parts`.
    pub(crate) async fn write(&mut self, parts: Vec<Bytes>) -> io::Result<()> {
        let length = parts.iter().map(Bytes::len).sum::<usize>();
        if length > FRAME_BYTES_MAX {
            return Err(invalid(&format!("frame of {length} bytes exceeds limit {FRAME_BYTES_MAX}")));
        }
        let crc = parts.iter().fold(0, |crc, part| crc32c::crc32c_append(crc, part));
        let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
        prefix.put_u32_le(length as u32);
        prefix.put_u32_le(crc);
        let mut segments = Segments(VecDeque::from(parts));
        segments.0.push_front(prefix.freeze());
        segments.0.retain(|segment| !segment.is_empty());
        self.stream.write_all_buf(&mut segments).await?;
        self.stream.flush().await
    }

    /// Writes one frame of a lane.
    pub(crate) async fn write_items(&mut self, items: &[Item], payloads: Vec<Bytes>) -> io::Result<()> {
        let mut head = BytesMut::zeroed(4);
        let encoded = postcard::to_stdvec(items).map_err(|error| invalid(&error.to_string()))?;
        head[..4].copy_from_slice(&(encoded.len() as u32).to_le_bytes());
        head.extend_from_slice(&encoded);
        let mut parts = Vec::with_capacity(payloads.len() + 1);
        parts.push(head.freeze());
        parts.extend(payloads);
        self.write(parts).await
    }
}

/// Buffers written one after the other, without joining them first.
struct Segments(VecDeque<Bytes>);

impl Buf for Segments {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |segment| segment)
    }

    fn advance(&mut self, mut count: usize) {
        while let Some(front) = self.0.front_mut() {
            if count < front.len() {
                front.advance(count);
                return;
            }
            count -= front.len();
            self.0.pop_front();
        }
        assert_eq!(count, 0, "advanced past the end");
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.0.len());
        for (slice, segment) in slices.iter_mut().zip(&self.0) {
            *slice = IoSlice::new(segment);
        }
        count
    }
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use weir_types::WallClock;

    use super::*;

    fn pair() -> (FrameReader, FrameWriter) {
        let (near, far) = tokio::io::duplex(1 << 10);
        (split(Box::new(far)).0, split(Box::new(near)).1)
    }

    #[tokio::test]
    async fn a_frame_has_its_documented_bytes() {
        let (near, mut far) = tokio::io::duplex(1 << 10);
        let (_reader, mut writer) = split(Box::new(near));
        writer
            .write_items(&[Item::Call { id: 5, call: Call::Ping }], vec![Bytes::from_static(b"xy")])
            .await
            .unwrap();
        let mut bytes = vec![0; 18];
        far.read_exact(&mut bytes).await.unwrap();
        assert_eq!(bytes[..4], 10u32.to_le_bytes(), "length");
        assert_eq!(bytes[4..8], crc32c::crc32c(&bytes[8..]).to_le_bytes(), "checksum");
        assert_eq!(bytes[8..], [4, 0, 0, 0, 1, 0, 5, 0, b'x', b'y'], "head length, items, payloads");
    }

    #[tokio::test]
    async fn items_and_payloads_come_out_as_they_went_in() {
        let (mut reader, mut writer) = pair();
        let items = vec![Item::Answer { id: 1, answer: Answer::Pong { wall: WallClock(7) } }];
        let payloads = vec![Bytes::from(vec![7; 100_000]), Bytes::new(), Bytes::from_static(b"end")];
        let (write, read) = tokio::join!(writer.write_items(&items, payloads), reader.read_items(|| {}));
        write.unwrap();
        let (got, payload) = read.unwrap();
        assert_eq!(got, items);
        assert_eq!(payload.len(), 100_003);
        assert!(payload.ends_with(b"\x07end"));
    }

    #[tokio::test]
    async fn a_flipped_bit_is_an_error() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        let (mut reader, _writer) = split(Box::new(far));
        let mut bytes = vec![3, 0, 0, 0];
        bytes.extend(crc32c::crc32c(b"abc").to_le_bytes());
        bytes.extend(b"abd");
        near.write_all(&bytes).await.unwrap();
        assert_eq!(reader.read(100).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn an_oversized_length_is_refused_before_memory_is_taken() {
        let (mut near, far) = tokio::io::duplex(1 << 10);
        let (mut reader, _writer) = split(Box::new(far));
        near.write_all(&[255; 8]).await.unwrap();
        assert_eq!(reader.read(FRAME_BYTES_MAX).await.unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
