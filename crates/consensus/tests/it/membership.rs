//! Replicas that join and leave.

use std::collections::BTreeSet;

use weir_consensus::{Error, Role};
use weir_storage::MemoryDisk;
use weir_types::{NodeId, ReplicaId};

use crate::cluster::{Cluster, Disk, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_joins_as_learner_then_votes_and_another_leaves() {
    let mut cluster = Cluster::start(3).await;
    cluster.settle().await;
    cluster.boot(4, Disk::Memory(MemoryDisk::new())).await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    group.add_learner(ReplicaId(104), NodeId(4)).await.unwrap();
    group.add_learner(ReplicaId(104), NodeId(4)).await.unwrap();
    let elsewhere = group.add_learner(ReplicaId(104), NodeId(3)).await;
    assert!(matches!(elsewhere, Err(Error::Rejected { .. })), "an id lives on one node: {elsewhere:?}");
    wait_until("the learner caught up", || {
        let status = group.status();
        status.matched.get(&ReplicaId(104)).is_some_and(|matched| *matched == status.last_log)
    })
    .await;
    assert_eq!(cluster.group(4).status().role, Role::Learner);

    let gone = (1..=3).find(|id| *id != leader).unwrap();
    let voters: BTreeSet<ReplicaId> =
        (1..=4).filter(|id| *id != gone).map(|id| ReplicaId(100 + id)).collect();
    group.change_voters(voters.clone()).await.unwrap();
    group.remove_replica(ReplicaId(100 + gone)).await.unwrap();
    let removed = group.status().members.unwrap();
    group.remove_replica(ReplicaId(100 + gone)).await.unwrap();
    let again = group.status().members.unwrap();
    assert!(again.index > removed.index, "who waits for the end of a stranger is told by a later entry");
    assert_eq!((again.voters, again.learners), (removed.voters, removed.learners));
    let voter = group.remove_replica(ReplicaId(100 + leader)).await;
    assert!(matches!(voter, Err(Error::Unfinished { .. })), "its vote has to go first: {voter:?}");
    let status = group.status();
    assert_eq!(status.voters.keys().copied().collect::<BTreeSet<_>>(), voters);
    assert!(status.learners.is_empty());
    cluster.nodes.remove(&gone).unwrap().groups.stop().await;
    cluster.settle().await;
    assert_eq!(cluster.group(4).machine().lock().entries, cluster.group(leader).machine().lock().entries);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_are_changed_by_the_leader_only() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let follower = (1..=3).find(|id| *id != leader).unwrap();
    let refused = cluster.group(follower).add_learner(ReplicaId(109), NodeId(9)).await;
    assert!(
        matches!(refused, Err(Error::NotLeader { leader: Some(node) }) if node.0 == leader),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_not_committed_is_not_told_of() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    let group = cluster.group(leader).clone();
    let before = group.status().members.unwrap();
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    for other in &others {
        cluster.board.cut(leader, *other);
    }
    let adding = tokio::spawn({
        let group = group.clone();
        async move { group.add_learner(ReplicaId(104), NodeId(4)).await }
    });
    wait_until("the entry is in its log", || group.status().learners.contains_key(&ReplicaId(104))).await;
    assert_eq!(group.status().members.as_ref(), Some(&before));
    let again = group.remove_replica(ReplicaId(104)).await;
    assert!(matches!(again, Err(Error::Unfinished { .. })), "one change at a time: {again:?}");
    // Whoever the others elect does not know of it.
    wait_until("the others elect", || others.iter().any(|id| cluster.group(*id).leadership().borrow().here))
        .await;
    cluster.board.heal();
    assert!(adding.await.unwrap().is_err());
    wait_until("the entry is taken back", || group.status().learners.is_empty()).await;
    assert_eq!(group.status().members, Some(before));
}
