//! Groups in which nothing happens: no heart beats in them, and nothing is missed by that.

use std::time::Duration;

use weir_consensus::GroupStatus;

use crate::cluster::{Cluster, wait_until};

async fn quiet_leader(cluster: &Cluster) -> u64 {
    cluster.settle().await;
    wait_until("the group falls quiet", || leader_is_quiet(cluster)).await;
    cluster.leader().await
}

fn leader_is_quiet(cluster: &Cluster) -> bool {
    cluster.nodes.values().any(|node| node.group.status().quiet)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_group_keeps_its_leader_and_answers_at_once() {
    let cluster = Cluster::start(3).await;
    let leader = quiet_leader(&cluster).await;
    let term = cluster.group(leader).status().term;
    // Longer than a follower's lease and the longest election timeout together, after which openraft's own timers campaign.
    tokio::time::sleep(Duration::from_secs(12)).await;
    let GroupStatus { term: now, quiet, since_quorum, .. } = cluster.group(leader).status();
    assert_eq!((now, quiet), (term, true));
    assert!(since_quorum.is_some_and(|since| since < Duration::from_secs(5)), "{since_quorum:?}");
    cluster.group(leader).read_barrier().await.unwrap();
    // Followers learn of the last commit by a heartbeat.
    cluster.settle().await;
    assert_eq!(cluster.leader().await, leader);
    quiet_leader(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_leader_that_dies_is_replaced() {
    let mut cluster = Cluster::start(3).await;
    let leader = quiet_leader(&cluster).await;
    let disk = cluster.kill(leader).await;
    assert_ne!(cluster.leader().await, leader);
    cluster.boot(leader, disk).await;
    quiet_leader(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_leader_that_is_cut_off_is_replaced_and_knows_that_nobody_answers() {
    let cluster = Cluster::start(3).await;
    let leader = quiet_leader(&cluster).await;
    for other in (1..=3).filter(|id| *id != leader) {
        cluster.board.freeze(leader, other);
    }
    wait_until("the others elect", || {
        let others = cluster.nodes.iter().filter(|(id, _)| **id != leader);
        others.into_iter().any(|(_, node)| node.group.leadership().borrow().here)
    })
    .await;
    let old = || cluster.group(leader).status();
    wait_until("the old leader has been silent for long", || {
        old().since_quorum.is_none_or(|since| since > Duration::from_secs(3)) && !old().quiet
    })
    .await;
    cluster.board.heal();
    quiet_leader(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_not_quiet_while_one_of_its_members_does_not_answer() {
    let cluster = Cluster::start(3).await;
    let leader = quiet_leader(&cluster).await;
    let other = (1..=3).find(|id| *id != leader).unwrap();
    cluster.board.freeze(leader, other);
    wait_until("the group is awake", || !leader_is_quiet(&cluster)).await;
    cluster.board.heal();
    quiet_leader(&cluster).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_away_catches_up_before_its_group_falls_quiet_again() {
    let mut cluster = Cluster::start(3).await;
    let leader = quiet_leader(&cluster).await;
    let away = (1..=3).find(|id| *id != leader).unwrap();
    let disk = cluster.kill(away).await;
    let (_, last) = cluster.propose(b"meanwhile").await;
    cluster.boot(away, disk).await;
    cluster.wait_applied(away, last).await;
    quiet_leader(&cluster).await;
}
