//! The registry: opening, closing, handing over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use weir_consensus::{Error, Machine, ProposeError, Role};
use weir_types::{LogIndex, NodeId, ReplicaId};

use crate::cluster::{Cluster, GROUP, Journal, spec, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_hands_over_and_a_retrying_proposer_sees_no_error() {
    let cluster = Arc::new(Cluster::start(3).await);
    cluster.settle().await;
    let leader = cluster.leader().await;
    let stop = Arc::new(AtomicBool::new(false));
    let proposer = {
        let (cluster, stop) = (Arc::clone(&cluster), Arc::clone(&stop));
        tokio::spawn(async move {
            let mut count = 0;
            while !stop.load(Ordering::Acquire) {
                cluster.propose(b"on").await;
                count += 1;
            }
            count
        })
    };
    let begun = tokio::time::Instant::now();
    cluster.nodes[&leader].groups.hand_over(Duration::from_secs(5)).await;
    println!("handed over in {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3));
    assert!(!cluster.group(leader).leadership().borrow().here);
    let next = cluster.leader().await;
    assert_ne!(next, leader);
    stop.store(true, Ordering::Release);
    assert!(proposer.await.unwrap() > 0);
    cluster.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_twice_gives_the_same_group_and_closing_stops_it() {
    let cluster = Cluster::start(1).await;
    cluster.settle().await;
    let groups = &cluster.nodes[&1].groups;
    let again = groups.open(spec(1), Journal::restore).await.unwrap();
    assert!(Arc::ptr_eq(&again.machine(), &cluster.group(1).machine()));
    let mut other = spec(1);
    other.replica = ReplicaId(999);
    let refused = groups.open(other, Journal::restore).await.err();
    assert!(matches!(refused, Some(Error::AlreadyOpen { .. })));

    groups.close(GROUP).await;
    assert_eq!(again.submit(Bytes::new()).await.unwrap_err(), ProposeError::Stopped);
    assert_eq!(again.read_barrier().await.unwrap_err(), ProposeError::Stopped);
    assert_eq!(again.status().role, Role::Stopped);
    let reopened = groups.open(spec(1), Journal::restore).await.unwrap();
    assert_eq!(reopened.machine().lock().entries.len(), 1, "its data are kept");
    wait_until("a group of one leads again at once", || reopened.leadership().borrow().here).await;
    assert_eq!(reopened.quorum_contact(), Some(Duration::ZERO));

    groups.destroy(spec(1)).await.unwrap();
    let blank = groups.open(spec(1), Journal::restore).await.unwrap();
    assert!(blank.machine().lock().entries.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_are_committed_in_the_order_of_the_calls() {
    let cluster = Cluster::start(3).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader);
    let submitted: Vec<_> = (0..200u32).map(|_| group.submit(Bytes::from_static(b"x"))).collect();
    let mut last = LogIndex(0);
    for (place, outcome) in futures::future::join_all(submitted).await.into_iter().enumerate() {
        let applied = outcome.unwrap();
        assert!(applied.index > last);
        assert_eq!(applied.reply, place as u64);
        last = applied.index;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn initialising_again_changes_nothing() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let voters: BTreeMap<_, _> = (1..=3).map(|id| (ReplicaId(100 + id), NodeId(id))).collect();
    for id in 1..=3 {
        cluster.group(id).initialize(voters.clone()).await.unwrap();
    }
    let refused = cluster.group(1).initialize(BTreeMap::from([(ReplicaId(7), NodeId(7))])).await;
    assert!(refused.is_ok(), "the set is not looked at any more");
    assert_eq!(cluster.group(2).status().voters.len(), 3);
}
