//! Snapshots: exported while the group lives on, imported whole or not at all.

use super::*;
use crate::{Error, ImportReady};

both_engines!(
    a_snapshot_carries_rows_and_log_to_another_group_store,
    an_export_is_not_disturbed_by_what_happens_meanwhile,
    the_latest_of_several_imports_counts,
    an_import_that_is_dropped_leaves_nothing,
    an_import_cut_off_by_a_restart_leaves_nothing,
    a_snapshot_of_another_group_or_cut_short_is_refused,
    an_installed_log_is_continued_and_overwritten_like_any_other,
    a_snapshot_without_log_empties_the_log,
);

/// All chunks of an export, none longer than asked for.
async fn export(group: &GroupStore, log: std::ops::Range<u64>) -> Vec<Bytes> {
    let mut export = group.export(log).await.unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = export.next_chunk(500).await.unwrap() {
        assert!(chunk.len() <= 500);
        chunks.push(chunk);
    }
    chunks
}

async fn import(group: &GroupStore, chunks: Vec<Bytes>) -> ImportReady {
    let mut import = group.begin_import().await.unwrap();
    for chunk in chunks {
        import.chunk(chunk).await.unwrap();
    }
    import.finish().unwrap()
}

/// A group with rows `a` and `b` and entries 1 to 79 in many buckets.
async fn filled(store: &Store, class: LogClass) -> GroupStore {
    let group = store.group(GROUP, class);
    append_each(&group, 1..80, 1).await;
    group.write_rows(vec![put("a", "1"), put("b", "2")]).await.unwrap();
    group
}

async fn a_snapshot_carries_rows_and_log_to_another_group_store(disk: Disk) {
    for class in BOTH_CLASSES {
        let source = Disk::memory().open().await;
        let chunks = export(&filled(&source, class).await, 11..80).await;
        assert!(chunks.len() > 10);
        source.close().await;

        let target_disk = match &disk {
            Disk::Memory(_) => Disk::memory(),
            Disk::Rocks(_) => Disk::rocks(),
        };
        let target = target_disk.open().await;
        let group = target.group(GROUP, class);
        append_each(&group, 1..20, 9).await;
        group.write_rows(vec![put("z", "old")]).await.unwrap();
        group.save_vote(Bytes::from_static(b"mine")).await.unwrap();
        let ready = import(&group, chunks).await;
        assert_eq!(ready.log_ends(), Some((LogIndex(11), LogIndex(79))));
        assert_eq!(rows(&group).await, "z=old", "nothing is visible before the installation");
        assert_eq!(read_from(&group, 1).await, records(1..20, 9));
        group.install(ready, vec![put("c", "3")], Bytes::from_static(b"p")).await.unwrap();
        assert_eq!(rows(&group).await, "a=1 b=2 c=3");
        assert_eq!(read_from(&group, 11).await, records(11..80, 1));

        let target = target_disk.restart(target).await;
        let group = target.group(GROUP, class);
        let state = group.load().await.unwrap();
        assert_eq!(state.first.unwrap().index, LogIndex(11));
        assert_eq!(state.last.unwrap().index, LogIndex(79));
        assert_eq!((state.vote, state.purged), (Some("mine".into()), Some("p".into())));
        assert_eq!(rows(&group).await, "a=1 b=2 c=3");
        assert_eq!(read_from(&group, 11).await, records(11..80, 1));
        target.close().await;
    }
}

async fn an_export_is_not_disturbed_by_what_happens_meanwhile(disk: Disk) {
    for class in BOTH_CLASSES {
        let id = GroupId(100 + class as u32);
        let store = disk.open().await;
        let group = store.group(id, class);
        append_each(&group, 1..80, 1).await;
        group.write_rows(vec![put("a", "1"), put("b", "2")]).await.unwrap();
        let mut export = group.export(1..80).await.unwrap();
        let mut chunks = vec![export.next_chunk(100).await.unwrap().unwrap()];
        group.write_rows(vec![put("a", "changed"), RowChange::delete(b"b".to_vec())]).await.unwrap();
        append_each(&group, 80..160, 2).await;
        group.retire_before(LogIndex(150)).await.unwrap();
        append_each(&group, 160..165, 2).await;
        while let Some(chunk) = export.next_chunk(700).await.unwrap() {
            chunks.push(chunk);
        }
        drop(export);
        let held = |store: &Store| store.inner.catalog.lock().buckets.held();
        // A write after the release shows that it was handled; reads wait for everything before.
        group.save_vote(Bytes::new()).await.unwrap();
        store.groups().await.unwrap();
        group.save_vote(Bytes::new()).await.unwrap();
        assert!(class == LogClass::Queue || held(&store) < 6, "{}", held(&store));

        let ready = import(&group, chunks).await;
        group.install(ready, Vec::new(), Bytes::new()).await.unwrap();
        assert_eq!(rows(&group).await, "a=1 b=2");
        assert_eq!(read_from(&group, 1).await, records(1..80, 1));
        store.close().await;
    }
}

async fn the_latest_of_several_imports_counts(disk: Disk) {
    for class in BOTH_CLASSES {
        let source = Disk::memory().open().await;
        let group = filled(&source, class).await;
        let older = export(&group, 1..80).await;
        append_each(&group, 80..100, 2).await;
        group.write_rows(vec![put("a", "newer")]).await.unwrap();
        let newer = export(&group, 50..100).await;
        source.close().await;

        let store = disk.open().await;
        let group = store.group(GROUP, class);
        let (first, second) = (import(&group, older).await, import(&group, newer).await);
        group.install(first, Vec::new(), Bytes::new()).await.unwrap();
        assert_eq!(rows(&group).await, "a=1 b=2");
        group.install(second, Vec::new(), Bytes::new()).await.unwrap();
        let store = disk.restart(store).await;
        let group = store.group(GROUP, class);
        assert_eq!(rows(&group).await, "a=newer b=2");
        assert_eq!(group.load().await.unwrap().first.unwrap().index, LogIndex(50));
        let mut expected = records(50..80, 1);
        expected.extend(records(80..100, 2));
        assert_eq!(read_from(&group, 50).await, expected);
        group.destroy().await.unwrap();
        assert_eq!(store.groups().await.unwrap(), [], "so that the next class can have the group");
        store.close().await;
    }
}

