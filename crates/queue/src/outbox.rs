//! How the outbox is stored: a row per destination, and one per batch that waits.

use serde::{Deserialize, Serialize};
use weir_types::outbox::{Destination, OutboxRow};
use weir_types::{Corrupt, GroupId, Pointer, RowChange, TransferSequence};

use crate::rows::{KeyBytes, Kind, decode_value, encode_key, encode_value};

/// A record batch for another partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxBatch {
    pub(crate) pointer: Pointer,
}

/// Writes what has changed.
pub(crate) fn change(row: &OutboxRow) -> RowChange {
    match *row {
        OutboxRow::Destination(group, known) => {
            RowChange::put(encode_key(Kind::Destination, group), encode_value(&known))
        }
        OutboxRow::Batch(group, sequence, pointer) => {
            let key = encode_key(Kind::OutboxBatch, (group, sequence));
            match pointer {
                Some(pointer) => RowChange::put(key, encode_value(&OutboxBatch { pointer })),
                None => RowChange::delete(key),
            }
        }
    }
}

/// Reads the row of a destination.
pub(crate) fn destination(name: &[u8], value: &[u8]) -> Result<OutboxRow, Corrupt> {
    let known: Destination = decode_value(Kind::Destination, value)?;
    Ok(OutboxRow::Destination(GroupId::read(name).ok_or_else(|| bad_key(name))?, known))
}

/// Reads the row of a batch.
pub(crate) fn batch(name: &[u8], value: &[u8]) -> Result<OutboxRow, Corrupt> {
    let OutboxBatch { pointer } = decode_value(Kind::OutboxBatch, value)?;
    let (group, sequence) = <(GroupId, TransferSequence)>::read(name).ok_or_else(|| bad_key(name))?;
    Ok(OutboxRow::Batch(group, sequence, Some(pointer)))
}

fn bad_key(name: &[u8]) -> Corrupt {
    Corrupt(format!("outbox row has a key of {} bytes", name.len()))
}
