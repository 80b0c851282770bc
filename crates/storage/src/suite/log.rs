//! The Raft log of a group.

use std::sync::Arc;

use parking_lot::Mutex;

use super::*;
use crate::{Error, GroupState, LogPosition};

both_engines!(
    appended_entries_are_read_back_from_cache_and_disk,
    a_group_finds_its_state_again_after_a_restart,
    an_overwritten_suffix_stays_overwritten_across_a_bucket_switch,
    a_suffix_truncated_in_an_old_bucket_does_not_come_back,
    a_log_truncated_to_nothing_begins_anew,
    retired_entries_are_gone_and_the_rest_stays,
    a_log_retired_to_its_end_goes_on,
    buckets_die_when_their_last_entry_is_retired,
    reads_are_cut_by_bytes_and_end_with_the_log,
    an_append_that_leaves_a_gap_is_refused,
    callbacks_of_many_groups_come_in_order,
    a_destroyed_group_leaves_a_tombstone_until_it_is_written_again,
    a_group_of_the_other_class_is_refused,
    node_rows_are_durable,
);

fn position(index: u64, term: u64) -> LogPosition {
    LogPosition { index: LogIndex(index), term: Term(term) }
}

async fn appended_entries_are_read_back_from_cache_and_disk(disk: Disk) {
    let store = disk.open().await;
    for (class, id) in BOTH_CLASSES.into_iter().zip(1..) {
        let group = store.group(GroupId(id), class);
        append_each(&group, 1..60, 1).await;
        assert_eq!(read_from(&group, 1).await, records(1..60, 1));
        assert_eq!(group.read(58..60, 10_000).await.unwrap(), records(58..60, 1));
    }
    store.close().await;
}

async fn a_group_finds_its_state_again_after_a_restart(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        assert_eq!(group.load().await.unwrap(), GroupState::default());
        group.save_vote(Bytes::from_static(b"vote")).await.unwrap();
        group.save_committed(Bytes::from_static(b"committed")).await.unwrap();
        group.save_purged(Bytes::from_static(b"purged")).await.unwrap();
        append_each(&group, 5..40, 2).await;
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        let state = group.load().await.unwrap();
        let expected = GroupState {
            vote: Some(Bytes::from_static(b"vote")),
            committed: Some(Bytes::from_static(b"committed")),
            purged: Some(Bytes::from_static(b"purged")),
            first: Some(position(5, 2)),
            last: Some(position(39, 2)),
            destroyed: false,
        };
        assert_eq!(state, expected);
        assert_eq!(read_from(&group, 5).await, records(5..40, 2));
    }
    store.close().await;
}

async fn an_overwritten_suffix_stays_overwritten_across_a_bucket_switch(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..60, 1).await;
        // Twice, so that the second truncation meets segments that the first one left.
        for (kept, term) in [(40, 2), (20, 3)] {
            group.truncate_after(Some(LogIndex(kept))).await.unwrap();
            append_each(&group, kept + 1..50, term).await;
        }
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        let mut expected = records(1..21, 1);
        expected.extend(records(21..50, 3));
        assert_eq!(read_from(&group, 1).await, expected);
        assert_eq!(group.load().await.unwrap().last, Some(position(49, 3)));
    }
    store.close().await;
}

async fn a_suffix_truncated_in_an_old_bucket_does_not_come_back(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..60, 1).await;
        group.truncate_after(Some(LogIndex(10))).await.unwrap();
        // What is unsynced would be lost; a vote's sync takes it along.
        group.save_vote(Bytes::from_static(b"v")).await.unwrap();
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        assert_eq!(group.load().await.unwrap().last, Some(position(10, 1)));
        append_each(&group, 11..13, 2).await;
        group.truncate_after(Some(LogIndex(11))).await.unwrap();
        let mut expected = records(1..11, 1);
        expected.push(record(11, 2));
        assert_eq!(read_from(&group, 1).await, expected);
    }
    store.close().await;
}

