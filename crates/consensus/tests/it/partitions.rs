//! Nodes that live but cannot reach each other.

use std::time::Duration;

use bytes::Bytes;
use weir_consensus::Limits;
use weir_storage::MemoryDisk;

use crate::cluster::{Cluster, Disk, timings, wait_until};
use crate::switchboard::Lane;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_isolated_leader_is_replaced_and_serves_no_stale_read() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    for other in &others {
        cluster.board.cut(old, *other);
    }
    let begun = tokio::time::Instant::now();
    wait_until("the others elect", || others.iter().any(|id| cluster.group(*id).leadership().borrow().here))
        .await;
    println!("replaced after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(3_500), "not by the backstop");
    let new = *others.iter().find(|id| cluster.group(**id).leadership().borrow().here).unwrap();
    let applied = cluster.group(new).submit(Bytes::from_static(b"new")).await.unwrap();

    let stale = cluster.group(old).read_barrier();
    let lost = cluster.group(old).submit(Bytes::from_static(b"lost"));
    assert!(tokio::time::timeout(Duration::from_secs(20), stale).await.unwrap().is_err());
    cluster.board.heal();
    assert!(tokio::time::timeout(Duration::from_secs(20), lost).await.unwrap().is_err());
    cluster.settle().await;
    let journal = cluster.group(old).machine().lock().entries.clone();
    assert!(journal.iter().any(|entry| entry.index == applied.index && entry.term == applied.term));
    assert_eq!(journal, cluster.group(new).machine().lock().entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_voter_that_no_leader_ever_reached_helps_to_replace_a_leader() {
    let disk = || Disk::Memory(MemoryDisk::new());
    let cluster = Cluster::unformed(3, Limits::default(), disk).await;
    for other in [1, 2] {
        cluster.board.cut(3, other);
    }
    cluster.form().await;
    let old = cluster.leader().await;
    let other = if old == 1 { 2 } else { 1 };
    cluster.propose(b"without the third").await;
    // The third is back at the moment at which the leader goes.
    cluster.board.heal();
    for away in [other, 3] {
        cluster.board.cut(old, away);
    }
    let begun = tokio::time::Instant::now();
    wait_until("the others elect", || cluster.group(other).leadership().borrow().here).await;
    println!("replaced after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(3_500), "not by the backstop");
    cluster.group(other).submit(Bytes::from_static(b"new")).await.unwrap();
    cluster.board.heal();
    cluster.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_witness_deposes_no_leader() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;
    let witness = (1..=3).find(|id| *id != leader).unwrap();
    cluster.board.cut(leader, witness);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cluster.group(leader).submit(Bytes::from_static(b"on")).await.unwrap();
    }
    assert_eq!(cluster.group(leader).status().term, term);
    cluster.board.heal();
    cluster.settle().await;
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_heard_but_replicates_nothing_is_replaced() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    for other in &others {
        cluster.board.mute(Lane::Data, old, *other);
    }
    let begun = tokio::time::Instant::now();
    wait_until("the others elect", || others.iter().any(|id| cluster.group(*id).leadership().borrow().here))
        .await;
    println!("replaced after {:?}", begun.elapsed());
    let new = *others.iter().find(|id| cluster.group(**id).leadership().borrow().here).unwrap();
    cluster.group(new).submit(Bytes::from_static(b"new")).await.unwrap();
    cluster.board.heal();
    cluster.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_connection_that_died_without_a_word_is_made_anew_before_its_requests_time_out() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    // What is left is a majority only over the connection that dies.
    for other in (1..=3).filter(|id| *id != away) {
        cluster.board.cut(away, other);
    }
    cluster.board.let_data_connections_die();
    let begun = tokio::time::Instant::now();
    cluster.propose(b"after all").await;
    println!("acknowledged after {:?}", begun.elapsed());
    assert!(begun.elapsed() < timings().stall, "not because a request timed out");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_nobody_could_replicate_no_leader_is_deposed() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let term = cluster.group(leader).status().term;
    for (a, b) in [(1, 2), (1, 3), (2, 3)] {
        cluster.board.mute(Lane::Data, a, b);
    }
    // Longer than it takes to call a lane mute, and to elect twice.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(cluster.group(leader).status().term, term);
    cluster.board.heal();
    cluster.settle().await;
    assert_eq!(cluster.leader().await, leader);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survivors_whose_control_lanes_are_dead_elect_over_their_data_lanes() {
    let mut cluster = Cluster::start(3).await;
    cluster.settle().await;
    let old = cluster.leader().await;
    let others: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    cluster.board.mute(Lane::Control, others[0], others[1]);
    // Until each has missed the other's pings.
    tokio::time::sleep(Duration::from_secs(1)).await;
    cluster.kill(old).await;
    let begun = tokio::time::Instant::now();
    wait_until("the others elect", || others.iter().any(|id| cluster.group(*id).leadership().borrow().here))
        .await;
    println!("replaced after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_millis(3_500), "not by the backstop");
}
