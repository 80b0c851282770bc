//! A finished import takes the place of the group's rows and log, in one small batch.

use weir_types::{GroupId, LogIndex, RowChange};

use crate::LogClass;
use crate::catalog::{Catalog, Generation, Group, delete_generation};
use crate::engine::{Batch, Family};
use crate::tables::group_row::GroupRow;
use crate::tables::group_slot::{self, Slot};
use crate::tables::{machine_row, segment, staging, stream_log};

/// What to install.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) class: LogClass,
    pub(crate) generation: Generation,
    pub(crate) extra_rows: Vec<RowChange>,
    pub(crate) purged: Vec<u8>,
}

/// Returns false when the import is not there any more.
pub(crate) fn install(
    catalog: &mut Catalog,
    group: GroupId,
    installation: Installation,
    batch: &mut Batch,
) -> bool {
    let generation = installation.generation;
    let Some(staged) = catalog.staged.remove(&(group, generation)) else { return false };
    batch.sync = true;
    let row = GroupRow { class: installation.class, alive: true, generation };
    let before = catalog.make(group, row, batch);
    batch.put(Family::Meta, group_slot::key(group, Slot::Purged), installation.purged);
    batch.delete(Family::Meta, staging::key(group, generation));
    if let Some(before) = before {
        remove_contents(catalog, group, &before, batch);
    }
    for segment in &staged.segments {
        batch.put(Family::Meta, segment::key(group, segment.first), segment::value(*segment));
    }
    catalog.groups.get_mut(&group).expect("made above").segments = staged.segments;
    for change in installation.extra_rows {
        put_row(group, generation, change, batch);
    }
    true
}

/// Deletes what `before` says of the group's rows, log and segments; not its group row and slots.
pub(crate) fn remove_contents(catalog: &mut Catalog, group: GroupId, before: &Group, batch: &mut Batch) {
    delete_generation(group, before.generation, batch);
    batch.delete_range(Family::Meta, segment::all(group));
    if let Some(current) = catalog.buckets.current() {
        // The group may write to this bucket again, and must not find what it held. In all others the removed
        // segments make its entries dead.
        batch.delete_range(Family::StreamLog, stream_log::group_from(current, group, LogIndex(0)));
    }
    catalog.release(before.segments.iter().map(|segment| segment.bucket), batch);
}

/// One change of a row.
pub(crate) fn put_row(group: GroupId, generation: Generation, change: RowChange, batch: &mut Batch) {
    let key = machine_row::key(group, generation, &change.key);
    match change.value {
        Some(value) => batch.put(Family::Rows, key, value),
        None => batch.delete(Family::Rows, key),
    }
}