async fn a_log_truncated_to_nothing_begins_anew(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..30, 1).await;
        group.truncate_after(None).await.unwrap();
        assert_eq!(group.load().await.unwrap().last, None);
        append(&group, records(1..3, 2)).await;
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        assert_eq!(read_from(&group, 1).await, records(1..3, 2));
        assert_eq!(group.load().await.unwrap().last, Some(position(2, 2)));
    }
    store.close().await;
}

async fn retired_entries_are_gone_and_the_rest_stays(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..60, 1).await;
        group.retire_before(LogIndex(31)).await.unwrap();
        group.retire_before(LogIndex(9)).await.unwrap();
        let refused = group.read(30..32, 1000).await.unwrap_err();
        assert!(matches!(refused, Error::Retired { first: LogIndex(31), .. }));
        assert_eq!(group.load().await.unwrap().first, Some(position(31, 1)));
        assert_eq!(read_from(&group, 31).await, records(31..60, 1));
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        // A retirement is not synced by itself: after a crash more may be there, never less.
        assert!(group.load().await.unwrap().first.unwrap() <= position(31, 1));
        assert_eq!(read_from(&group, 31).await, records(31..60, 1));
    }
    store.close().await;
}

async fn a_log_retired_to_its_end_goes_on(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..30, 1).await;
        group.retire_before(LogIndex(100)).await.unwrap();
        let state = group.load().await.unwrap();
        assert_eq!((state.first, state.last), (None, None));
        let refused = group.read(1..30, 1000).await.unwrap_err();
        assert!(matches!(refused, Error::Retired { first: LogIndex(30), .. }));
        assert_eq!(read_from(&group, 30).await, []);
        append(&group, records(30..32, 2)).await;
        assert_eq!(read_from(&group, 30).await, records(30..32, 2));
    }
    store = disk.restart(store).await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        assert_eq!(group.load().await.unwrap().last, Some(position(31, 2)));
        assert_eq!(read_from(&group, 30).await, records(30..32, 2));
    }
    store.close().await;
}

async fn buckets_die_when_their_last_entry_is_retired(disk: Disk) {
    let store = disk.open().await;
    let (one, two) = (store.group(GroupId(1), LogClass::Stream), store.group(GroupId(2), LogClass::Stream));
    for index in 1..200 {
        append(&one, vec![record(index, 1)]).await;
        append(&two, vec![record(index, 1)]).await;
    }
    let held = |store: &Store| store.inner.catalog.lock().buckets.held();
    let before = held(&store);
    assert!(before > 10, "{before} buckets");
    one.retire_before(LogIndex(190)).await.unwrap();
    one.save_vote(Bytes::new()).await.unwrap();
    assert_eq!(held(&store), before, "the other group still needs them");
    two.retire_before(LogIndex(190)).await.unwrap();
    two.save_vote(Bytes::new()).await.unwrap();
    assert!(held(&store) < 4);
    assert_eq!(read_from(&one, 190).await, records(190..200, 1));
    assert_eq!(read_from(&two, 190).await, records(190..200, 1));
    let store = disk.restart(store).await;
    let dead = store.inner.catalog.lock().buckets.dead_runs();
    assert!(dead.is_empty() || matches!(disk, Disk::Rocks(_)), "{dead:?}");
    assert_eq!(read_from(&store.group(GroupId(1), LogClass::Stream), 190).await, records(190..200, 1));
    store.close().await;
}

async fn reads_are_cut_by_bytes_and_end_with_the_log(disk: Disk) {
    let store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append(&group, records(1..30, 1)).await;
        assert_eq!(group.read(1..30, 0).await.unwrap(), records(1..2, 1));
        assert_eq!(group.read(29..500, 10_000).await.unwrap(), records(29..30, 1));
        assert_eq!(group.read(30..500, 10_000).await.unwrap(), []);
        assert_eq!(group.read(5..5, 10_000).await.unwrap(), []);
        let part = group.read(1..30, 1000).await.unwrap();
        assert!((5..10).contains(&part.len()), "{}", part.len());
    }
    store.close().await;
}

