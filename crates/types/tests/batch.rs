//! The record batch from outside: the published bytes, what is refused, and that no bytes make it panic.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use bytes::Bytes;
use proptest::prelude::*;
use weir_types::batch::{BATCH_HEADER_BYTES, PRODUCER_EPOCH_MAX, SEQUENCE_MAX, restamp};
use weir_types::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, KEY_BYTES_MAX, RECORD_BYTES_MAX};
use weir_types::{
    BatchBuilder, BatchError, BatchHeader, BatchView, Codec, Offset, ProducerEpoch, ProducerId,
    ProducerSequence, Term,
};

/// The batch of the golden test: two records, one of them with headers, of producer 7.
fn two_records() -> Bytes {
    let mut builder = BatchBuilder::new();
    builder.push(Some(b"key"), Some(b"value"), &[], 1_700_000_000_000).unwrap();
    builder.push(None, Some(b"v2"), &[("h", Some(b"x")), ("n", None)], 1_700_000_000_005).unwrap();
    let producer = ProducerSequence { id: ProducerId(7), epoch: ProducerEpoch(2), base_sequence: 40 };
    builder.build(Some(producer)).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Writes the right CRC after a test has changed a field.
fn with_crc(mut bytes: Vec<u8>) -> Vec<u8> {
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn a_batch_has_the_published_bytes() {
    let expected = concat!(
        "0000000000000000", // base offset
        "00000050",         // batch length: 80
        "ffffffff",         // partition leader epoch
        "02",               // magic
        "03b54a30",         // CRC-32C, computed by another program
        "0000",             // attributes
        "00000001",         // last offset delta
        "0000018bcfe56800", // first timestamp
        "0000018bcfe56805", // max timestamp
        "0000000000000007", // producer id
        "0002",             // producer epoch
        "00000028",         // base sequence
        "00000002",         // record count
        "1c000000",         // length 14, attributes, timestamp delta, offset delta
        "066b6579",         // key
        "0a76616c7565",     // value
        "00",               // no headers
        "1e000a02",         // length 15, timestamp delta 5, offset delta 1
        "01",               // no key
        "047632",           // value
        "0402680278",       // two headers: h = x
        "026e01",           // n without a value
    );
    assert_eq!(hex(&two_records()), expected);
}

#[test]
fn a_batch_is_read_back() {
    let bytes = two_records();
    let view = BatchView::verify(&bytes).unwrap();
    assert_eq!(view.header().bytes, bytes.len());
    assert_eq!(view.header().max_timestamp_ms - view.header().first_timestamp_ms, 5);
    assert_eq!(view.header().producer.unwrap().base_sequence, 40);
    let records: Vec<_> = view.records(view.section()).map(Result::unwrap).collect();
    assert_eq!(records[0].key, Some(&b"key"[..]));
    assert_eq!(records[1].key, None);
    assert_eq!(records[1].timestamp_delta, 5);
    assert_eq!(records[1].headers.len(), 2);
    assert_eq!(records[1].headers.get("h"), Some(&b"x"[..]));
    assert_eq!(records[1].headers.get("n"), None);
}

#[test]
fn a_restamped_batch_is_valid_and_shares_its_body() {
    let bytes = two_records();
    let (prefix, rest) = restamp(&bytes, Offset(1234), Term(9)).unwrap();
    assert_eq!(rest.as_ptr(), bytes[prefix.len()..].as_ptr());
    let whole = [&prefix[..], &rest].concat();
    assert_eq!(whole[..8], 1234u64.to_be_bytes());
    assert_eq!(whole[12..16], 9u32.to_be_bytes());
    assert_eq!(BatchHeader::verify(&whole), BatchHeader::verify(&bytes));
    assert_eq!(
        restamp(&bytes.slice(..15), Offset(0), Term(0)),
        Err(BatchError::Truncated { needed: 16, had: 15 })
    );
}

#[test]
fn every_truncation_is_refused() {
    let bytes = two_records();
    for length in 0..bytes.len() {
        assert!(matches!(BatchHeader::verify(&bytes[..length]), Err(BatchError::Truncated { .. })));
    }
    let longer = [&bytes[..], b"??"].concat();
    assert_eq!(BatchHeader::verify(&longer), Err(BatchError::TrailingBytes { extra: 2 }));
    assert!(BatchHeader::parse(&longer).is_ok());
}

#[test]
fn every_changed_byte_that_the_crc_covers_is_refused() {
    let bytes = two_records();
    for at in 21..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 1;
        assert!(BatchHeader::verify(&changed).is_err(), "byte {at}");
    }
    let mut changed = bytes.to_vec();
    changed[70] ^= 1;
    assert!(matches!(BatchHeader::verify(&changed), Err(BatchError::BadCrc { .. })));
}

#[test]
fn fields_without_a_meaning_are_refused_with_their_numbers() {
    let bytes = two_records();
    let refusal = |at: usize, field: &[u8]| {
        let mut changed = bytes.to_vec();
        changed[at..at + field.len()].copy_from_slice(field);
        BatchHeader::verify(&with_crc(changed)).unwrap_err()
    };
    assert_eq!(refusal(16, &[1]), BatchError::BadMagic { magic: 1 });
    assert_eq!(refusal(8, &[0xff; 4]), BatchError::LengthTooSmall { length: -1, min: 49 });
    assert_eq!(refusal(8, &48u32.to_be_bytes()), BatchError::LengthTooSmall { length: 48, min: 49 });
    assert_eq!(
        refusal(8, &i32::MAX.to_be_bytes()),
        BatchError::BatchTooLarge { bytes: (1 << 31) + 11, limit: BATCH_BYTES_MAX }
    );
    for attributes in [5u16, 0x08, 0x10, 0x20, 0x8000] {
        assert_eq!(refusal(21, &attributes.to_be_bytes()), BatchError::UnknownAttributes { attributes });
    }
    for count in [0i32, -1, 65_537] {
        let expected = BatchError::RecordCount { count: i64::from(count), limit: BATCH_RECORDS_MAX };
        assert_eq!(refusal(57, &count.to_be_bytes()), expected);
    }
    assert_eq!(refusal(23, &[0, 0, 0, 9]), BatchError::OffsetDelta { delta: 9, expected: 1 });
    assert_eq!(refusal(51, &[0xff, 0xff]), BatchError::ProducerFields { id: 7, epoch: -1, sequence: 40 });
}

#[test]
fn a_count_that_the_records_do_not_bear_out_is_refused() {
    let bytes = two_records();
    let view = BatchView::verify(&bytes).unwrap();
    let section = view.section();
    assert_eq!(view.check_records(section), Ok(()));
    let extra = [section, &[0]].concat();
    assert_eq!(view.check_records(&extra), Err(BatchError::TrailingBytes { extra: 1 }));
    for length in 0..section.len() {
        assert!(view.check_records(&section[..length]).is_err());
    }
    let twice = [&section[..15], &section[..15]].concat();
    assert_eq!(view.check_records(&twice), Err(BatchError::OffsetDelta { delta: 0, expected: 1 }));
}

#[test]
fn limits_are_held_when_a_record_is_added() {
    let mut builder = BatchBuilder::new();
    let long_key = vec![0; KEY_BYTES_MAX + 1];
    assert!(matches!(builder.push(Some(&long_key), None, &[], 0), Err(BatchError::KeyTooLarge { .. })));
    let large = vec![0; RECORD_BYTES_MAX + 1];
    assert!(matches!(builder.push(None, Some(&large), &[], 0), Err(BatchError::RecordTooLarge { .. })));
    let headers = vec![("h", None); 129];
    assert_eq!(
        builder.push(None, None, &headers, 0),
        Err(BatchError::TooManyHeaders { record: 0, count: 129, limit: 128 })
    );
    assert!(builder.is_empty());
    assert!(matches!(builder.build(None), Err(BatchError::RecordCount { count: 0, .. })));
    for _ in 0..5 {
        builder.push(None, Some(&large[1..]), &[], 0).unwrap();
    }
    assert!(matches!(builder.build(None), Err(BatchError::BatchTooLarge { .. })));
    for _ in 5..31 {
        builder.push(None, Some(&large[1..]), &[], 0).unwrap();
    }
    assert!(matches!(builder.push(None, Some(&large[1..]), &[], 0), Err(BatchError::BatchTooLarge { .. })));

    let mut many = BatchBuilder::new();
    for _ in 0..BATCH_RECORDS_MAX {
        many.push(None, None, &[], 0).unwrap();
    }
    assert!(matches!(many.push(None, None, &[], 0), Err(BatchError::RecordCount { count: 65_537, .. })));
}

type GeneratedRecord = (Option<Vec<u8>>, Option<Vec<u8>>, Vec<(String, Option<Vec<u8>>)>, i64);

fn record() -> impl Strategy<Value = GeneratedRecord> {
    let bytes = || prop::option::of(prop::collection::vec(any::<u8>(), 0..40));
    (bytes(), bytes(), prop::collection::vec((".{0,8}", bytes()), 0..4), any::<i64>())
}

fn producer() -> impl Strategy<Value = Option<ProducerSequence>> {
    let id = 0..=i64::MAX.cast_unsigned();
    prop::option::of((id, 0..=PRODUCER_EPOCH_MAX, 0..=SEQUENCE_MAX).prop_map(|(id, epoch, base_sequence)| {
        ProducerSequence { id: ProducerId(id), epoch: ProducerEpoch(epoch), base_sequence }
    }))
}

proptest! {
    #[test]
    fn what_was_built_is_read_back(records in prop::collection::vec(record(), 1..20), producer in producer()) {
        let mut builder = BatchBuilder::new();
        for (key, value, headers, timestamp) in &records {
            let headers: Vec<_> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
            builder.push(key.as_deref(), value.as_deref(), &headers, *timestamp).unwrap();
        }
        let bytes = builder.build(producer).unwrap();
        prop_assert_eq!(bytes.len(), builder.bytes());
        let view = BatchView::verify(&bytes).unwrap();
        prop_assert_eq!(view.header().producer, producer);
        prop_assert_eq!(view.header().codec, Codec::None);
        prop_assert_eq!(view.header().count as usize, records.len());
        prop_assert_eq!(Some(view.header().max_timestamp_ms), records.iter().map(|record| record.3).max());
        let first = view.header().first_timestamp_ms;
        for (read, (key, value, headers, timestamp)) in view.records(view.section()).zip(&records) {
            let read = read.unwrap();
            prop_assert_eq!(read.key, key.as_deref());
            prop_assert_eq!(read.value, value.as_deref());
            prop_assert_eq!(first.wrapping_add(read.timestamp_delta), *timestamp);
            let read: Vec<_> = read.headers.iter().map(|h| (h.name, h.value)).collect();
            let written: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_deref())).collect();
            prop_assert_eq!(read, written);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = BatchHeader::verify(&bytes);
        let _ = BatchHeader::parse(&bytes);
        let golden = two_records();
        let view = BatchView::verify(&golden).unwrap();
        prop_assert!(view.records(&bytes).count() <= 3);
    }

    #[test]
    fn a_damaged_batch_with_a_right_crc_never_panics(
        damage in prop::collection::vec((21usize..92, any::<u8>()), 1..8),
    ) {
        let mut bytes = two_records().to_vec();
        for (at, byte) in damage {
            bytes[at] = byte;
        }
        if let Ok(view) = BatchView::verify(&with_crc(bytes)) {
            let mut yielded = 0;
            for record in view.records(view.section()) {
                yielded += 1;
                if let Ok(record) = record {
                    prop_assert_eq!(record.headers.iter().count(), record.headers.len());
                }
            }
            prop_assert!(yielded <= view.header().count as usize + 1);
        }
    }
}

