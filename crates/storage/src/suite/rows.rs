//! The rows of a group's machine.

use super::*;

both_engines!(
    rows_come_in_key_order_with_later_changes_winning,
    rows_of_one_group_are_not_seen_by_another,
    rows_can_be_read_by_prefix,
);

async fn rows_come_in_key_order_with_later_changes_winning(disk: Disk) {
    let store = disk.open().await;
    let group = store.group(GROUP, LogClass::Queue);
    group.write_rows(vec![put("b", "1"), put("a", "2"), put("c", "3")]).await.unwrap();
    group.write_rows(vec![put("b", "4"), RowChange::delete(b"c".to_vec()), put("b", "5")]).await.unwrap();
    assert_eq!(rows(&group).await, "a=2 b=5");
    // Rows ride along unsynced; the sync of an append takes them to the disk.
    append(&group, records(1..2, 1)).await;
    let store = disk.restart(store).await;
    assert_eq!(rows(&store.group(GROUP, LogClass::Queue)).await, "a=2 b=5");
    store.close().await;
}

async fn rows_of_one_group_are_not_seen_by_another(disk: Disk) {
    let store = disk.open().await;
    for id in [1, 2, 0x0100, u32::MAX - 1] {
        store.group(GroupId(id), LogClass::Queue).write_rows(vec![put("id", &id.to_string())]).await.unwrap();
    }
    for id in [1, 2, 0x0100, u32::MAX - 1] {
        assert_eq!(rows(&store.group(GroupId(id), LogClass::Queue)).await, format!("id={id}"));
    }
    store.close().await;
}

async fn rows_can_be_read_by_prefix(disk: Disk) {
    let store = disk.open().await;
    let group = store.group(GROUP, LogClass::Stream);
    group.write_rows(vec![put("a1", ""), put("b1", ""), put("b2", ""), put("c", "")]).await.unwrap();
    let found = group.rows_with_prefix(b"b").await.unwrap();
    assert_eq!(found.iter().map(|row| row.key.as_slice()).collect::<Vec<_>>(), [b"b1", b"b2"]);
    assert_eq!(group.rows_with_prefix(b"x").await.unwrap(), []);
    store.close().await;
}
