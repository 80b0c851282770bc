//! Both sides of the limits that are the same for every machine: what is just within is taken, one more is refused.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_types::batch::{BATCH_HEADER_BYTES, BatchError, BatchView};
use weir_types::limits::{
    BATCH_BYTES_MAX, BATCH_UNCOMPRESSED_BYTES_MAX, KEY_BYTES_MAX, NAME_BYTES_MAX, OUTBOX_BATCHES_MAX,
    OUTBOX_BYTES_MAX, RECORD_BYTES_MAX, RECORD_HEADERS_MAX, name_is_valid,
};
use weir_types::outbox::{Outbox, OutboxFull};
use weir_types::{At, BatchBuilder, GroupId, OutputBatch, TransferSequence};

#[test]
fn a_name_has_one_to_two_hundred_characters_of_a_few_kinds() {
    for good in ["a", "_own", "A-z_0.9", &"n".repeat(NAME_BYTES_MAX)] {
        assert!(name_is_valid(good), "{good}");
    }
    for bad in ["", ".hidden", "-flag", "two words", "a/b", "naïve", &"n".repeat(NAME_BYTES_MAX + 1)] {
        assert!(!name_is_valid(bad), "{bad}");
    }
}

#[test]
fn a_record_is_taken_up_to_each_of_its_limits() {
    let pushed = |key: usize, value: usize, headers: usize| {
        let mut batch = BatchBuilder::new();
        let headers = vec![("h", None); headers];
        let pushed = batch.push(Some(&vec![0; key]), Some(&vec![0; value]), &headers, 0);
        assert_eq!(batch.is_empty(), pushed.is_err(), "what is refused is not in the batch");
        pushed.map_err(|error| error.code())
    };
    assert_eq!(pushed(KEY_BYTES_MAX, 0, 0), Ok(()));
    assert_eq!(pushed(KEY_BYTES_MAX + 1, 0, 0), Err("key-too-large"));
    assert_eq!(pushed(1, RECORD_BYTES_MAX - 1, 0), Ok(()));
    assert_eq!(pushed(1, RECORD_BYTES_MAX, 0), Err("record-too-large"));
    assert_eq!(pushed(1, 1, RECORD_HEADERS_MAX), Ok(()));
    assert_eq!(pushed(1, 1, RECORD_HEADERS_MAX + 1), Err("too-many-headers"));
}

/// Whole records, and one more with a value of `last` bytes.
fn large(whole: usize, last: usize) -> Result<BatchBuilder, BatchError> {
    let mut batch = BatchBuilder::new();
    let value = vec![0; RECORD_BYTES_MAX];
    for _ in 0..whole {
        batch.push(None, Some(&value), &[], 0)?;
    }
    batch.push(None, Some(&value[..last]), &[], 0)?;
    Ok(batch)
}

/// How large the value of the last record is when the batch has exactly so many bytes.
fn filling(whole: usize, bytes: usize) -> usize {
    let guess = RECORD_BYTES_MAX - 4_096;
    guess + bytes - large(whole, guess).unwrap().bytes()
}

#[test]
fn a_batch_is_sent_up_to_four_mebibytes() {
    let last = filling(3, BATCH_BYTES_MAX);
    let whole = large(3, last).unwrap().build(None).unwrap();
    assert_eq!(whole.len(), BATCH_BYTES_MAX);
    assert!(BatchView::verify(&whole).is_ok());
    assert_eq!(large(3, last + 1).unwrap().build(None).unwrap_err().code(), "batch-too-large");
}

#[test]
fn a_batch_holds_up_to_thirty_two_mebibytes_uncompressed() {
    let last = filling(31, BATCH_UNCOMPRESSED_BYTES_MAX + BATCH_HEADER_BYTES);
    assert_eq!(large(31, last).unwrap().section().len(), BATCH_UNCOMPRESSED_BYTES_MAX);
    assert_eq!(large(31, last + 1).map(drop).unwrap_err().code(), "batch-too-large");
}

fn outputs(count: usize, length: u32) -> Vec<OutputBatch> {
    vec![OutputBatch { destination: GroupId(7), position: 0, length }; count]
}

#[test]
fn an_outbox_takes_as_many_batches_as_it_may_and_goes_on_when_one_has_arrived() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.check_room(&outputs(OUTBOX_BATCHES_MAX + 1, 1)), Ok(()), "an empty one takes anything");
    outbox.put(At::default(), &outputs(OUTBOX_BATCHES_MAX - 1, 1));
    assert_eq!(outbox.check_room(&outputs(1, 1)), Ok(()));
    let (batches, bytes) = (OUTBOX_BATCHES_MAX - 1, OUTBOX_BATCHES_MAX as u64 - 1);
    assert_eq!(outbox.check_room(&outputs(2, 1)), Err(OutboxFull { batches, bytes }));
    outbox.put(At::default(), &outputs(1, 1));
    assert!(outbox.check_room(&outputs(1, 1)).is_err());
    assert!(outbox.confirm(GroupId(7), TransferSequence(1)));
    assert_eq!(outbox.check_room(&outputs(1, 1)), Ok(()));
}

#[test]
fn an_outbox_takes_as_many_bytes_as_it_may() {
    let mut outbox = Outbox::default();
    outbox.put(At::default(), &outputs(1, OUTBOX_BYTES_MAX as u32 - 1));
    assert_eq!(outbox.check_room(&outputs(1, 1)), Ok(()));
    let bytes = OUTBOX_BYTES_MAX - 1;
    assert_eq!(outbox.check_room(&outputs(1, 2)), Err(OutboxFull { batches: 1, bytes }));
}
