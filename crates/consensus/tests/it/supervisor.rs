//! Cores that die in a process that lives.

use std::sync::atomic::Ordering;

use bytes::Bytes;
use tokio::sync::Mutex;

use crate::cluster::{Cluster, POISON, POISON_BITES, wait_until};

/// The poison is shared by the process, so these tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_panics_once_is_rebuilt_and_nothing_is_lost() {
    let _turn = TURN.lock().await;
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let leader = cluster.leader().await;
    POISON_BITES.store(1, Ordering::SeqCst);
    // Bites on whichever node applies it first; the entry is committed all the same.
    let outcome = cluster.group(leader).submit(Bytes::from_static(POISON)).await;
    println!("proposer of the poison got {outcome:?}");
    wait_until("the poison bit", || POISON_BITES.load(Ordering::SeqCst) == 0).await;
    cluster.propose(b"after").await;
    cluster.settle().await;
    let journals: Vec<_> = (1..=3).map(|id| cluster.group(id).machine().lock().entries.clone()).collect();
    assert_eq!(journals[0], journals[1]);
    assert_eq!(journals[0], journals[2]);
    for node in cluster.nodes.values() {
        assert_eq!(*node.groups.dead().borrow(), None);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_machine_that_always_panics_makes_its_node_say_so() {
    let _turn = TURN.lock().await;
    let cluster = Cluster::start(1).await;
    cluster.settle().await;
    let mut dead = cluster.nodes[&1].groups.dead();
    POISON_BITES.store(usize::MAX, Ordering::SeqCst);
    let _ = cluster.group(1).submit(Bytes::from_static(POISON)).await;
    let named =
        tokio::time::timeout(std::time::Duration::from_secs(20), dead.wait_for(Option::is_some)).await;
    POISON_BITES.store(0, Ordering::SeqCst);
    assert_eq!(*named.unwrap().unwrap(), Some(crate::cluster::GROUP));
}
