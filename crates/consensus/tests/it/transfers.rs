//! Leadership that is handed over, or stays where it is.

use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use weir_consensus::{Error, ProposeError};
use weir_types::{NodeId, ReplicaId};

use crate::cluster::{Cluster, GROUP};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_is_done_says_so_once_the_successor_leads() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    for _ in 0..3 {
        let (leader, to) = leader_and_follower(&cluster).await;
        cluster.transfer(leader, to).await;
        let (replica, node) = cluster.group(leader).leadership().borrow().leader.unwrap();
        assert_eq!((replica, node.0), (cluster.group(to).spec().replica, to));
        cluster.settle().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_to_a_node_that_does_not_answer_costs_no_write() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let (leader, silent) = leader_and_follower(&cluster).await;
    let group = cluster.group(leader);
    let term = group.status().term;
    // Still heard for a moment, so that nothing but its silence gives it away.
    cluster.board.freeze(leader, silent);
    let to = cluster.group(silent).spec().replica;
    let begun = Instant::now();
    let (outcome, written) = tokio::join!(group.transfer_leader(to), async {
        let mut written = 0;
        while begun.elapsed() < Duration::from_secs(1) {
            group.submit(Bytes::from_static(b"meanwhile")).await.unwrap();
            written += 1;
        }
        written
    });
    assert!(matches!(outcome, Err(Error::Unfinished { .. })), "{outcome:?}");
    println!("gave up within {:?}; {written} writes meanwhile", begun.elapsed());
    assert!(group.leadership().borrow().here);
    assert_eq!(group.status().term, term, "nobody was elected");
    cluster.board.heal();
    cluster.settle().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_successor_that_lacks_entries_keeps_the_group_closed_for_a_second_at_most() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let (leader, lacking) = leader_and_follower(&cluster).await;
    let group = cluster.group(leader);
    let term = group.status().term;
    // Its node answers pings, but there is no replica any more that could catch up.
    cluster.nodes[&lacking].groups.close(GROUP).await;
    group.submit(Bytes::from_static(b"lacked")).await.unwrap();
    let begun = Instant::now();
    let (outcome, refused) = tokio::join!(group.transfer_leader(ReplicaId(100 + lacking)), async {
        loop {
            match group.submit(Bytes::from_static(b"meanwhile")).await {
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => return error,
            }
        }
    });
    let took = begun.elapsed();
    assert!(matches!(outcome, Err(Error::Unfinished { .. })), "{outcome:?}");
    assert_eq!(refused, ProposeError::NotLeader { leader: Some(NodeId(lacking)) });
    assert!(took < Duration::from_secs(2), "{took:?}");
    group.submit(Bytes::from_static(b"at once")).await.unwrap();
    assert_eq!(group.status().term, term, "nobody was elected");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transfer_that_its_caller_gives_up_leaves_the_group_open() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let (leader, lacking) = leader_and_follower(&cluster).await;
    let group = cluster.group(leader);
    cluster.nodes[&lacking].groups.close(GROUP).await;
    group.submit(Bytes::from_static(b"lacked")).await.unwrap();
    let transfer = group.transfer_leader(ReplicaId(100 + lacking));
    let given_up = tokio::time::timeout(Duration::from_millis(300), transfer).await;
    assert!(given_up.is_err(), "{given_up:?}");
    group.submit(Bytes::from_static(b"at once")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_node_turns_to_another_voter_when_the_first_does_not_answer() {
    for silent_first in [true, false] {
        let cluster = Cluster::start(3).await;
        cluster.settle().await;
        let leader = cluster.leader().await;
        let mut others = (1..=3).filter(|id| *id != leader);
        let (first, second) = (others.next().unwrap(), others.next().unwrap());
        let (silent, able) = if silent_first { (first, second) } else { (second, first) };
        cluster.board.freeze(leader, silent);
        let begun = Instant::now();
        cluster.nodes[&leader].groups.hand_over(Duration::from_secs(5)).await;
        println!("handed over in {:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        assert_eq!(cluster.group(leader).leadership().borrow().leader.map(|(_, node)| node.0), Some(able));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_voters_are_handed_a_leadership_and_only_by_the_leader() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let (leader, follower) = leader_and_follower(&cluster).await;
    let group = cluster.group(leader);
    let stranger = group.transfer_leader(ReplicaId(999)).await;
    assert!(matches!(stranger, Err(Error::Rejected { .. })), "{stranger:?}");
    group.transfer_leader(group.spec().replica).await.unwrap();
    let refused = cluster.group(follower).transfer_leader(group.spec().replica).await;
    assert!(matches!(refused, Err(Error::NotLeader { leader: Some(node) }) if node.0 == leader));
}

async fn leader_and_follower(cluster: &Cluster) -> (u64, u64) {
    let leader = cluster.leader().await;
    (leader, (1..=3).find(|id| *id != leader).unwrap())
}
