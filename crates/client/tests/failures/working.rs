//! Working through broken connections: settles that are asked for again, leases that are lost.

use std::sync::Arc;
use std::time::Duration;

use weir_client::{ErrorKind, LeaseToken, Settle, SettleAction, WorkerOptions};
use weir_proto::v1;
use weir_types::WeirError;

use crate::node::Node;
use crate::partition::Fault;

async fn with_messages(count: u64) -> Node {
    let node = Node::alone().await;
    node.partition.lock().unwrap().ready.extend(0..count);
    node
}

#[tokio::test]
async fn every_message_is_handed_out_within_the_credit_and_acked() {
    let node = with_messages(40).await;
    let client = node.client().await;
    let options = WorkerOptions { credit: 4, ..WorkerOptions::default() };
    let mut worker = client.queue_worker("tasks", options).await.unwrap();
    for expected in 0..40 {
        let message = worker.next().await.unwrap().unwrap();
        assert_eq!((message.message_id, message.lease_id), (expected, expected + 100));
        message.ack().await.unwrap();
    }
    worker.close().await.unwrap();
    assert_eq!(node.partition.lock().unwrap().sessions.len(), 1);
}

#[tokio::test]
async fn an_ack_whose_answer_was_lost_is_repeated_under_its_id_and_succeeds() {
    let node = with_messages(2).await;
    let client = node.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    let first = worker.next().await.unwrap().unwrap();
    let second = worker.next().await.unwrap().unwrap();
    node.faults([Fault::ServeAndHangUp, Fault::HangUp]);
    first.ack().await.unwrap();
    let partition = node.partition.lock().unwrap();
    let sessions: Vec<_> = partition.sessions.iter().map(|start| start.session_id).collect();
    assert!(sessions.len() >= 2 && sessions.iter().all(|id| *id == sessions[0]), "{sessions:?}");
    assert!(partition.sessions[1].held_lease_ids.contains(&second.lease_id));
}

#[tokio::test]
async fn a_lost_lease_cancels_the_message() {
    let node = with_messages(1).await;
    let client = node.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    let message = worker.next().await.unwrap().unwrap();
    let lost = WeirError::new(ErrorKind::LeaseLost, "lease-lost", "somebody else has it");
    node.faults([Fault::Refuse(lost)]);
    let error = message.extend(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    message.cancelled().await;
}

#[tokio::test]
async fn a_settle_that_is_always_refused_surely_did_not_happen() {
    let node = with_messages(1).await;
    let client = node.client().await;
    let options = WorkerOptions { settle_timeout: Duration::from_millis(150), ..WorkerOptions::default() };
    let mut worker = client.queue_worker("tasks", options).await.unwrap();
    let message = worker.next().await.unwrap().unwrap();
    node.partition.lock().unwrap().always =
        Some(Fault::Refuse(WeirError::new(ErrorKind::Retry, "no-quorum", "wait")));
    let error = message.ack().await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Retry, "client-timeout"));
}

#[tokio::test]
async fn a_dropped_message_is_nacked() {
    let node = with_messages(1).await;
    let client = node.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    drop(worker.next().await.unwrap().unwrap());
    // What is asked for before a close is answered before it.
    worker.close().await.unwrap();
    let partition = node.partition.lock().unwrap();
    let actions: Vec<_> = partition.settled[0].1.items.iter().map(v1::SettleItem::action).collect();
    assert_eq!(actions, [v1::SettleAction::Nack]);
}

#[tokio::test]
async fn messages_that_nobody_took_are_not_settled_by_a_close() {
    let node = with_messages(5).await;
    let client = node.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    worker.next().await.unwrap().unwrap().ack().await.unwrap();
    worker.close().await.unwrap();
    let partition = node.partition.lock().unwrap();
    let settled: usize = partition.settled.iter().map(|(_, request)| request.items.len()).sum();
    assert_eq!(settled, 1);
}

#[tokio::test]
async fn a_worker_that_is_closed_while_its_partition_moves_ends_in_good_order() {
    let old = with_messages(1).await;
    let next = Node::start(Arc::clone(&old.partition)).await;
    let client = old.client().await;
    let mut worker = client.queue_worker("tasks", WorkerOptions::default()).await.unwrap();
    worker.next().await.unwrap().unwrap().ack().await.unwrap();
    let refusal = WeirError::new(ErrorKind::Redirect, "not-leader", "somebody else leads");
    old.partition.lock().unwrap().refusals.extend(vec![refusal; 4]);
    old.tell_routing(&[&next.address, &old.address]);
    old.refusals_left(3).await;
    worker.close().await.unwrap();
    let partition = old.partition.lock().unwrap();
    assert_eq!(
        (partition.refusals.len(), partition.sessions.len()),
        (0, 2),
        "the end was told to the next leader"
    );
}

#[tokio::test]
async fn a_token_is_settled_through_lost_answers_too() {
    let node = with_messages(0).await;
    let client = node.client().await;
    node.faults([Fault::ServeAndHangUp]);
    let token: LeaseToken = "v1.7.1.101".parse().unwrap();
    let results = client.settle(&[Settle { token, action: SettleAction::Ack }]).await;
    assert!(results[0].is_ok());
    let again = client.settle(&[Settle { token, action: SettleAction::Ack }]).await;
    assert_eq!(again[0].as_ref().unwrap_err().kind(), ErrorKind::LeaseLost);
}

#[tokio::test]
async fn a_settle_that_a_frozen_leader_holds_is_repeated_at_the_next_one() {
    let next = with_messages(0).await;
    let frozen = Node::start(Arc::clone(&next.partition)).await;
    next.tell_routing(&[&frozen.address, &next.address]);
    let client = next.client().await;
    next.faults([Fault::ServeAndFreeze]);
    let token: LeaseToken = "v1.7.1.101".parse().unwrap();
    let settles = [Settle { token, action: SettleAction::Ack }];
    let moving = async {
        next.settled(1).await;
        next.tell_routing(&[&next.address, &frozen.address]);
    };
    let (results, ()) = tokio::join!(client.settle(&settles), moving);
    assert!(results[0].is_ok(), "{results:?}");
    assert_eq!(next.partition.lock().unwrap().settled.len(), 1, "under the same id");
}
