//! A partition is split under producers, readers and workers.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_client::operator::{HandlerError, Operator, Source, Step};
use weir_client::{
    Client, Error, ErrorKind, PendingDelivery, Producer, ProducerOptions, ReadUntil, ReaderOptions, Record,
    StreamRecord, WorkerOptions,
};
use weir_types::{BatchView, KeyHash, KeyRange, WeirError};

use crate::node::{CHILDREN, GROUP, Node};
use crate::partition::{Fault, Partition};

const KEYS: u64 = 7;

fn key(number: u64) -> String {
    format!("key-{}", number % KEYS)
}

async fn producer(client: &Client, options: ProducerOptions) -> Producer {
    client.producer("events", options).await.unwrap()
}

/// Sends numbers, each under its key.
async fn send(producer: &Producer, numbers: std::ops::Range<u64>) -> Vec<(u64, PendingDelivery)> {
    let mut pending = Vec::new();
    for number in numbers {
        let record = Record::new(number.to_string()).key(key(number));
        pending.push((number, producer.send(record).await.unwrap()));
        tokio::task::yield_now().await;
    }
    pending
}

/// Key and number of each record, by offset.
fn records(partition: &Partition) -> Vec<(String, u64)> {
    let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
    let batches = partition.log.iter().map(|(.., batch)| BatchView::parse(batch).unwrap());
    let records = batches.flat_map(|view| view.records(view.section()).map(Result::unwrap));
    records.map(|record| (text(record.key), text(record.value).parse().unwrap())).collect()
}

fn all_records(node: &Node) -> [Vec<(String, u64)>; 3] {
    let [left, right] = &node.children;
    [&node.partition, left, right].map(|partition| records(&partition.lock().unwrap()))
}

/// Every number is there once, where it was said to be, and those of a key are in order.
async fn check(node: &Node, sent: u64, pending: Vec<(u64, PendingDelivery)>) {
    let places = all_records(node);
    for (number, delivery) in pending {
        let delivery = delivery.await.unwrap();
        let found = &places[delivery.partition as usize][delivery.offset as usize];
        assert_eq!(*found, (key(number), number));
    }
    for (half, found) in [(0, &places[1]), (1, &places[2])] {
        assert!(!found.is_empty());
        let own = KeyRange::part(half, 2);
        assert!(found.iter().all(|(key, _)| own.contains(KeyHash::of(key.as_bytes()))));
    }
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (key, number) in places.into_iter().flatten() {
        by_key.entry(key).or_default().push(number);
    }
    for first in 0..KEYS {
        let expected: Vec<u64> = (first..sent).step_by(KEYS as usize).collect();
        assert_eq!(by_key[&key(first)], expected);
    }
}

async fn split_under(options: ProducerOptions) {
    let node = Node::alone().await;
    let client = node.client().await;
    let producer = producer(&client, options).await;
    let mut pending = send(&producer, 0..30).await;
    node.seal();
    pending.extend(send(&producer, 30..60).await);
    node.tell_split();
    pending.extend(send(&producer, 60..90).await);
    producer.flush().await;
    pending.extend(send(&producer, 90..120).await);
    producer.close().await;
    check(&node, 120, pending).await;
}

#[tokio::test]
async fn what_a_sealed_partition_refuses_goes_to_its_children_in_order_and_once() {
    split_under(ProducerOptions { batch_records_max: 4, ..ProducerOptions::default() }).await;
}

#[tokio::test]
async fn a_producer_without_ids_goes_on_in_the_children_too() {
    split_under(ProducerOptions { idempotent: false, ..ProducerOptions::default() }).await;
}

#[tokio::test]
async fn what_the_parent_took_in_before_a_lost_answer_is_not_sent_to_the_children() {
    let node = Node::alone().await;
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    node.faults([Fault::ServeAndHangUp]);
    let mut pending = send(&producer, 0..KEYS).await;
    node.appended(1).await;
    node.seal();
    node.tell_split();
    pending.extend(send(&producer, KEYS..40).await);
    producer.close().await;
    assert!(!records(&node.partition.lock().unwrap()).is_empty());
    check(&node, 40, pending).await;
}

