//! A follower that was away while the log it needs was purged and partly retired.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_consensus::{Limits, ReadError};
use weir_types::LogIndex;

use crate::cluster::{Cluster, Disk, RETIRE, wait_until};
use crate::switchboard::Switchboard;

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

/// Bytes of a snapshot after which it is held up: some, and by far not all of the 300 KB that are retained.
const MIDWAY: u64 = 100_000;

/// Leaves a stopped node behind and boots it, until a snapshot to it is held up midway. Gives the last entry.
async fn boot_into_held_snapshot(cluster: &mut Cluster, away: u64, disk: Disk) -> LogIndex {
    cluster.board.hold_snapshots_after(Some(MIDWAY));
    boot_into_snapshot(cluster, away, disk, async |board| board.snapshot_held_up().await).await
}

/// Leaves a stopped node behind and boots it, until a snapshot to it comes so far. A leader purges its log in the
/// background, so a node may find what it lacks there once more; then it is left behind again. Gives the last entry.
async fn boot_into_snapshot(
    cluster: &mut Cluster,
    away: u64,
    mut disk: Disk,
    comes_so_far: impl AsyncFn(&Switchboard),
) -> LogIndex {
    for _ in 0..5 {
        let last = leave_behind(cluster).await;
        cluster.boot(away, disk).await;
        let sent = tokio::select! {
            () = comes_so_far(&cluster.board) => true,
            () = cluster.wait_applied(away, last) => false,
        };
        if sent {
            return last;
        }
        disk = cluster.kill(away).await;
    }
    panic!("no snapshot was sent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_killed_midway_starts_over() {
    let mut cluster = Cluster::start_with(3, limits()).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let disk = cluster.kill(away).await;
    let last = boot_into_held_snapshot(&mut cluster, away, disk).await;
    let mut disk = cluster.kill(away).await;
    for _ in 0..2 {
        cluster.boot(away, disk).await;
        cluster.board.snapshot_held_up().await;
        assert!(cluster.group(away).status().applied < Some(last), "nothing of it is installed");
        disk = cluster.kill(away).await;
    }
    cluster.board.hold_snapshots_after(None);
    cluster.boot(away, disk).await;
    cluster.wait_applied(away, last).await;
    serves_everything_retained(&cluster, away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_falls_silent_while_it_installs_is_sent_another_snapshot() {
    let mut cluster = Cluster::start_with(3, limits()).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let disk = cluster.kill(away).await;
    cluster.board.silence_receivers(true);
    boot_into_snapshot(&mut cluster, away, disk, async |board| board.receiver_silenced().await).await;
    // Its power fails, and it is back before it is missed: nothing but the silence tells the sender.
    let disk = cluster.kill(away).await;
    cluster.board.silence_receivers(false);
    cluster.boot(away, disk).await;
    let last = leave_behind(&cluster).await;
    cluster.wait_applied(away, last).await;
    serves_everything_retained(&cluster, away).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sender_that_vanishes_midway_does_not_keep_its_place_at_the_receiver() {
    let limits = Limits { snapshots_received_max: 1, ..limits() };
    let mut cluster = Cluster::start_with(3, limits).await;
    cluster.settle().await;
    let sender = cluster.leader().await;
    let away = (1..=3).find(|id| *id != sender).unwrap();
    let disk = cluster.kill(away).await;
    let last = boot_into_held_snapshot(&mut cluster, away, disk).await;
    // As when its power fails: no connection is closed, nothing comes any more.
    cluster.board.freeze(sender, away);
    cluster.kill(sender).await;
    let begun = Instant::now();
    cluster.board.hold_snapshots_after(None);
    cluster.wait_applied(away, last).await;
    println!("received from the next leader after {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(15), "not by the timeout of a chunk");
    cluster.propose(b"by the two that are left").await;
    serves_everything_retained(&cluster, away).await;
}
