//! How the outbox is stored: a row per destination, and one per batch that waits.

use weir_types::outbox::{Outbox, OutboxRow};
use weir_types::{Corrupt, RowChange};

use crate::rows::{self, Key};

/// Writes what has changed since the last time.
pub(crate) fn flush(outbox: &mut Outbox, changes: &mut Vec<RowChange>) {
    outbox.flush().iter().for_each(|row| rows::put_again(changes, change(row)));
}

/// All rows, in no order.
pub(crate) fn rows(outbox: &Outbox) -> Vec<RowChange> {
    outbox.rows().map(|row| change(&row)).collect()
}

fn change(row: &OutboxRow) -> RowChange {
    match *row {
        OutboxRow::Destination(group, known) => rows::put(&Key::Destination(group), &known),
        OutboxRow::Batch(group, sequence, Some(pointer)) => {
            rows::put(&Key::OutboxBatch(group, sequence), &pointer)
        }
        OutboxRow::Batch(group, sequence, None) => rows::delete(&Key::OutboxBatch(group, sequence)),
    }
}

/// Takes a row back in, which is one of the two kinds.
pub(crate) fn restore(outbox: &mut Outbox, key: &Key, value: &[u8]) -> Result<(), Corrupt> {
    match *key {
        Key::Destination(group) => outbox.restore(OutboxRow::Destination(group, rows::read(key, value)?)),
        Key::OutboxBatch(group, sequence) => {
            outbox.restore(OutboxRow::Batch(group, sequence, Some(rows::read(key, value)?)))
        }
        _ => Err(Corrupt(format!("{key:?} is no row of the outbox"))),
    }
}
