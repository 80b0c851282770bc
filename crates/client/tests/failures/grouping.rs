//! A partition is split under a member of a consumer group.

use std::time::Duration;

use weir_client::{ConsumerOptions, GroupStart, ProducerOptions, Record, StreamConsumer};

use crate::node::{CHILDREN, GROUP, Node};

/// A node whose partition has ten records and is split, and whose children have thirty.
async fn split() -> Node {
    let node = Node::alone().await;
    fill(&node, 10).await;
    node.seal();
    node.tell_split();
    fill(&node, 30).await;
    node
}

async fn fill(node: &Node, count: u64) {
    let producer = node.client().await.producer("events", ProducerOptions::default()).await.unwrap();
    for number in 0..count {
        drop(producer.send(Record::new("v").key(format!("key-{number}"))).await.unwrap());
    }
    producer.close().await;
}

async fn join(node: &Node, options: ConsumerOptions) -> StreamConsumer {
    node.client().await.stream_consumer("group", &["events"], options).await.unwrap()
}

async fn partitions(consumer: &mut StreamConsumer, count: usize) -> Vec<u32> {
    let mut partitions = Vec::new();
    while partitions.len() < count {
        let next = tokio::time::timeout(Duration::from_secs(20), consumer.next()).await;
        partitions.push(next.expect("another record").unwrap().unwrap().partition);
    }
    partitions
}

async fn nothing_more(consumer: &mut StreamConsumer) {
    let more = tokio::time::timeout(Duration::from_millis(150), consumer.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn the_children_come_when_all_of_their_parent_is_handled() {
    let node = split().await;
    let mut consumer = join(&node, ConsumerOptions::default()).await;
    let read = partitions(&mut consumer, 40).await;
    assert!(read[..10].iter().all(|partition| *partition == 0), "{read:?}");
    assert!(read[10..].iter().all(|partition| *partition > 0), "{read:?}");
    assert_eq!(node.positions.lock().unwrap().committed.get(&GROUP), Some(&10));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_caller_that_commits_itself_gets_the_children_when_it_has() {
    let node = split().await;
    let options = ConsumerOptions { commit_on_revoke: false, ..ConsumerOptions::default() };
    let mut consumer = join(&node, options).await;
    assert_eq!(partitions(&mut consumer, 10).await, [0; 10]);
    nothing_more(&mut consumer).await;
    assert!(node.positions.lock().unwrap().finished.is_empty());
    consumer.commit().await.unwrap();
    assert!(partitions(&mut consumer, 30).await.iter().all(|partition| *partition > 0));
    consumer.close().await.unwrap();
}

#[tokio::test]
async fn a_group_that_begins_at_the_end_reads_children_from_when_it_was_made() {
    let node = split().await;
    let ends = node.children.each_ref().map(|child| child.lock().unwrap().end);
    for (child, end) in node.children.iter().zip(ends) {
        child.lock().unwrap().at_time = end - 1;
    }
    let options = ConsumerOptions { start: GroupStart::Latest, ..ConsumerOptions::default() };
    let mut consumer = join(&node, options).await;
    let mut read = partitions(&mut consumer, 2).await;
    read.sort_unstable();
    assert_eq!(read, [1, 2]);
    nothing_more(&mut consumer).await;
    let committed = node.positions.lock().unwrap().committed.clone();
    assert_eq!(committed.get(&GROUP), Some(&10), "the end, though nothing of it was read");
    assert!(CHILDREN.iter().all(|child| !committed.contains_key(child)));
    consumer.close().await.unwrap();
}
