//! Doors for the fuzz targets (`tests/fuzz`) to the decoders of what lies on disk and of what a peer's snapshot brings.
//! Each function takes arbitrary bytes and panics when one of the laws that it names is broken.

use std::ops::ControlFlow;

use bytes::Bytes;
use weir_types::{ClusterId, GroupId, Incarnation, LogIndex, NodeId, Row, Term};

use crate::engine::{Batch, Engine, Family};
use crate::snapshot::format::{Decoder, Encoder, Frame, Header};
use crate::superblock::{self, INFO_BYTES_MAX, Identity, SLOT_BYTES, Slot, Superblock};
use crate::tables::{bucket_counter, entry, group_row, queue_log, segment, staging, stream_log};
use crate::{LogClass, LogRecord, MemoryDisk};

/// A superblock file of these bytes is opened or refused; a slot that decodes is the one that is written for it.
pub fn superblock_file(bytes: &[u8]) {
    let disk = MemoryDisk::new();
    superblock::Device::write_at(&disk.device(), 0, bytes).expect("a memory disk takes every write");
    // Refusing is fine.
    let _ = Superblock::open(Box::new(disk.device()));
    for slot in bytes.chunks(SLOT_BYTES).filter_map(superblock::decode) {
        assert_eq!(superblock::decode(&superblock::encode(&slot)).as_ref(), Some(&slot));
    }
}

/// A slot of these fields comes back as it went in, and no single flipped bit goes unnoticed.
pub fn superblock_slot(fields: [u64; 5], info: &[u8], flip: usize) {
    let [version, watermark, cluster, node, incarnation] = fields;
    let identity = (incarnation != 0).then_some(Identity {
        cluster: ClusterId(cluster),
        node: NodeId(node),
        incarnation: Incarnation(incarnation),
    });
    let info = Bytes::copy_from_slice(&info[..info.len().min(INFO_BYTES_MAX)]);
    let slot = Slot { version, watermark, identity, info };
    let mut bytes = superblock::encode(&slot);
    assert_eq!(superblock::decode(&bytes), Some(slot));
    flip_bit(&mut bytes, flip);
    assert_eq!(superblock::decode(&bytes), None, "a flipped bit");
}

/// A value of a log that decodes has no other spelling.
pub fn log_entry(value: &[u8]) {
    let Ok(record) = entry::decode(LogIndex(1), value) else { return };
    assert_eq!([&entry::head(&record)[..], &record.payload].concat(), value);
}

/// A key or value of a table that decodes is written back as it was, but for its kind byte, which the reader has
/// looked at before.
pub fn table_rows(key: &[u8], value: &[u8]) {
    let unkinded = |bytes: &[u8]| bytes.get(1..).unwrap_or_default().to_vec();
    if let Ok((group, generation, index)) = queue_log::decode(key) {
        assert_eq!(queue_log::key(group, generation, index), key);
    }
    if let Ok((bucket, group, index)) = stream_log::decode(key) {
        assert_eq!(stream_log::key(bucket, group, index), key);
    }
    if let Ok((group, found)) = segment::decode(key, value) {
        assert_eq!(unkinded(&segment::key(group, found.first)), unkinded(key));
        assert_eq!(segment::value(found), value);
    }
    if let Ok((group, generation)) = staging::decode(key) {
        assert_eq!(unkinded(&staging::key(group, generation)), unkinded(key));
    }
    if let Ok(Some(group)) = group_row::decode_key(key) {
        assert_eq!(unkinded(&group_row::key(group)), unkinded(key));
    }
    if let Ok(row) = group_row::decode(value) {
        assert_eq!(group_row::decode(&group_row::encode(row)).ok(), Some(row));
    }
    if let Ok(next) = bucket_counter::decode(value) {
        assert_eq!(bucket_counter::value(next), value);
    }
}

/// A catalog of arbitrary rows is read or refused.
pub fn catalog(rows: &[(&[u8], &[u8])]) {
    let disk = MemoryDisk::new();
    let engine = disk.open();
    let mut batch = Batch::default();
    for (key, value) in rows {
        batch.put(Family::Meta, key.to_vec(), value.to_vec());
        batch.put(Family::StreamLog, key.to_vec(), value.to_vec());
    }
    engine.write(batch).expect("a memory disk takes every write");
    let mut leftovers = Batch::default();
    if crate::catalog::Catalog::open(&*engine.view(), &mut leftovers).is_ok() {
        engine.write(leftovers).expect("a memory disk takes every write");
        let staged = vec![crate::tables::kind::STAGING]..vec![crate::tables::kind::NODE];
        let mut left = 0;
        let mut count = |_: &[u8], _: &[u8]| {
            left += 1;
            Ok(ControlFlow::Continue(()))
        };
        engine.view().scan(Family::Meta, &staged, 0, &mut count).expect("a memory disk reads");
        assert_eq!(left, 0, "leftovers of imports are cleared away");
    }
}

/// A stream of arbitrary bytes, cut anywhere, never yields an entry out of its place.
pub fn snapshot_stream(bytes: &[u8], chunk: usize) {
    let mut next = None;
    // Refusing is fine.
    let _ = decode(bytes, chunk, |frame, header| {
        if let (Frame::Entry(record), Some(header)) = (&frame, header) {
            let index = next.unwrap_or(header.log.start);
            assert_eq!(record.index.0, index);
            assert!(index < header.log.end);
            next = Some(index + 1);
        }
    });
}

/// A snapshot comes out as it went in, however it is cut; with a flipped bit it never completes.
pub fn snapshot(start: u64, rows: &[Row], payloads: &[&[u8]], chunk: usize, flip: usize) {
    let start = start.min(u64::MAX - payloads.len() as u64);
    let header =
        Header { class: LogClass::Queue, group: GroupId(7), log: start..start + payloads.len() as u64 };
    let records: Vec<LogRecord> = (start..)
        .zip(payloads)
        .map(|(index, payload)| LogRecord {
            index: LogIndex(index),
            term: Term(index),
            kind: 1,
            payload: Bytes::copy_from_slice(payload),
        })
        .collect();
    let mut encoder = Encoder::default();
    encoder.header(&header);
    for row in rows {
        encoder.row(&row.key, &row.value);
    }
    for record in &records {
        encoder.entry(record.index, &[&entry::head(record)[..], &record.payload].concat());
    }
    encoder.trailer();
    let mut bytes = encoder.take(usize::MAX).to_vec();

    let (mut rows_back, mut records_back) = (Vec::new(), Vec::new());
    let complete = decode(&bytes, chunk, |frame, _| match frame {
        Frame::Row(row) => rows_back.push(row),
        Frame::Entry(record) => records_back.push(record),
        Frame::Header(_) | Frame::Trailer => {}
    });
    assert_eq!(complete.ok(), Some(true));
    assert_eq!((rows_back.as_slice(), records_back), (rows, records));

    flip_bit(&mut bytes, flip);
    assert_ne!(decode(&bytes, chunk, |_, _| {}).ok(), Some(true), "a flipped bit");
}

fn decode(
    bytes: &[u8],
    chunk: usize,
    mut take: impl FnMut(Frame, Option<&Header>),
) -> Result<bool, crate::Error> {
    let mut decoder = Decoder::default();
    for chunk in bytes.chunks(chunk.max(1)) {
        decoder.feed(chunk);
        while let Some(frame) = decoder.next()? {
            take(frame, decoder.header());
        }
    }
    Ok(decoder.is_complete())
}

fn flip_bit(bytes: &mut [u8], flip: usize) {
    let bit = flip % (bytes.len() * 8);
    bytes[bit / 8] ^= 1 << (bit % 8);
}
