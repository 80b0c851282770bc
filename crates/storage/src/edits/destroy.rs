//! Everything of a group goes; a tombstone stays, so that a late message does not find a blank group.

use weir_types::GroupId;

use crate::LogClass;
use crate::catalog::Catalog;
use crate::edits::install::remove_contents;
use crate::engine::{Batch, Family};
use crate::tables::{group_row, group_slot};

pub(crate) fn destroy(catalog: &mut Catalog, group: GroupId, class: LogClass, batch: &mut Batch) {
    batch.sync = true;
    let known = catalog.touch(group, class, batch);
    let before = known.clone();
    known.alive = false;
    known.segments.clear();
    batch.put(Family::Meta, group_row::key(group), group_row::encode(known.row()));
    batch.delete_range(Family::Meta, group_slot::all(group));
    remove_contents(catalog, group, &before, batch);
}
