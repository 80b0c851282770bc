//! Lanes follow the routing table: what waits and what comes, as partitions are split and merged.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use futures::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use weir_proto::v1;
use weir_types::{GroupId, KeyHash, KeyRange};

use super::intake::Intake;
use super::lanes::Lanes;
use super::stamps::Stamps;
use crate::call::Core;
use crate::routing::RoutingTable;
use crate::{ClientOptions, Delivery, PendingDelivery, ProducerOptions, Record};

/// A partition of this number, in the group of the same number, that owns a part of the keys.
fn partition(number: u32, (part, of): (u32, u32), parents: &[u32]) -> v1::RoutingPartition {
    let keys = KeyRange::part(part, of);
    v1::RoutingPartition {
        partition: number,
        group_id: number,
        key_first: keys.first().0,
        key_last: keys.last().0,
        parents: parents.to_vec(),
        ..v1::RoutingPartition::default()
    }
}

fn table(partitions: Vec<v1::RoutingPartition>, sealed: Vec<v1::RoutingPartition>) -> RoutingTable {
    RoutingTable::from_wire(v1::RoutingTable {
        topics: vec![v1::RoutingTopic {
            topic_id: 1,
            name: "t".to_owned(),
            kind: v1::TopicKind::Stream as i32,
            partitions,
            sealed,
        }],
        ..v1::RoutingTable::default()
    })
}

fn whole() -> RoutingTable {
    table(vec![partition(1, (0, 1), &[])], Vec::new())
}

fn split() -> RoutingTable {
    let children = vec![partition(2, (0, 2), &[1]), partition(3, (1, 2), &[1])];
    table(children, vec![partition(1, (0, 1), &[])])
}

fn merged() -> RoutingTable {
    let sealed = vec![partition(2, (0, 2), &[]), partition(3, (1, 2), &[])];
    table(vec![partition(4, (0, 1), &[2, 3])], sealed)
}

/// Lanes at a table that no node can be asked about: what is sent stays in the intakes.
fn lanes(begin: RoutingTable) -> (Arc<Core>, Arc<Lanes>) {
    let core = Arc::new(Core::new(ClientOptions::new(["127.0.0.1:1"])));
    core.router.update(begin);
    let topic = core.router.table().topic("t").unwrap();
    let stamps = Arc::new(Stamps::new(Arc::clone(&core), None));
    let lanes = Lanes::open(&core, &topic, &stamps, &ProducerOptions::default());
    (core, lanes)
}

fn room() -> OwnedSemaphorePermit {
    static ROOM: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1000)));
    Arc::clone(&ROOM).try_acquire_owned().unwrap()
}

fn send(lanes: &Lanes, key: &str) -> PendingDelivery {
    let due = Instant::now() + Duration::from_mins(1);
    lanes.put(&Record::new("v").key(key.to_owned()), 0, room(), due).unwrap()
}

fn send_each(lanes: &Lanes, keys: &[String]) {
    for key in keys {
        drop(send(lanes, key));
    }
}

/// Records that wait in the open lanes, by partition.
fn waiting(lanes: &Lanes) -> Vec<(u32, u32)> {
    let count = |intake: &Intake| std::iter::from_fn(|| intake.take()).map(|batch| batch.count()).sum();
    lanes.intakes().into_iter().map(|(partition, intake)| (partition, count(&intake))).collect()
}

fn hand_over(lanes: &Arc<Lanes>, group: u32) -> bool {
    lanes.hand_over(GroupId(group), || None)
}

fn half_of(key: &str) -> u32 {
    u32::from(KeyRange::part(1, 2).contains(KeyHash::of(key.as_bytes())))
}

#[tokio::test]
async fn what_waits_and_what_comes_later_goes_to_the_children() {
    let (core, lanes) = lanes(whole());
    let keys: Vec<String> = (0..20).map(|n| format!("key-{n}")).collect();
    send_each(&lanes, &keys);
    assert!(!hand_over(&lanes, 1), "the table shows nobody else");
    send_each(&lanes, &keys);
    core.router.update(split());
    assert!(hand_over(&lanes, 1));
    send_each(&lanes, &keys);
    let right = 3 * keys.iter().map(|key| half_of(key)).sum::<u32>();
    assert_eq!(waiting(&lanes), [(2, 60 - right), (3, right)]);
}

#[tokio::test]
async fn partitions_that_are_merged_one_after_the_other_end_in_the_same_lane() {
    let (core, lanes) = lanes(split());
    let keys: Vec<String> = (0..20).map(|n| format!("key-{n}")).collect();
    send_each(&lanes, &keys);
    core.router.update(merged());
    let right = keys.iter().map(|key| half_of(key)).sum::<u32>();
    assert!(hand_over(&lanes, 3));
    send_each(&lanes, &keys);
    assert_eq!(waiting(&lanes), [(2, 2 * (20 - right)), (4, 2 * right)]);
    assert!(hand_over(&lanes, 2));
    send_each(&lanes, &keys);
    assert_eq!(waiting(&lanes), [(4, 20)]);
}

#[tokio::test]
async fn a_lane_is_never_opened_again_whatever_an_old_table_says() {
    let (core, lanes) = lanes(whole());
    core.router.update(split());
    assert!(hand_over(&lanes, 1));
    core.router.update(whole());
    assert!(!hand_over(&lanes, 2), "it would come back to the one that is sealed");
    core.router.update(merged());
    assert!(hand_over(&lanes, 2));
    assert!(hand_over(&lanes, 3));
    assert_eq!(waiting(&lanes), [(4, 0)]);
}

#[tokio::test]
async fn a_record_for_a_sealed_partition_goes_to_the_child_of_its_key() {
    let (core, lanes) = lanes(split());
    assert_eq!(lanes.find(9).unwrap_err().code(), "partition-not-found");
    lanes.find(1).unwrap();
    let due = Instant::now() + Duration::from_mins(1);
    let right = (0..100).map(|n| format!("key-{n}")).find(|key| half_of(key) == 1).unwrap();
    drop(lanes.put_to(1, &Record::new("v").key(right), 0, room(), due).unwrap());
    drop(lanes.put_to(1, &Record::new("v"), 0, room(), due).unwrap());
    drop(lanes.put_to(3, &Record::new("v"), 0, room(), due).unwrap());
    assert_eq!(waiting(&lanes), [(2, 1), (3, 2)]);
    core.router.update(merged());
    lanes.find(4).unwrap();
    drop(lanes.put_to(4, &Record::new("v"), 0, room(), due).unwrap());
    assert_eq!(waiting(&lanes), [(2, 0), (3, 0), (4, 1)]);
}

#[tokio::test]
async fn a_flush_waits_for_what_went_on_elsewhere() {
    let (core, lanes) = lanes(whole());
    let pending = send(&lanes, "k");
    let mut flush = std::pin::pin!(lanes.flush());
    assert!(flush.as_mut().now_or_never().is_none());
    core.router.update(split());
    assert!(hand_over(&lanes, 1));
    assert!(flush.as_mut().now_or_never().is_none(), "it is not answered yet");
    for (partition, intake) in lanes.intakes() {
        if let Some(batch) = intake.take() {
            batch.answer(Ok(Delivery { partition, offset: 5, duplicate: false }));
        }
    }
    assert!(flush.as_mut().now_or_never().is_some());
    assert_eq!(pending.now_or_never().unwrap().unwrap().offset, 5);
}
