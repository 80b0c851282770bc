//! A follower that was away while the log it needs was purged and partly retired.

use std::sync::Arc;
use std::time::Duration;

use weir_consensus::{Limits, ReadError};
use weir_types::LogIndex;

use crate::cluster::{Cluster, Disk, RETIRE, wait_until};

/// So little log is kept that a follower that misses a moment needs a snapshot.
fn limits() -> Limits {
    Limits { log_entries_kept: 40, log_bytes_kept: 1 << 30, ..Limits::default() }
}

/// Writes enough that the follower's place in the log is purged and retired.
async fn leave_behind(cluster: &Cluster) -> LogIndex {
    for round in 0..150u32 {
        cluster.propose(&[round as u8; 2_000]).await;
    }
    cluster.propose(RETIRE).await;
    for round in 0..150u32 {
        cluster.propose(&[round as u8; 2_000]).await;
    }
    let (_, last) = cluster.propose(b"last").await;
    last
}

async fn serves_everything_retained(cluster: &Cluster, id: u64) {
    let group = cluster.group(id);
    let (retained, first_retired) = {
        let machine = group.machine();
        let journal = machine.lock();
        (journal.entries[journal.retired..].to_vec(), journal.entries[0])
    };
    assert!(retained.len() > 100);
    for entry in &retained {
        group.read_entry(entry.term, entry.index).await.unwrap();
    }
    let gone = group.read_entry(first_retired.term, first_retired.index).await;
    assert!(matches!(gone, Err(ReadError::Gone)), "{gone:?}");
    let from = retained[0].index;
    let read = group.read_entries(from, retained.last().unwrap().index.next(), 10_000).await.unwrap();
    assert_eq!(read[0].0, retained[0]);
    assert!((4..=6).contains(&read.len()), "cut by bytes: {}", read.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_returns_by_snapshot_and_can_lead() {
    returns_by_snapshot(Cluster::start_with(3, limits()).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_returns_by_snapshot_on_rocksdb() {
    let disk = || Disk::Rocks(Arc::new(tempfile::tempdir().unwrap()));
    let mut cluster = returns_by_snapshot(Cluster::start_on(3, limits(), disk).await).await;
    // RocksDB's threads must not outlive the process's statics.
    for id in 1..=3 {
        cluster.kill(id).await;
    }
}

async fn returns_by_snapshot(mut cluster: Cluster) -> Cluster {
    cluster.settle().await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let disk = cluster.kill(away).await;
    let last = leave_behind(&cluster).await;
    cluster.boot(away, disk).await;
    cluster.wait_applied(away, last).await;
    cluster.settle().await;
    serves_everything_retained(&cluster, away).await;
    let status = cluster.group(away).status();
    assert!(status.retained_from > LogIndex(100));

    // It leads, and what it holds survives its own restart.
    let leader = cluster.leader().await;
    cluster.transfer(leader, away).await;
    wait_until("the returned node leads", || cluster.group(away).leadership().borrow().here).await;
    cluster.propose(b"by the returned one").await;
    cluster.settle().await;
    let disk = cluster.kill(away).await;
    cluster.boot(away, disk).await;
    cluster.settle().await;
    serves_everything_retained(&cluster, away).await;
    let journals: Vec<_> = (1..=3).map(|id| cluster.group(id).machine().lock().entries.clone()).collect();
    assert_eq!(journals[0], journals[1]);
    assert_eq!(journals[0], journals[2]);
    cluster
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_killed_midway_starts_over() {
    let mut cluster = Cluster::start_with(3, limits()).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let mut disk = cluster.kill(away).await;
    let last = leave_behind(&cluster).await;
    // Killed after ever longer, so that some kill hits the transfer wherever it is.
    for pause in [1, 3, 5, 8, 12, 20, 40] {
        cluster.boot(away, disk).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        disk = cluster.kill(away).await;
    }
    cluster.boot(away, disk).await;
    cluster.wait_applied(away, last).await;
    serves_everything_retained(&cluster, away).await;
}
