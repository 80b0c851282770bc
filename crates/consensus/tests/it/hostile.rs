//! Strangers and mistaken nodes on the peer port.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_consensus::{Groups, Limits, Options, PeerAddress};
use weir_runtime::Runtime;
use weir_storage::{MemoryDisk, Store};
use weir_types::{ClusterId, Incarnation, NodeId};

use crate::cluster::{CLUSTER, Cluster, timings, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_and_truncated_bytes_hurt_nobody() {
    let cluster = Cluster::start(3).await;
    cluster.settle().await;
    let address = cluster.nodes[&1].groups.address().to_owned();
    let mut seed = 42u64;
    for length in [0usize, 1, 7, 8, 9, 100, 5_000] {
        let bytes: Vec<u8> = (0..length)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (seed >> 56) as u8
            })
            .collect();
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{length} bytes: the connection is closed");
        assert!(rest.is_empty(), "strangers get no answer");
    }
    cluster.settle().await;
}

async fn stranger(cluster: ClusterId, id: u64, incarnation: u64) -> Groups {
    let (store, _) = Store::start(weir_storage::Options::memory(MemoryDisk::new())).await.unwrap();
    let options = Options {
        cluster,
        node: NodeId(id),
        incarnation: Incarnation(incarnation),
        listen: "127.0.0.1:0".to_owned(),
        timings: timings(),
        limits: Limits::default(),
        runtime: Runtime::real(),
        store,
    };
    Groups::start(options).await.unwrap()
}

/// Whether `stranger`, believing that node 1 of the cluster is `target`, gets a connection.
async fn is_let_in(stranger: &Groups, cluster: &Cluster, target: u64) -> bool {
    let address = cluster.nodes[&1].groups.address().to_owned();
    let book = BTreeMap::from([(NodeId(target), PeerAddress { address, incarnation: None })]);
    stranger.set_peers(book);
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if stranger.hears(NodeId(target)) {
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_of_another_cluster_is_refused() {
    let cluster = Cluster::start(1).await;
    assert!(!is_let_in(&stranger(ClusterId(1), 5, 5).await, &cluster, 1).await);
    assert!(
        is_let_in(&stranger(CLUSTER, 5, 5).await, &cluster, 1).await,
        "its like of the right cluster is not"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_meant_for_another_node_is_refused() {
    let cluster = Cluster::start(1).await;
    assert!(!is_let_in(&stranger(CLUSTER, 5, 5).await, &cluster, 2).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_lost_its_disk_is_refused_under_its_old_id() {
    let cluster = Cluster::start(2).await;
    wait_until("the nodes hear each other", || cluster.nodes[&1].groups.hears(NodeId(2))).await;
    assert!(!is_let_in(&stranger(CLUSTER, 2, 999).await, &cluster, 1).await);
}
