//! What idle groups cost. A measurement, not a test: run it by name with `--ignored --nocapture`.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_consensus::{GroupSpec, Limits, Timings};
use weir_storage::{LogClass, MemoryDisk, Store};
use weir_types::{GroupId, Incarnation, NodeId, ReplicaId};

use crate::cluster::{Journal, start_groups, wait_until};
use crate::switchboard::Switchboard;

const GROUPS: u32 = 300;

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of half a minute"]
async fn three_hundred_idle_groups() {
    let board = std::sync::Arc::new(Switchboard::default());
    let mut nodes = Vec::new();
    for id in 1..=3u64 {
        let (store, _) = Store::start(weir_storage::Options::memory(MemoryDisk::new())).await.unwrap();
        nodes.push(start_groups(id, &store, Limits::default(), (Timings::default(), &board)).await);
    }
    let book: BTreeMap<_, _> = (1..=3u64)
        .map(|id| {
            let address = nodes[id as usize - 1].address().to_owned();
            let incarnation = Some(Incarnation(1_000 + id));
            (NodeId(id), weir_consensus::PeerAddress { address, incarnation })
        })
        .collect();
    let mut groups = Vec::new();
    for (node, id) in nodes.iter().zip(1u64..) {
        node.set_peers(book.clone());
        for group in 0..GROUPS {
            let spec =
                GroupSpec { group: GroupId(group), replica: ReplicaId(10 + id), class: LogClass::Queue };
            groups.push(node.open(spec, <Journal as weir_consensus::Machine>::restore).await.unwrap());
        }
    }
    let voters: BTreeMap<_, _> = (1..=3).map(|id| (ReplicaId(10 + id), NodeId(id))).collect();
    for group in 0..GROUPS as usize {
        groups[(group % 3) * GROUPS as usize + group].initialize(voters.clone()).await.unwrap();
    }
    wait_until("every group is led", || {
        groups.iter().filter(|group| group.leadership().borrow().here).count() == GROUPS as usize
    })
    .await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let before = cpu_ticks();
    tokio::time::sleep(Duration::from_secs(10)).await;
    // A tick is 10 ms, so over 10 s it is a tenth of a percent.
    let permille = cpu_ticks() - before;
    println!("{GROUPS} idle groups on three nodes: {} permille of a core per node", permille / 3);
}
