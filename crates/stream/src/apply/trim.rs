//! Removing records on request.

use weir_types::{Offset, RowChange};

use crate::index::Index;
use crate::{Rejection, Reply};

/// Moves the start up. It may come to lie inside a batch, which is held until its last record goes; retention retires
/// the batches below it.
pub(crate) fn trim(
    index: &mut Index,
    before: Offset,
    changes: &mut Vec<RowChange>,
) -> Result<Reply, Rejection> {
    if before > index.end() {
        return Err(Rejection::OffsetOutOfRange { start: index.start(), end: index.end(), got: before });
    }
    if before > index.start() {
        index.move_start(before, changes);
    }
    Ok(Reply::Trimmed { start_offset: index.start() })
}