async fn an_append_that_leaves_a_gap_is_refused(disk: Disk) {
    let store = disk.open().await;
    let group = store.group(GROUP, LogClass::Queue);
    append(&group, records(1..3, 1)).await;
    let refused = group.append(records(4..5, 1), |_| ()).await.unwrap_err();
    assert!(matches!(refused, Error::NotContiguous { expected: LogIndex(3), found: LogIndex(4), .. }));
    append(&group, records(3..4, 1)).await;
    assert_eq!(read_from(&group, 1).await, records(1..4, 1));
    store.close().await;
}

async fn callbacks_of_many_groups_come_in_order(disk: Disk) {
    let store = disk.open().await;
    let seen: Arc<Mutex<Vec<(u32, u64)>>> = Arc::default();
    let mut tasks = Vec::new();
    for id in 1..20 {
        let class = BOTH_CLASSES[id as usize % 2];
        let (group, seen) = (store.group(GroupId(id), class), Arc::clone(&seen));
        tasks.push(tokio::spawn(async move {
            for index in 1..50 {
                let seen = Arc::clone(&seen);
                let note = move |result: Result<(), Error>| {
                    result.unwrap();
                    seen.lock().push((id, index));
                };
                group.append(vec![record(index, 1)], note).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    store.close().await;
    for id in 1..20 {
        let of_group: Vec<u64> = seen.lock().iter().filter(|(of, _)| *of == id).map(|(_, at)| *at).collect();
        assert_eq!(of_group, (1..50).collect::<Vec<_>>());
    }
}

async fn a_destroyed_group_leaves_a_tombstone_until_it_is_written_again(disk: Disk) {
    let mut store = disk.open().await;
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        append_each(&group, 1..40, 1).await;
        group.save_vote(Bytes::from_static(b"v")).await.unwrap();
        group.write_rows(vec![put("k", "v")]).await.unwrap();
    }
    assert_eq!(store.groups().await.unwrap(), [GroupId(0), GroupId(1)]);
    for class in BOTH_CLASSES {
        store.group(GroupId(class as u32), class).destroy().await.unwrap();
    }
    store = disk.restart(store).await;
    assert_eq!(store.groups().await.unwrap(), []);
    for class in BOTH_CLASSES {
        let group = store.group(GroupId(class as u32), class);
        assert_eq!(group.load().await.unwrap(), GroupState { destroyed: true, ..GroupState::default() });
        assert_eq!(rows(&group).await, "");
        append(&group, records(1..3, 9)).await;
        let state = group.load().await.unwrap();
        assert_eq!((state.destroyed, state.vote, state.last), (false, None, Some(position(2, 9))));
        assert_eq!(rows(&group).await, "");
    }
    store = disk.restart(store).await;
    assert_eq!(store.groups().await.unwrap(), [GroupId(0), GroupId(1)]);
    store.close().await;
}

async fn a_group_of_the_other_class_is_refused(disk: Disk) {
    let store = disk.open().await;
    append(&store.group(GROUP, LogClass::Queue), records(1..2, 1)).await;
    let refused = store.group(GROUP, LogClass::Stream).load().await.unwrap_err();
    assert!(matches!(refused, Error::WrongClass { stored: LogClass::Queue, asked: LogClass::Stream, .. }));
    store.close().await;
}

async fn node_rows_are_durable(disk: Disk) {
    let store = disk.open().await;
    store.node_rows().put(b"replica/1", b"a").await.unwrap();
    store.node_rows().put(b"replica/2", b"b").await.unwrap();
    store.node_rows().put(b"other", b"c").await.unwrap();
    store.node_rows().delete(b"replica/1").await.unwrap();
    let store = disk.restart(store).await;
    assert_eq!(store.node_rows().get(b"replica/1").await.unwrap(), None);
    assert_eq!(store.node_rows().get(b"other").await.unwrap(), Some(Bytes::from_static(b"c")));
    let rows = store.node_rows().with_prefix(b"replica/").await.unwrap();
    assert_eq!(rows, [weir_types::Row { key: b"replica/2".to_vec(), value: b"b".to_vec() }]);
    store.close().await;
}
