//! Three nodes: replicate, elect, read, restart.

use std::time::Duration;

use tokio::time::Instant;
use weir_consensus::ProposeError;

use crate::cluster::Cluster;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_elect_and_replicate() {
    let cluster = Cluster::start(3).await;
    for round in 0..50u32 {
        cluster.propose(&round.to_be_bytes()).await;
    }
    cluster.settle().await;
    let journals: Vec<_> = (1..=3).map(|id| cluster.group(id).machine().lock().entries.clone()).collect();
    assert_eq!(journals[0].len(), 51);
    assert_eq!(journals[0], journals[1]);
    assert_eq!(journals[0], journals[2]);
    let third = journals[0][2];
    let payload = cluster.group(3).read_entry(third.term, third.index).await.unwrap();
    assert_eq!(payload, 2u32.to_be_bytes().as_slice());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_leader_is_replaced_without_waiting_for_timeouts() {
    let mut cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let begun = Instant::now();
    let disk = cluster.kill(leader).await;
    let killed = begun.elapsed();
    cluster.propose(b"after").await;
    let took = begun.elapsed();
    println!("kill {killed:?}, writable again after {took:?}");
    assert!(took < Duration::from_millis(3_500), "the backstop needs over four seconds; took {took:?}");
    cluster.boot(leader, disk).await;
    cluster.settle().await;
    let journals: Vec<_> = (1..=3).map(|id| cluster.group(id).machine().lock().entries.clone()).collect();
    assert_eq!(journals[0], journals[1]);
    assert_eq!(journals[0], journals[2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_killed_at_once_comes_back_with_everything_acknowledged() {
    let mut cluster = Cluster::start(3).await;
    let mut last = cluster.propose(b"0").await;
    for _ in 0..20 {
        last = cluster.propose(b"x").await;
    }
    let mut disks = Vec::new();
    for id in 1..=3 {
        disks.push(cluster.kill(id).await);
    }
    let begun = Instant::now();
    for (id, disk) in (1..).zip(disks) {
        cluster.boot(id, disk).await;
    }
    cluster.propose(b"again").await;
    println!("writable again after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(3_500), "not by the backstop");
    cluster.settle().await;
    for id in 1..=3 {
        let journal = cluster.group(id).machine();
        let found = journal.lock().entries.iter().any(|entry| (entry.term, entry.index) == last);
        assert!(found, "node {id} lost an acknowledged entry");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_leader_gives_read_barriers_and_they_cover_what_was_acknowledged() {
    let cluster = Cluster::start(3).await;
    let (_, index) = cluster.propose(b"x").await;
    let leader = cluster.leader().await;
    let barriers = (0..10).map(|_| cluster.group(leader).read_barrier());
    for barrier in futures::future::join_all(barriers).await {
        assert!(barrier.unwrap() >= index);
    }
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let refused = cluster.group(follower).read_barrier().await.unwrap_err();
    assert!(matches!(refused, ProposeError::NotLeader { leader: Some(node) } if node.0 == leader));
}
