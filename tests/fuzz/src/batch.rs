//! The record batch: as it comes, and with its length and checksum put right.

use bytes::Bytes;
use weir_types::batch::{BATCH_HEADER_BYTES, BatchBuilder, BatchHeader, BatchView, Codec, restamp};
use weir_types::{LeaseToken, Offset, ProducerEpoch, ProducerId, ProducerSequence, Term};

use crate::input::Input;

/// Bytes of a batch that its checksum does not cover and that mean nothing until a fetch: base offset and epoch.
const UNCOVERED: [std::ops::Range<usize>; 2] = [0..8, 12..16];

/// Bytes are a batch or refused. A batch can be read to its end and restamped without a change to its records; one
/// that was built comes back record by record, and a flipped bit under its checksum is noticed.
pub fn law(data: &[u8]) {
    let mut input = Input::new(data);
    match input.u8() % 3 {
        0 => read(input.rest()),
        1 => read(&sealed(input.rest())),
        _ => built(input),
    }
    if let Ok(text) = str::from_utf8(data)
        && let Ok(token) = text.parse::<LeaseToken>()
    {
        assert_eq!(token.to_string(), text, "a token has one spelling");
    }
}

/// Whatever is taken for a batch can be read to its end, and restamped into a batch with the same records.
fn read(bytes: &[u8]) {
    let _ = BatchHeader::parse(bytes);
    if let Ok(view) = BatchView::verify_stored(bytes)
        && view.header().codec == Codec::None
    {
        let deltas: Vec<_> =
            view.records(view.section()).map_while(Result::ok).map(|r| r.offset_delta).collect();
        assert!(deltas.is_sorted_by(|earlier, later| earlier < later), "offsets rise");
        let complete = view.check_records(view.section()).is_ok();
        assert!(!complete || deltas.last() == Some(&view.header().last_offset_delta));
    }
    let Ok(view) = BatchView::verify(bytes) else { return };
    assert_eq!(view.header().bytes, bytes.len());
    if view.header().codec == Codec::None {
        let read = view.records(view.section()).map_while(Result::ok).map(|record| {
            assert_eq!(record.headers.iter().count(), record.headers.len(), "checked headers are all there");
        });
        let complete = read.count() == view.header().count as usize;
        assert!(complete || view.check_records(view.section()).is_err());
    }
    let (prefix, rest) =
        restamp(&Bytes::copy_from_slice(bytes), Offset(77), Term(3)).expect("a batch is long enough");
    let stamped = [&prefix[..], &rest].concat();
    let again = BatchView::verify(&stamped).expect("a restamped batch is a batch");
    assert_eq!((again.header(), again.section()), (view.header(), view.section()));
}

/// `body` with the magic, length and checksum that make it a batch, so that what lies behind them is reached.
pub(crate) fn sealed(body: &[u8]) -> Vec<u8> {
    let mut bytes = body.to_vec();
    bytes.resize(bytes.len().max(BATCH_HEADER_BYTES), 0);
    let length = (bytes.len() - 12) as u32;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// A batch that was built comes back record by record, and no single flipped bit under its checksum goes unnoticed.
fn built(mut input: Input<'_>) {
    let flip = usize::from(input.u16());
    let producer = (input.u8() & 1 == 1).then(|| ProducerSequence {
        id: ProducerId(input.u64() >> 1),
        epoch: ProducerEpoch(u32::from(input.u16() >> 1)),
        base_sequence: u32::from(input.u16()),
    });
    let mut builder = BatchBuilder::new();
    let mut records = Vec::new();
    while !input.is_empty() {
        let timestamp = input.u64() as i64;
        let (key, value, header) = (input.sized(), input.sized(), input.sized());
        let key = (!key.is_empty()).then_some(key);
        builder.push(key, Some(value), &[("h", Some(header))], timestamp).expect("a small record fits");
        records.push((key, value, header));
    }
    let Ok(mut bytes) = builder.build(producer).map(|bytes| bytes.to_vec()) else { return };
    let view = BatchView::verify(&bytes).expect("what was built is a batch");
    assert_eq!(view.header().producer, producer);
    let mut read = 0;
    for (record, (key, value, header)) in view.records(view.section()).zip(&records) {
        let record = record.expect("a built record reads");
        assert_eq!((record.key, record.value, record.headers.get("h")), (*key, Some(*value), Some(*header)));
        read += 1;
    }
    assert_eq!(read, records.len());
    let bit = flip % (bytes.len() * 8);
    if UNCOVERED.iter().all(|uncovered| !uncovered.contains(&(bit / 8))) {
        bytes[bit / 8] ^= 1 << (bit % 8);
        BatchView::verify(&bytes).expect_err("a flipped bit");
    }
}

/// Batches of every codec, as clients send them.
pub(crate) fn batches() -> Vec<Vec<u8>> {
    let mut builder = BatchBuilder::new();
    for (number, key) in ["a", "b"].iter().enumerate() {
        let headers = [
            ("weir-priority", Some(b"7".as_slice())),
            ("weir-message-id", Some(key.as_bytes())),
            ("trace", None),
        ];
        let timestamp = 1_700_000_000_000 + number as i64;
        builder.push(Some(key.as_bytes()), Some(b"value value value"), &headers, timestamp).expect("it fits");
    }
    builder.push(None, None, &[], 1_700_000_000_500).expect("it fits");
    let producer = Some(ProducerSequence { id: ProducerId(5), epoch: ProducerEpoch(1), base_sequence: 9 });
    Codec::ALL
        .iter()
        .map(|codec| {
            let section = weir_compression::compress(*codec, builder.section()).expect("it compresses");
            builder.build_compressed(producer, *codec, &section).expect("it fits").to_vec()
        })
        .collect()
}

pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        b"v1.7.42.1001".to_vec(),
        b"\x02\x01\x00\x00\x00\x00\x01\x8b\xcf\xe5\x68\x00\x00\x01k\x05value\x02hh".to_vec(),
    ];
    for batch in batches() {
        seeds.push([&[0], &batch[..]].concat());
        seeds.push([&[1], &batch[..]].concat());
    }
    seeds
}