#[test]
fn the_header_is_as_long_as_published() {
    assert_eq!(two_records().len(), BATCH_HEADER_BYTES + 31);
}

#[test]
fn a_compacted_batch_keeps_offsets_and_the_door_refuses_it() {
    let mut builder = BatchBuilder::new();
    for delta in [0u32, 3, 4, 1_000] {
        builder.skip_to(delta);
        builder.push(Some(b"k"), Some(b"v"), &[], i64::from(delta)).unwrap();
    }
    let bytes = builder.build(None).unwrap();
    assert_eq!(BatchView::verify(&bytes), Err(BatchError::OffsetDelta { delta: 1_000, expected: 3 }));
    let view = BatchView::verify_stored(&bytes).unwrap();
    assert_eq!((view.header().count, view.header().last_offset_delta), (4, 1_000));
    let records: Vec<_> = view.records(view.section()).map(Result::unwrap).collect();
    let deltas: Vec<_> = records.iter().map(|record| record.offset_delta).collect();
    assert_eq!(deltas, [0, 3, 4, 1_000]);

    // Deltas that do not rise, or do not end where the header says, are damage.
    for last in [999u32, 1_001] {
        let mut changed = bytes.to_vec();
        changed[23..27].copy_from_slice(&last.to_be_bytes());
        let changed = with_crc(changed);
        let view = BatchView::verify_stored(&changed).unwrap();
        assert!(view.check_records(view.section()).is_err(), "{last}");
    }
}
