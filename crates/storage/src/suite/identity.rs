//! Whose data a store opens.

use weir_types::{ClusterId, Incarnation, NodeId};

use super::*;
use crate::{Error, Expected, Identity, RocksOptions};

both_engines!(identity_and_node_info_survive, another_nodes_data_are_refused);

const IDENTITY: Identity =
    Identity { cluster: ClusterId(0xc0), node: NodeId(2), incarnation: Incarnation(0x1a) };

async fn identity_and_node_info_survive(disk: Disk) {
    let (store, recovered) = disk.recover().await;
    assert_eq!((recovered.identity, recovered.lost_writes), (None, false));
    store.save_identity(IDENTITY).await.unwrap();
    store.save_node_info(Bytes::from_static(b"votes")).await.unwrap();
    append(&store.group(GROUP, LogClass::Queue), records(1..5, 1)).await;
    store.close().await;
    drop(store);
    let (store, recovered) = disk.recover().await;
    assert_eq!((recovered.identity, recovered.lost_writes), (Some(IDENTITY), false));
    assert_eq!(recovered.node_info, b"votes".as_slice());
    store.close().await;
}

async fn another_nodes_data_are_refused(disk: Disk) {
    let store = disk.open().await;
    store.save_identity(IDENTITY).await.unwrap();
    store.close().await;
    drop(store);
    let expecting = |cluster, node| {
        let expected = Expected { cluster: Some(ClusterId(cluster)), node: Some(NodeId(node)) };
        Store::start(Options { expected, ..disk.options() })
    };
    assert!(matches!(
        expecting(0xc0, 3).await.err(),
        Some(Error::OtherNode { found: NodeId(2), expected: NodeId(3) })
    ));
    assert!(matches!(expecting(0xc1, 2).await.err(), Some(Error::OtherCluster { .. })));
    expecting(0xc0, 2).await.unwrap().0.close().await;
}

#[tokio::test]
async fn a_directory_in_use_is_refused_and_free_after_the_close() {
    let disk = Disk::rocks();
    let store = disk.open().await;
    assert!(matches!(Store::start(disk.options()).await.err(), Some(Error::Locked { .. })));
    store.close().await;
    disk.open().await.close().await;
}

#[tokio::test]
async fn a_database_without_its_superblock_is_refused() {
    let disk = Disk::rocks();
    disk.open().await.close().await;
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    std::fs::remove_file(dir.path().join("superblock")).unwrap();
    assert!(matches!(Store::start(disk.options()).await.err(), Some(Error::SuperblockMissing { .. })));
}

#[tokio::test]
async fn a_full_disk_frees_the_ballast_at_start() {
    let disk = Disk::rocks();
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let ballast = dir.path().join("ballast");
    std::fs::write(&ballast, vec![0; 1 << 20]).unwrap();
    let mut options = disk.options();
    options.backend =
        Backend::Rocks(RocksOptions { ballast_bytes: 1 << 20, ..RocksOptions::new(dir.path()) });
    options.free_bytes_min = u64::MAX / 2;
    let (store, _) = Store::start(options).await.unwrap();
    assert!(!ballast.exists());
    assert!(matches!(store.refuse_if_full(), Err(Error::DiskFull { .. })));
    append(&store.group(GROUP, LogClass::Queue), records(1..3, 1)).await;
    store.close().await;
}

#[test]
fn the_engine_refuses_to_be_called_on_an_async_worker() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let disk = Disk::rocks();
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async { Store::open(&disk.options()).is_ok() })
    }));
    assert!(opened.is_err());
}