#[tokio::test]
async fn a_producer_with_nothing_to_send_hears_of_the_split_by_the_table() {
    let node = Node::alone().await;
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    producer.send(Record::new("0").key(key(0))).await.unwrap().await.unwrap();
    node.tell_split();
    // Wherever the record goes to, it is told where; in the end all go to the children, though the parent would take them.
    let mut partitions = Vec::new();
    while partitions.last() != Some(&1) && partitions.last() != Some(&2) {
        tokio::time::sleep(Duration::from_millis(5)).await;
        partitions.push(producer.send(Record::new("1").key(key(0))).await.unwrap().await.unwrap().partition);
        assert!(partitions.len() < 1_000, "{partitions:?}");
    }
}

#[tokio::test]
async fn a_record_that_nobody_takes_over_in_time_surely_did_not_happen() {
    let node = Node::alone().await;
    let client = node.client().await;
    node.seal();
    let delivery_timeout = Duration::from_millis(150);
    let producer =
        producer(&client, ProducerOptions { delivery_timeout, ..ProducerOptions::default() }).await;
    let error = producer.send(Record::new("never")).await.unwrap().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    node.tell_split();
    producer.send(Record::new("late")).await.unwrap().await.unwrap();
}

#[tokio::test]
async fn a_record_for_a_partition_that_was_split_goes_to_the_child_of_its_key() {
    let node = Node::alone().await;
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    node.seal();
    let pending = producer.send_to(0, Record::new("0").key(key(0))).await.unwrap();
    node.tell_split();
    let delivery = pending.await.unwrap();
    let half = u32::from(KeyRange::part(1, 2).contains(KeyHash::of(key(0).as_bytes())));
    assert_eq!((delivery.partition, delivery.offset), (half + 1, 0));
    let again = producer.send_to(0, Record::new("1").key(key(0))).await.unwrap().await.unwrap();
    assert_eq!((again.partition, again.offset), (half + 1, 1));
    assert_eq!(producer.send_to(7, Record::new("2")).await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_operator_with_state_does_not_go_on_with_partitions_that_its_state_is_not_of() {
    let node = Node::alone().await;
    node.tell_split();
    let client = node.client().await;
    let count = |_: &StreamRecord, _: &mut Step<'_>| -> Result<(), HandlerError> { Ok(()) };
    let operator = Operator::new("count", "events", count);
    let error = operator.run(&client, CancellationToken::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "changelog-unfit"), "{error}");
}

/// A node whose partition has ten records.
async fn filled() -> Node {
    let node = Node::alone().await;
    fill(&node, 0..10).await;
    node
}

async fn fill(node: &Node, numbers: std::ops::Range<u64>) {
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    drop(send(&producer, numbers).await);
    producer.close().await;
}

/// Puts thirty more records into what will be its children. They are there before anybody reads them: an open fetch of the fake
/// is not told of what comes later.
async fn fill_children(node: &Node) {
    let other = Node::alone().await;
    other.seal();
    other.tell_split();
    fill(&other, 10..40).await;
    for (own, child) in node.children.iter().zip(&other.children) {
        *own.lock().unwrap() = std::mem::take(&mut *child.lock().unwrap());
    }
}

async fn split(node: &Node) {
    fill_children(node).await;
    node.seal();
    node.tell_split();
}

/// Brings the positions in, from where the source was before; every other one without a key.
async fn bring(node: &Node, positions: std::ops::Range<u64>, split_at: Option<u64>) {
    let client = node.client().await;
    let mut source = Source::open(&client, "log", "events").await.unwrap();
    let begin = source.position().map_or(0, |position| position + 1);
    for position in positions.skip(begin as usize) {
        if Some(position) == split_at {
            node.seal();
            node.tell_split();
        }
        let record = Record::new(position.to_string());
        let record = if position % 2 == 0 { record.key(key(position)) } else { record };
        source.send(position, record).await.unwrap();
    }
    source.close().await.unwrap();
}

#[tokio::test]
async fn a_source_brings_each_position_in_once_whatever_is_split_and_is_alone_in_the_children() {
    let node = Node::alone().await;
    bring(&node, 0..20, None).await;
    bring(&node, 0..40, Some(30)).await;
    bring(&node, 0..50, None).await;
    let mut values = Vec::new();
    for partition in [&node.partition, &node.children[0], &node.children[1]] {
        let partition = partition.lock().unwrap();
        assert_eq!(partition.fenced_at.first(), Some(&0), "before anything was appended");
        for (.., batch) in &partition.log {
            let view = BatchView::parse(batch).unwrap();
            let value = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
            values.extend(view.records(view.section()).map(|record| value(record.unwrap().value)));
        }
    }
    let mut positions: Vec<u64> = values.iter().map(|value| value.parse().unwrap()).collect();
    positions.sort_unstable();
    assert_eq!(positions, (0..50).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_reader_reads_the_children_after_their_parent() {
    let node = filled().await;
    split(&node).await;
    let client = node.client().await;
    for until in [ReadUntil::End, ReadUntil::Forever] {
        let options = ReaderOptions { until, ..ReaderOptions::default() };
        let mut reader = client.stream_reader("events", options).await.unwrap();
        let mut partitions = Vec::new();
        while partitions.len() < 40 {
            partitions.push(reader.next().await.unwrap().unwrap().partition);
        }
        assert!(partitions[..10].iter().all(|partition| *partition == 0));
        assert!(partitions[10..].iter().all(|partition| *partition > 0));
        if until == ReadUntil::End {
            assert!(reader.next().await.is_none());
        }
    }
}

#[tokio::test]
async fn a_reader_follows_a_split_that_happens_while_it_reads() {
    let node = filled().await;
    let client = node.client().await;
    let mut reader = client.stream_reader("events", ReaderOptions::default()).await.unwrap();
    let one = ReaderOptions { partitions: Some(vec![0]), ..ReaderOptions::default() };
    let mut of_one = client.stream_reader("events", one).await.unwrap();
    for offset in 0..10 {
        assert_eq!(reader.next().await.unwrap().unwrap().offset, offset);
        assert_eq!(of_one.next().await.unwrap().unwrap().offset, offset);
    }
    split(&node).await;
    let mut by_key: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for _ in 0..30 {
        let record = reader.next().await.unwrap().unwrap();
        let text = |bytes: Option<bytes::Bytes>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
        by_key.entry(text(record.key)).or_default().push(text(record.value).parse().unwrap());
    }
    for numbers in by_key.values() {
        assert!(numbers.is_sorted(), "{by_key:?}");
    }
    assert!(of_one.next().await.is_none(), "the partition that was asked for has ended");
}

#[tokio::test]
async fn a_reader_with_an_end_waits_for_the_table_that_names_the_children() {
    let node = filled().await;
    fill_children(&node).await;
    node.seal();
    let client = node.client().await;
    let reading = async {
        let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
        let mut reader = client.stream_reader("events", options).await.unwrap();
        let mut read = 0;
        while let Some(record) = reader.next().await {
            record.unwrap();
            read += 1;
        }
        read
    };
    tokio::pin!(reading);
    assert!(tokio::time::timeout(Duration::from_millis(100), &mut reading).await.is_err());
    node.tell_split();
    assert_eq!(reading.await, 40);
}

#[tokio::test]
async fn a_worker_opens_sessions_at_children_and_does_not_mind_that_their_parent_is_removed() {
    let node = Node::alone().await;
    let gone = WeirError::new(ErrorKind::NotFound, "partition-not-found", "partition 7 does not exist");
    node.partition.lock().unwrap().ready.push_back(1);
    let client = node.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    worker.next().await.unwrap().unwrap().ack().await.unwrap();
    node.children[1].lock().unwrap().ready.push_back(2);
    node.tell_split();
    let message = worker.next().await.unwrap().unwrap();
    assert_eq!((message.partition, message.token.group.0), (2, CHILDREN[1]));
    message.ack().await.unwrap();
    // Another one, which begins when the parent is about to go.
    node.partition.lock().unwrap().refusals.push_back(gone);
    node.children[0].lock().unwrap().ready.push_back(3);
    let mut late = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    node.refusals_left(0).await;
    node.tell_removed();
    let message = late.next().await.unwrap().unwrap();
    assert_ne!(message.token.group.0, GROUP);
    message.ack().await.unwrap();
    let more = tokio::time::timeout(Duration::from_millis(100), late.next()).await;
    assert!(more.is_err(), "no error, and no end: {more:?}");
    late.close().await.unwrap();
    worker.close().await.unwrap();
}
