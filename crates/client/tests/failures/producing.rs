//! Producing through redirects, refusals and lost answers.

use std::sync::Arc;
use std::time::Duration;

use weir_client::{Client, Codec, Delivery, Error, ErrorKind, Producer, ProducerOptions, Record};
use weir_types::{BatchHeader, WeirError};

use crate::node::Node;
use crate::partition::Fault;

fn refuse(kind: ErrorKind) -> Fault {
    Fault::Refuse(WeirError::new(kind, "refused", "by order of the test"))
}

async fn producer(client: &Client, options: ProducerOptions) -> Producer {
    client.producer("events", options).await.unwrap()
}

async fn send_all(producer: &Producer, count: u64) -> Vec<Delivery> {
    let mut pending = Vec::new();
    for n in 0..count {
        pending.push(producer.send(Record::new(n.to_string())).await.unwrap());
        // Lets the lane send, so that there are several batches.
        tokio::task::yield_now().await;
    }
    let mut deliveries = Vec::new();
    for delivery in pending {
        deliveries.push(delivery.await.unwrap());
    }
    deliveries
}

fn offsets(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.offset).collect()
}

#[tokio::test]
async fn records_are_appended_in_order_and_told_their_offsets() {
    let node = Node::alone().await;
    let client = node.client().await;
    let producer =
        producer(&client, ProducerOptions { codec: Codec::Lz4, ..ProducerOptions::default() }).await;
    assert_eq!(offsets(&send_all(&producer, 50).await), (0..50).collect::<Vec<_>>());
    producer.close().await;
    assert_eq!(node.partition.lock().unwrap().end, 50);
}

#[tokio::test]
async fn a_redirect_is_followed() {
    let leader = Node::alone().await;
    let follower = Node::alone().await;
    let error = WeirError::new(ErrorKind::Redirect, "not-leader", "elsewhere");
    let redirect = Fault::Refuse(error.at_leader(Some(leader.address.clone())));
    follower.partition.lock().unwrap().always = Some(redirect);
    let client = follower.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    assert_eq!(offsets(&send_all(&producer, 20).await), (0..20).collect::<Vec<_>>());
    assert_eq!(leader.partition.lock().unwrap().end, 20);
}

#[tokio::test]
async fn a_dead_leader_is_replaced_by_another_voter() {
    let alive = Node::alone().await;
    let dead = Node::alone().await;
    alive.tell_routing(&[&dead.address, &alive.address]);
    drop(dead);
    let client = alive.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    assert_eq!(send_all(&producer, 3).await.len(), 3);
}

#[tokio::test]
async fn what_a_frozen_leader_holds_goes_to_the_next_one_and_is_appended_once() {
    let next = Node::alone().await;
    let frozen = Node::start(Arc::clone(&next.partition)).await;
    next.tell_routing(&[&frozen.address, &next.address]);
    let client = next.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    next.faults([Fault::ServeAndFreeze]);
    let pending = producer.send(Record::new("held")).await.unwrap();
    next.appended(1).await;
    next.tell_routing(&[&next.address, &frozen.address]);
    let delivery = pending.await.unwrap();
    assert_eq!(delivery, Delivery { partition: 0, offset: 0, duplicate: true });
    assert_eq!(offsets(&send_all(&producer, 3).await), [1, 2, 3]);
}

#[tokio::test]
async fn a_lost_answer_is_asked_for_again_and_nothing_is_doubled() {
    let node = Node::alone().await;
    node.faults([Fault::ServeAndHangUp]);
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    let delivery = producer.send(Record::new("once")).await.unwrap().await.unwrap();
    assert_eq!(delivery, Delivery { partition: 0, offset: 0, duplicate: true });
    assert_eq!(node.partition.lock().unwrap().end, 1);
}

#[tokio::test]
async fn refusals_and_broken_connections_change_neither_order_nor_number() {
    let node = Node::alone().await;
    let faults =
        [refuse(ErrorKind::Retry), Fault::ServeAndHangUp, Fault::HangUp, refuse(ErrorKind::Throttled)];
    node.faults(faults);
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    assert_eq!(offsets(&send_all(&producer, 40).await), (0..40).collect::<Vec<_>>());
    assert_eq!(node.partition.lock().unwrap().end, 40);
}

#[tokio::test]
async fn what_follows_a_batch_that_failed_for_good_is_sent_under_another_id() {
    let node = Node::alone().await;
    node.faults([refuse(ErrorKind::Invalid)]);
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    let refused = producer.send(Record::new("bad")).await.unwrap().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert_eq!(offsets(&send_all(&producer, 10).await), (0..10).collect::<Vec<_>>());
    let partition = node.partition.lock().unwrap();
    assert_eq!(partition.log[0].0.unwrap().base_sequence, 0);
    let counts = partition.log.iter().map(|(.., batch)| BatchHeader::parse(batch).unwrap().count);
    assert_eq!(counts.sum::<u32>(), 10);
}

#[tokio::test]
async fn a_record_that_was_always_refused_surely_did_not_happen() {
    let node = Node::alone().await;
    node.partition.lock().unwrap().always = Some(refuse(ErrorKind::Retry));
    let client = node.client().await;
    let delivery_timeout = Duration::from_millis(150);
    let producer =
        producer(&client, ProducerOptions { delivery_timeout, ..ProducerOptions::default() }).await;
    let error = producer.send(Record::new("never")).await.unwrap().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_record_whose_answer_was_lost_until_the_end_may_have_happened() {
    let node = Node::alone().await;
    node.faults([Fault::ServeAndHangUp]);
    node.partition.lock().unwrap().always = Some(refuse(ErrorKind::Retry));
    let client = node.client().await;
    let delivery_timeout = Duration::from_millis(150);
    let producer =
        producer(&client, ProducerOptions { delivery_timeout, ..ProducerOptions::default() }).await;
    let error = producer.send(Record::new("perhaps")).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
}

#[tokio::test]
async fn a_fenced_producer_takes_no_more_records() {
    let node = Node::alone().await;
    node.faults([Fault::Refuse(WeirError::new(ErrorKind::Fenced, "producer-fenced", "epoch 1 came"))]);
    let client = node.client().await;
    let producer = producer(&client, ProducerOptions::default()).await;
    let error = producer.send(Record::new("late")).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced);
    assert_eq!(producer.send(Record::new("later")).await.unwrap_err().kind(), ErrorKind::Fenced);
}

#[tokio::test]
async fn without_ids_a_lost_answer_is_not_repeated() {
    let node = Node::alone().await;
    node.faults([Fault::ServeAndHangUp]);
    let client = node.client().await;
    let producer =
        producer(&client, ProducerOptions { idempotent: false, ..ProducerOptions::default() }).await;
    let error = producer.send(Record::new("perhaps")).await.unwrap().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutcomeUnknown, "{error}");
    assert_eq!(node.partition.lock().unwrap().end, 1);
}
