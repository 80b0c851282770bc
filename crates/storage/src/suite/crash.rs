//! Crashes and failures, by a disk that can be told to have them.

use std::pin::Pin;
use std::sync::Arc;

use super::*;
use crate::{DiskPressure, Error, WriterMode};

/// A store whose log writer is a task on this test's thread.
fn open_as_task(disk: &MemoryDisk) -> Store {
    let mut options = Disk::Memory(disk.clone()).options();
    options.writer = WriterMode::Task(Arc::new(|task: Pin<Box<dyn Future<Output = ()> + Send>>| {
        tokio::spawn(task);
    }));
    Store::open(&options).unwrap().0
}

/// Entry `i` is appended, then row `i` is written: so a row never survives without its entry.
#[tokio::test]
async fn a_crash_keeps_a_prefix_that_contains_all_that_was_acknowledged() {
    for kept in 0..12 {
        let disk = MemoryDisk::new();
        let store = open_as_task(&disk);
        let group = store.group(GROUP, LogClass::Queue);
        append(&group, records(1..6, 1)).await;
        for index in 1..6 {
            group.write_rows(vec![put(&format!("row{index}"), "")]).await.unwrap();
            // Each in a batch of its own.
            store.groups().await.unwrap();
        }
        assert_eq!(disk.unsynced_batches(), 5);
        disk.crash_keeping(kept);
        let store = open_as_task(&disk);
        let group = store.group(GROUP, LogClass::Queue);
        assert_eq!(read_from(&group, 1).await, records(1..6, 1));
        let expected: Vec<String> = (1..=kept.min(5)).map(|index| format!("row{index}=")).collect();
        assert_eq!(rows(&group).await, expected.join(" "));
    }
}

#[tokio::test]
async fn what_is_queued_is_written_in_order_even_if_nobody_waits() {
    let disk = MemoryDisk::new();
    let store = open_as_task(&disk);
    let group = store.group(GROUP, LogClass::Stream);
    append(&group, records(1..2, 1)).await;
    group.append(records(2..9, 1), |_| ()).await.unwrap();
    group.truncate_after(Some(LogIndex(5))).await.unwrap();
    group.append(records(6..8, 2), |_| ()).await.unwrap();
    group.write_rows(vec![put("applied", "7")]).await.unwrap();
    let mut expected = records(1..6, 1);
    expected.extend(records(6..8, 2));
    assert_eq!(read_from(&group, 1).await, expected, "readable before it is written");
    store.close().await;
    let store = open_as_task(&disk);
    let group = store.group(GROUP, LogClass::Stream);
    assert_eq!(read_from(&group, 1).await, expected);
    assert_eq!(rows(&group).await, "applied=7");
}

#[tokio::test]
async fn the_first_failed_write_stops_the_store() {
    let disk = MemoryDisk::new();
    let store = Disk::Memory(disk.clone()).open().await;
    let group = store.group(GROUP, LogClass::Queue);
    append(&group, records(1..2, 1)).await;
    let fatal = store.on_fatal();
    disk.fail_next_write();
    let (done, outcome) = oneshot::channel();
    group.append(records(2..3, 1), move |result| done.send(result).unwrap()).await.unwrap();
    assert!(matches!(outcome.await.unwrap(), Err(Error::Engine(_))));
    assert!(matches!(fatal.await, Error::Engine(_)));
    assert!(matches!(group.save_vote(Bytes::new()).await, Err(Error::Failed { .. })));
    assert!(matches!(group.append(records(3..4, 1), |_| ()).await, Err(Error::Failed { .. })));
    assert!(matches!(group.rows().await, Err(Error::Failed { .. })));
    store.close().await;
}

#[tokio::test]
async fn a_closed_store_answers_closed() {
    let store = Disk::memory().open().await;
    let group = store.group(GROUP, LogClass::Queue);
    append(&group, records(1..2, 1)).await;
    store.close().await;
    assert!(matches!(group.save_vote(Bytes::new()).await, Err(Error::Closed)));
    assert!(matches!(group.rows().await, Err(Error::Closed)));
    store.close().await;
}

#[tokio::test]
async fn a_lost_sync_is_noticed_until_it_is_accepted() {
    let disk = MemoryDisk::new();
    let here = Disk::Memory(disk.clone());
    let store = here.open().await;
    let group = store.group(GROUP, LogClass::Queue);
    append(&group, records(1..2, 1)).await;
    append(&group, records(2..3, 1)).await;
    store.close().await;
    assert!(!here.recover().await.1.lost_writes);

    let store = here.open().await;
    append(&store.group(GROUP, LogClass::Queue), records(3..4, 1)).await;
    disk.crash_losing_last_sync();
    let (store, recovered) = here.recover().await;
    assert!(recovered.lost_writes);
    drop(store);
    let (store, recovered) = here.recover().await;
    assert!(recovered.lost_writes, "a second restart must notice it too");
    store.accept_loss().await.unwrap();
    drop(store);
    assert!(!here.recover().await.1.lost_writes);
}

#[tokio::test]
async fn a_full_disk_is_reported_and_recovers_by_itself() {
    let disk = MemoryDisk::new();
    let mut options = Options::memory(disk.clone());
    options.free_bytes_min = 1000;
    let (store, _) = Store::start(options).await.unwrap();
    let group = store.group(GROUP, LogClass::Queue);
    let pressure = store.disk_pressure();
    disk.set_free_bytes(Some(500));
    assert_eq!(*pressure.borrow(), DiskPressure::Full { free_bytes: 500, needed_bytes: 1250 });
    assert!(matches!(store.refuse_if_full(), Err(Error::DiskFull { free_bytes: 500, needed_bytes: 1250 })));
    append(&group, records(1..3, 1)).await;
    disk.set_free_bytes(Some(2000));
    append(&group, records(3..4, 1)).await;
    assert_eq!(*pressure.borrow(), DiskPressure::Ok);
    store.close().await;
}

#[tokio::test]
async fn writers_wait_when_the_queue_is_full() {
    let disk = MemoryDisk::new();
    let mut options = Disk::Memory(disk.clone()).options();
    options.queue_bytes_max = 4 << 10;
    let store = Store::start(options).await.unwrap().0;
    let mut tasks = Vec::new();
    for id in 1..30 {
        let group = store.group(GroupId(id), LogClass::Queue);
        tasks.push(tokio::spawn(async move {
            for index in 1..20 {
                group.append(vec![record(index, 1)], |_| ()).await.unwrap();
                assert!(group.store().inner.inbox.bytes() <= 4 << 10);
            }
            assert_eq!(read_from(&group, 1).await, records(1..20, 1));
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    // Larger than the whole queue: it waits for an empty one.
    let huge = LogRecord { payload: vec![0; 64 << 10].into(), ..record(1, 1) };
    append(&store.group(GroupId(99), LogClass::Queue), vec![huge]).await;
    store.close().await;
}
