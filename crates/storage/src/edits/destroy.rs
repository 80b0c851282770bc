//! Everything of a group goes; a tombstone stays, so that a late message does not find a blank group.

use weir_types::GroupId;

use crate::LogClass;
use crate::catalog::{Catalog, Generation};
use crate::edits::install::remove_contents;
use crate::engine::{Batch, Family};
use crate::tables::group_row::GroupRow;
use crate::tables::group_slot;

pub(crate) fn destroy(catalog: &mut Catalog, group: GroupId, class: LogClass, batch: &mut Batch) {
    batch.sync = true;
    let generation = catalog.groups.get(&group).map_or(Generation(0), |known| known.generation);
    let before = catalog.make(group, GroupRow { class, alive: false, generation }, batch);
    batch.delete_range(Family::Meta, group_slot::all(group));
    if let Some(before) = before {
        remove_contents(catalog, group, &before, batch);
    }
}
