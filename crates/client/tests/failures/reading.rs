//! Reading on across broken connections.

use std::time::Duration;

use weir_client::{ErrorKind, ProducerOptions, ReadUntil, ReaderOptions, Record, StartPosition};
use weir_types::WeirError;

use crate::node::Node;
use crate::partition::Fault;

async fn filled(count: u64) -> Node {
    let node = Node::alone().await;
    let client = node.client().await;
    let options = ProducerOptions { batch_records_max: 3, ..ProducerOptions::default() };
    let producer = client.producer("events", options).await.unwrap();
    for n in 0..count {
        drop(producer.send(Record::new(n.to_string())).await.unwrap());
    }
    producer.close().await;
    node
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_without_gap_or_repetition() {
    let node = filled(20).await;
    let retry = Fault::Refuse(WeirError::new(ErrorKind::Retry, "no-leader", "wait"));
    node.faults([Fault::ServeAndHangUp, Fault::HangUp, retry, Fault::ServeAndHangUp]);
    let client = node.client().await;
    let options =
        ReaderOptions { start: StartPosition::Offset(2), until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader("events", options).await.unwrap();
    let mut read = Vec::new();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        assert_eq!(record.value.as_deref(), Some(record.offset.to_string().as_bytes()));
        read.push(record.offset);
    }
    assert_eq!(read, (2..20).collect::<Vec<_>>());
    assert!(node.partition.lock().unwrap().fetched_from.len() > 4);
}

#[tokio::test]
async fn a_position_that_is_gone_is_told_and_reading_goes_on_at_the_nearest() {
    let node = filled(5).await;
    let gone = WeirError::new(ErrorKind::Invalid, "offset-out-of-range", "9 is not within 0 to 5");
    node.faults([Fault::Refuse(gone)]);
    let client = node.client().await;
    let options = ReaderOptions { start: StartPosition::Offset(9), ..ReaderOptions::default() };
    let mut reader = client.stream_reader("events", options).await.unwrap();
    let error = reader.next().await.unwrap().unwrap_err();
    assert_eq!(error.code(), "offset-out-of-range");
    let waited = tokio::time::timeout(Duration::from_millis(100), reader.next()).await;
    assert!(waited.is_err(), "there is nothing behind the end");
    assert_eq!(node.partition.lock().unwrap().fetched_from, [9, 5]);
}

#[tokio::test]
async fn a_partition_that_cannot_be_read_is_told_in_bounded_time() {
    let node = filled(1).await;
    node.partition.lock().unwrap().always =
        Some(Fault::Refuse(WeirError::new(ErrorKind::Retry, "no-quorum", "wait")));
    let client = node.client().await;
    let options = ReaderOptions { stall_timeout: Duration::from_millis(150), ..ReaderOptions::default() };
    let mut reader = client.stream_reader("events", options).await.unwrap();
    let error = reader.next().await.unwrap().unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Retry, "client-timeout"));
    node.partition.lock().unwrap().always = None;
    assert_eq!(reader.next().await.unwrap().unwrap().offset, 0);
}

/// What a reader gets of a partition that has lost its second batch: offsets, and the error if there is one.
async fn read_without_second_batch(
    compacted_to: impl Fn(u64) -> u64,
) -> (Vec<u64>, Option<weir_client::Error>) {
    let node = filled(20).await;
    let third = {
        let mut partition = node.partition.lock().unwrap();
        partition.log.remove(1);
        partition.log[1].1
    };
    node.partition.lock().unwrap().compacted_to = compacted_to(third);
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = node.client().await.stream_reader("events", options).await.unwrap();
    let mut read = Vec::new();
    while let Some(record) = reader.next().await {
        match record {
            Ok(record) => read.push(record.offset),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

#[tokio::test]
async fn gaps_of_compaction_are_passed_over_in_silence_and_others_are_damage() {
    let (read, error) = read_without_second_batch(|third| third).await;
    assert!(error.is_none(), "{error:?}");
    assert!(read.contains(&0) && read.contains(&19) && read.len() < 20, "{read:?}");

    let (read, error) = read_without_second_batch(|third| third - 1).await;
    assert!(error.unwrap().to_string().contains("records are missing"));
    assert!(read.len() < 20 && !read.contains(&19));
}
