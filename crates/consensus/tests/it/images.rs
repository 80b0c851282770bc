//! A group that begins with what another one held.

use std::collections::BTreeMap;

use bytes::Bytes;
use weir_consensus::{Error, GroupSpec, Image, Machine as _};
use weir_storage::LogClass;
use weir_types::{GroupId, LogIndex, NodeId, ReplicaId};

use crate::cluster::{Cluster, GROUP, Journal, RETIRE, RETIRE_ALL, wait_until};

async fn chunks(mut image: Image) -> Vec<Bytes> {
    let mut chunks = Vec::new();
    while let Some(chunk) = image.next_chunk().await.unwrap() {
        chunks.push(chunk);
    }
    chunks
}

/// The same group in another cluster, under other replica ids.
fn spec(id: u64) -> GroupSpec {
    GroupSpec { group: GROUP, replica: ReplicaId(200 + id), class: LogClass::Queue }
}

fn voters() -> BTreeMap<ReplicaId, NodeId> {
    (1..=3).map(|id| (spec(id).replica, NodeId(id))).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_goes_on_elsewhere_from_its_image_with_other_members() {
    let cluster = Cluster::start(3).await;
    for round in 0..50u8 {
        cluster.propose(&[round; 2_000]).await;
    }
    cluster.propose(RETIRE).await;
    for round in 0..50u8 {
        cluster.propose(&[round; 2_000]).await;
    }
    let leader = cluster.leader().await;
    cluster.group(leader).read_barrier().await.unwrap();
    let image = cluster.group(leader).image().await.unwrap();
    let position = image.position();
    let chunks = chunks(image).await;
    let held = cluster.group(leader).machine().lock().entries.clone();
    drop(cluster);

    // The first node gets the image before it opens the group, the others have nothing.
    let mut cluster = Cluster::blank(3).await;
    let first = &cluster.nodes[&1].groups;
    let mut seed = first.seed(spec(1)).await.unwrap();
    for chunk in &chunks {
        seed.chunk(chunk.clone()).await.unwrap();
    }
    seed.finish(position, voters(), || true).await.unwrap();
    for id in 1..=3 {
        let group = cluster.nodes[&id].groups.open(spec(id), Journal::restore).await.unwrap();
        cluster.nodes.get_mut(&id).unwrap().group = group;
    }
    cluster.group(1).campaign().await;
    assert_eq!(cluster.leader().await, 1, "nobody else has anything");
    let (term, index) = cluster.propose(b"here").await;
    assert!(term > position.term && index > position.index);
    cluster.settle().await;
    for id in 1..=3 {
        let group = cluster.group(id);
        let (entries, retired) = {
            let machine = group.machine();
            let journal = machine.lock();
            (journal.entries.clone(), journal.retired)
        };
        assert_eq!(entries[..held.len()], held, "node {id}");
        for entry in &entries[retired..] {
            group.read_entry(entry.term, entry.index).await.unwrap();
        }
        assert_eq!(group.status().voters, voters(), "the old members have no part in it");
    }

    // It is a group like any other: it outlives the one that was seeded.
    cluster.nodes.remove(&1).unwrap().groups.stop().await;
    cluster.propose(b"without the first").await;
    let closed = cluster.nodes[&2].groups.seed(spec(2)).await;
    assert!(matches!(closed.err(), Some(Error::AlreadyOpen { .. })), "what is open is not seeded");
}

/// What it held was consumed: there are rows and a position, and no entry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_needs_no_entry_goes_on_elsewhere_from_its_image() {
    let cluster = Cluster::start(1).await;
    for round in 0..50u8 {
        cluster.propose(&[round; 2_000]).await;
    }
    cluster.propose(RETIRE_ALL).await;
    let image = cluster.group(1).image().await.unwrap();
    let position = image.position();
    let chunks = chunks(image).await;
    let held = cluster.group(1).machine().lock().entries.clone();
    drop(cluster);

    let mut cluster = Cluster::blank(3).await;
    let mut seed = cluster.nodes[&1].groups.seed(spec(1)).await.unwrap();
    for chunk in chunks {
        seed.chunk(chunk).await.unwrap();
    }
    seed.finish(position, voters(), || true).await.unwrap();
    for id in 1..=3 {
        let group = cluster.nodes[&id].groups.open(spec(id), Journal::restore).await.unwrap();
        cluster.nodes.get_mut(&id).unwrap().group = group;
    }
    cluster.group(1).campaign().await;
    assert_eq!(cluster.leader().await, 1);
    cluster.propose(b"here").await;
    cluster.settle().await;
    for id in 1..=3 {
        assert_eq!(cluster.group(id).machine().lock().entries[..held.len()], held, "node {id}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_image_leaves_nothing() {
    let cluster = Cluster::start(1).await;
    let (_, last) = cluster.propose(b"one").await;
    let image = cluster.group(1).image().await.unwrap();
    let position = image.position();
    let bytes = Bytes::from(chunks(image).await.concat());
    assert!(position.index >= last);
    let groups = &cluster.nodes[&1].groups;

    let mut damaged = bytes.to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let other = GroupSpec { group: GroupId(10), ..spec(1) };
    let mut of_other_group = groups.seed(other).await.unwrap();
    assert!(matches!(of_other_group.chunk(bytes.clone()).await, Err(Error::Store(_))));

    let blank = Cluster::blank(1).await;
    let groups = &blank.nodes[&1].groups;
    let mut seed = groups.seed(spec(1)).await.unwrap();
    assert!(matches!(seed.chunk(damaged.into()).await, Err(Error::Store(_))), "the checksum is wrong");
    drop(seed);
    let mut seed = groups.seed(spec(1)).await.unwrap();
    seed.chunk(bytes.slice(..bytes.len() - 1)).await.unwrap();
    let one = BTreeMap::from([(spec(1).replica, NodeId(1))]);
    assert!(
        matches!(seed.finish(position, one.clone(), || true).await, Err(Error::Store(_))),
        "it is cut short"
    );
    let mut seed = groups.seed(spec(1)).await.unwrap();
    seed.chunk(bytes).await.unwrap();
    assert!(
        matches!(seed.finish(position, one, || false).await, Err(Error::Rejected { .. })),
        "nobody wants it"
    );
    let group = groups.open(spec(1), Journal::restore).await.unwrap();
    assert_eq!(group.status().last_log, None);
    wait_until("nobody leads what was never seeded", || group.leadership().borrow().leader.is_none()).await;
    assert_eq!(group.status().applied.unwrap_or(LogIndex(0)), LogIndex(0));
}
