//! From the batches of an answer to records.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use weir_types::limits::BATCH_UNCOMPRESSED_BYTES_MAX;
use weir_types::{BatchView, Codec, RecordView};

use crate::{Header, StreamRecord};

/// The partition that a batch is of.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
}

/// The offset of a batch's first record, as the fetch wrote it.
pub(crate) fn base_offset(batch: &[u8]) -> Result<u64, String> {
    let bytes = batch.first_chunk().ok_or_else(|| format!("{} bytes are no batch", batch.len()))?;
    Ok(u64::from_be_bytes(*bytes))
}

/// Appends the records of one batch from offset `from` on. CRC and every length are checked; keys and values share the
/// batch's memory.
pub(crate) fn decode(
    origin: &Origin,
    batch: &Bytes,
    from: u64,
    records: &mut VecDeque<StreamRecord>,
) -> Result<(), String> {
    let base = base_offset(batch)?;
    let view = BatchView::verify_stored(batch).map_err(|error| error.to_string())?;
    let header = view.header();
    let section = match header.codec {
        Codec::None => batch.slice_ref(view.section()),
        codec => weir_compression::decompress(codec, view.section(), BATCH_UNCOMPRESSED_BYTES_MAX)
            .map_err(|error| error.to_string())?,
    };
    for record in view.records(&section) {
        let record = record.map_err(|error| error.to_string())?;
        let offset = base + u64::from(record.offset_delta);
        if offset >= from {
            let timestamp_ms = header.first_timestamp_ms.saturating_add(record.timestamp_delta);
            records.push_back(to_record(origin, offset, timestamp_ms, &record, &section));
        }
    }
    Ok(())
}

fn to_record(
    origin: &Origin,
    offset: u64,
    timestamp_ms: i64,
    record: &RecordView<'_>,
    section: &Bytes,
) -> StreamRecord {
    let shared = |bytes: &[u8]| section.slice_ref(bytes);
    let headers = record.headers.iter().map(|header| Header {
        name: header.name.to_owned(),
        value: header.value.map(shared).unwrap_or_default(),
    });
    StreamRecord {
        topic: Arc::clone(&origin.topic),
        partition: origin.partition,
        offset,
        timestamp_ms: u64::try_from(timestamp_ms).unwrap_or(0),
        key: record.key.map(shared),
        value: record.value.map(shared),
        headers: headers.collect(),
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use weir_types::batch::restamp;
    use weir_types::{BatchBuilder, Offset, Term};

    use super::*;

    fn batch(codec: Codec, base: u64, values: &[&str]) -> Bytes {
        let mut builder = BatchBuilder::new();
        for (n, value) in (1000..).zip(values) {
            let headers = [("n", Some(value.as_bytes()))];
            builder.push(Some(b"key"), Some(value.as_bytes()), &headers, n).unwrap();
        }
        let compressed = weir_compression::compress(codec, builder.section()).unwrap();
        let bytes = builder.build_compressed(None, codec, &compressed).unwrap();
        let (prefix, rest) = restamp(&bytes, Offset(base), Term(3)).unwrap();
        [&prefix[..], &rest].concat().into()
    }

    fn origin() -> Origin {
        Origin { topic: "t".into(), partition: 2 }
    }

    #[test]
    fn every_codec_is_read_and_records_before_the_position_are_skipped() {
        for codec in Codec::ALL {
            let mut records = VecDeque::new();
            decode(&origin(), &batch(codec, 40, &["a", "b", "c"]), 41, &mut records).unwrap();
            let offsets: Vec<_> = records.iter().map(|record| (record.offset, record.timestamp_ms)).collect();
            assert_eq!(offsets, [(41, 1001), (42, 1002)], "{codec}");
            assert_eq!(records[0].value.as_deref(), Some(b"b".as_slice()));
            assert_eq!(records[0].headers[0].value.as_ref(), b"b");
        }
    }

    #[test]
    fn damaged_bytes_are_an_error_and_no_panic() {
        let whole = batch(Codec::Lz4, 0, &["a", "b"]);
        for cut in 0..whole.len() {
            assert!(decode(&origin(), &whole.slice(..cut), 0, &mut VecDeque::new()).is_err());
            let mut flipped = whole.to_vec();
            flipped[cut] ^= 0x20;
            // A flip in the base offset or the leader epoch cannot be seen; anything else is.
            let seen = decode(&origin(), &flipped.into(), 0, &mut VecDeque::new()).is_err();
            assert!(seen || cut < 16, "{cut}");
        }
    }
}
