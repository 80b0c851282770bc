//! What happens to real files: space comes back, and a damaged log is noticed.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::engine::Family;
use crate::evacuate::{self, Survey};
use crate::reclaim::{self, Urgency};

/// Files of the database whose name ends so.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory.join("db")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().ends_with(ending)).collect()
}

fn bytes(paths: &[PathBuf]) -> u64 {
    paths.iter().map(|path| std::fs::metadata(path).map_or(0, |metadata| metadata.len())).sum()
}

#[tokio::test]
async fn retired_buckets_give_their_files_back() {
    let dir = tempfile::tempdir().unwrap();
    let disk = Disk::Rocks(dir);
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let options = Options { bucket_bytes: 256 << 10, ..disk.options() };
    let store = Store::start(options.clone()).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Stream);
    let payload = Bytes::from(vec![7; 16 << 10]);
    let big = |index| LogRecord { payload: payload.clone(), ..record(index, 1) };
    for index in 1..640 {
        append(&group, vec![big(index)]).await;
    }
    let before = bytes(&files(dir.path(), ".sst"));
    assert!(before > 8 << 20, "{before} bytes in table files");
    group.retire_before(LogIndex(630)).await.unwrap();
    group.save_vote(Bytes::new()).await.unwrap();
    store.close().await;
    drop((group, store));
    // Whatever was still at level 0 goes at the next opening or the next switches.
    let store = Store::start(options).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Stream);
    for index in 640..720 {
        append(&group, vec![big(index)]).await;
    }
    store.close().await;
    let after = bytes(&files(dir.path(), ".sst"));
    assert!(after < before / 2, "{after} of {before} bytes left");
}