/// What is staged anywhere, and which buckets are held.
fn staged(store: &Store) -> (usize, usize) {
    let catalog = store.inner.catalog.lock();
    (catalog.staged.len(), catalog.buckets.held())
}

async fn an_import_that_is_dropped_leaves_nothing(disk: Disk) {
    for class in BOTH_CLASSES {
        let source = Disk::memory().open().await;
        let chunks = export(&filled(&source, class).await, 1..80).await;
        source.close().await;
        let store = disk.open().await;
        let group = store.group(GROUP, class);
        let mut half = group.begin_import().await.unwrap();
        for chunk in &chunks[..chunks.len() / 2] {
            half.chunk(chunk.clone()).await.unwrap();
        }
        store.groups().await.unwrap();
        assert_eq!(staged(&store).0, 1);
        drop(half);
        drop(import(&group, chunks).await);
        store.groups().await.unwrap();
        assert_eq!(staged(&store), (0, 0));
        assert_eq!(rows(&group).await, "");
        store.close().await;
    }
}

async fn an_import_cut_off_by_a_restart_leaves_nothing(disk: Disk) {
    for class in BOTH_CLASSES {
        let source = Disk::memory().open().await;
        let chunks = export(&filled(&source, class).await, 1..80).await;
        source.close().await;
        let store = disk.open().await;
        let group = store.group(GROUP, class);
        let ready = import(&group, chunks.clone()).await;
        // A sync takes what is staged to the disk.
        store.node_rows().put(b"x", b"y").await.unwrap();
        store.close().await;
        drop((ready, group, store));
        let store = disk.open().await;
        let group = store.group(GROUP, class);
        assert_eq!(staged(&store), (0, 0));
        assert_eq!(rows(&group).await, "");
        let ready = import(&group, chunks).await;
        group.install(ready, Vec::new(), Bytes::new()).await.unwrap();
        assert_eq!(read_from(&group, 1).await, records(1..80, 1));
        group.destroy().await.unwrap();
        store.close().await;
    }
}

async fn a_snapshot_of_another_group_or_cut_short_is_refused(disk: Disk) {
    let store = disk.open().await;
    let group = filled(&store, LogClass::Queue).await;
    let chunks = export(&group, 1..80).await;

    let mut import = store.group(GroupId(8), LogClass::Queue).begin_import().await.unwrap();
    assert!(matches!(import.chunk(chunks[0].clone()).await, Err(Error::SnapshotInvalid(_))));

    let mut import = group.begin_import().await.unwrap();
    for chunk in &chunks[..chunks.len() - 1] {
        import.chunk(chunk.clone()).await.unwrap();
    }
    assert!(matches!(import.finish(), Err(Error::SnapshotInvalid(_))));

    let beyond = group.export(1..81).await.err().unwrap();
    assert!(matches!(beyond, Error::Hole { index: LogIndex(80), .. }));
    group.retire_before(LogIndex(80)).await.unwrap();
    store.close().await;
}

async fn an_installed_log_is_continued_and_overwritten_like_any_other(disk: Disk) {
    for class in BOTH_CLASSES {
        let id = GroupId(200 + class as u32);
        let store = disk.open().await;
        let group = store.group(id, class);
        append_each(&group, 1..80, 1).await;
        let chunks = export(&group, 41..80).await;
        // The log that the snapshot replaces reaches further, in the bucket that is still being filled.
        group.truncate_after(Some(LogIndex(60))).await.unwrap();
        append_each(&group, 61..90, 2).await;
        let ready = import(&group, chunks).await;
        group.install(ready, Vec::new(), Bytes::new()).await.unwrap();
        append_each(&group, 80..83, 3).await;
        group.truncate_after(Some(LogIndex(70))).await.unwrap();
        append_each(&group, 71..75, 4).await;
        group.retire_before(LogIndex(50)).await.unwrap();
        group.save_vote(Bytes::new()).await.unwrap();
        let store = disk.restart(store).await;
        let group = store.group(id, class);
        assert_eq!(group.load().await.unwrap().last.unwrap().index, LogIndex(74));
        let mut expected = records(50..71, 1);
        expected.extend(records(71..75, 4));
        assert_eq!(read_from(&group, 50).await, expected);
        store.close().await;
    }
}

async fn a_snapshot_without_log_empties_the_log(disk: Disk) {
    for class in BOTH_CLASSES {
        let id = GroupId(300 + class as u32);
        let store = disk.open().await;
        let group = store.group(id, class);
        append_each(&group, 1..40, 1).await;
        group.write_rows(vec![put("k", "v")]).await.unwrap();
        let chunks = export(&group, 0..0).await;
        let ready = import(&group, chunks).await;
        assert_eq!(ready.log_ends(), None);
        group.install(ready, Vec::new(), Bytes::from_static(b"p")).await.unwrap();
        let state = group.load().await.unwrap();
        assert_eq!((state.first, state.last), (None, None));
        append(&group, records(100..102, 5)).await;
        let store = disk.restart(store).await;
        let group = store.group(id, class);
        assert_eq!(read_from(&group, 100).await, records(100..102, 5));
        assert_eq!(rows(&group).await, "k=v");
        store.close().await;
    }
}