#[tokio::test]
async fn a_few_survivors_do_not_keep_the_space_of_the_rest() {
    let disk = Disk::rocks();
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let options = Options { bucket_bytes: 256 << 10, ..disk.options() };
    let store = Store::start(options).await.unwrap().0;
    let (short, long) =
        (store.group(GroupId(1), LogClass::Stream), store.group(GroupId(2), LogClass::Stream));
    let payload = Bytes::from(vec![7; 16 << 10]);
    for index in 1..400 {
        append(&short, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
        append(&long, vec![record(index, 1)]).await;
    }
    let before = bytes(&files(dir.path(), ".sst"));
    assert!(before > 4 << 20, "{before} bytes in table files");
    short.retire_before(LogIndex(390)).await.unwrap();
    short.save_vote(Bytes::new()).await.unwrap();
    let (catalog, inbox) = (Arc::clone(&store.inner.catalog), Arc::clone(&store.inner.inbox));
    let evacuated = store.inner.pool.run(move |engine| {
        let mut survey = Survey::default();
        assert_eq!(survey.take(engine, &catalog, Urgency::Usual), [], "it is less than worth it");
        let mut evacuated = 0;
        loop {
            let buckets = survey.take(engine, &catalog, Urgency::DiskFull);
            if buckets.is_empty() {
                return Ok(evacuated);
            }
            for bucket in buckets {
                evacuated += 1;
                evacuate::evacuate(engine, &catalog, &inbox, bucket)?;
            }
        }
    });
    assert!(evacuated.await.unwrap() > 10);
    assert_eq!(read_from(&long, 1).await, records(1..400, 1));
    // New buckets push what is dead out of level 0.
    for index in 400..480 {
        append(&short, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
    }
    store.close().await;
    let after = bytes(&files(dir.path(), ".sst"));
    assert!(after < before / 2, "{after} of {before} bytes left");
    let store = disk.open().await;
    assert_eq!(read_from(&store.group(GroupId(2), LogClass::Stream), 1).await, records(1..400, 1));
    store.close().await;
}

#[tokio::test]
async fn retired_queue_entries_give_their_space_back() {
    let disk = Disk::rocks();
    let mut options = disk.options();
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.queue_buffer_bytes = 512 << 10;
    }
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let store = Store::start(options).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Queue);
    let payload = Bytes::from(vec![7; 16 << 10]);
    for index in 1..640 {
        append(&group, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
    }
    let before = bytes(&files(dir.path(), ".sst"));
    assert!(before > 4 << 20, "{before} bytes in table files");
    group.retire_before(LogIndex(630)).await.unwrap();
    group.save_vote(Bytes::new()).await.unwrap();
    let catalog = Arc::clone(&store.inner.catalog);
    let compacted = store.inner.pool.run(move |engine| {
        assert!(!reclaim::take_garbage(engine, &catalog, Urgency::Usual), "it is less than worth it");
        assert!(reclaim::take_garbage(engine, &catalog, Urgency::DiskFull));
        reclaim::reclaim(engine, &catalog);
        engine.table_bytes(Family::QueueLog)
    });
    let after = compacted.await.unwrap();
    assert!(after < 1 << 20, "{after} of {before} bytes left");
    assert_eq!(group.read(630..640, 1 << 20).await.unwrap().len(), 10);
    store.close().await;
}

#[tokio::test]
async fn queue_entries_that_a_view_still_showed_give_their_space_back_after_it() {
    let disk = Disk::rocks();
    let store = Store::start(disk.options()).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Queue);
    let payload = Bytes::from(vec![7; 1 << 20]);
    for index in 1..30 {
        append(&group, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
    }
    let view = store.inner.pool.run(|engine| Ok(engine.view()));
    let view = view.await.unwrap();
    group.retire_before(LogIndex(28)).await.unwrap();
    group.save_vote(Bytes::new()).await.unwrap();
    let catalog = Arc::clone(&store.inner.catalog);
    let compacted = store.inner.pool.run(move |engine| {
        reclaim::reclaim(engine, &catalog);
        assert!(catalog.lock().queue_garbage.is_stuck(), "the view shows it");
        drop(view);
        reclaim::reclaim(engine, &catalog);
        assert!(!catalog.lock().queue_garbage.is_stuck());
        engine.table_bytes(Family::QueueLog)
    });
    let after = compacted.await.unwrap();
    assert!(after < 4 << 20, "{after} bytes left");
    store.close().await;
}

#[tokio::test]
async fn queue_entries_retired_before_a_restart_give_their_space_back_after_it() {
    let disk = Disk::rocks();
    let mut options = disk.options();
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.queue_buffer_bytes = 4 << 20;
    }
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let store = Store::start(options.clone()).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Queue);
    let payload = Bytes::from(vec![7; 1 << 20]);
    for index in 1..32 {
        append(&group, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
    }
    // Less than is worth a compaction, and more with what comes after the restart.
    group.retire_before(LogIndex(13)).await.unwrap();
    group.save_vote(Bytes::new()).await.unwrap();
    store.close().await;
    let store = Store::start(options).await.unwrap().0;
    let before = bytes(&files(dir.path(), ".sst"));
    let group = store.group(GROUP, LogClass::Queue);
    // Small entries say nothing of the size of those before the restart.
    for index in 32..132 {
        append(&group, vec![record(index, 1)]).await;
    }
    group.retire_before(LogIndex(28)).await.unwrap();
    group.save_vote(Bytes::new()).await.unwrap();
    let mut after = before;
    for _ in 0..200 {
        after = bytes(&files(dir.path(), ".sst"));
        if after < 8 << 20 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(after < 8 << 20, "{after} of {before} bytes left");
    store.close().await;
}

#[tokio::test]
async fn the_log_of_a_destroyed_queue_counts_as_garbage() {
    let disk = Disk::rocks();
    let mut options = disk.options();
    if let Backend::Rocks(rocks) = &mut options.backend {
        rocks.queue_buffer_bytes = 512 << 10;
    }
    let store = Store::start(options).await.unwrap().0;
    let group = store.group(GROUP, LogClass::Queue);
    let payload = Bytes::from(vec![7; 16 << 10]);
    for index in 1..640 {
        append(&group, vec![LogRecord { payload: payload.clone(), ..record(index, 1) }]).await;
    }
    group.destroy().await.unwrap();
    let catalog = Arc::clone(&store.inner.catalog);
    let worth =
        store.inner.pool.run(move |engine| Ok(reclaim::take_garbage(engine, &catalog, Urgency::DiskFull)));
    assert!(worth.await.unwrap(), "its files are to be compacted");
    store.close().await;
}

#[tokio::test]
async fn a_flipped_bit_in_the_write_ahead_log_is_noticed() {
    let disk = Disk::rocks();
    let Disk::Rocks(dir) = &disk else { unreachable!("made above") };
    let store = disk.open().await;
    let group = store.group(GROUP, LogClass::Queue);
    append_each(&group, 1..200, 1).await;
    store.close().await;
    drop((group, store));
    let mut logs = files(dir.path(), ".log");
    logs.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    let log = logs.last().unwrap();
    let mut content = std::fs::read(log).unwrap();
    let written = content.iter().rposition(|byte| *byte != 0).unwrap();
    content[written / 2] ^= 1;
    std::fs::write(log, content).unwrap();

    let (store, recovered) = disk.recover().await;
    assert!(recovered.lost_writes, "RocksDB dropped half of the entries without a word");
    let last = store.group(GROUP, LogClass::Queue).load().await.unwrap().last;
    assert!(last.is_some_and(|last| last.index < LogIndex(199)));
    store.close().await;
}
