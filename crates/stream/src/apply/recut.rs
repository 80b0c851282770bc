//! What waits for a sealed partition goes to those that have its keys now.

use weir_types::outbox::Outbox;
use weir_types::{At, Recut};

use crate::{Rejection, Reply};

/// Replaces the batches, if they are the ones that wait: all of them or none (P11).
pub(crate) fn recut(outbox: &mut Outbox, at: At, recut: &Recut) -> Result<Reply, Rejection> {
    recut.check().map_err(Rejection::Invalid)?;
    if outbox.recut(at, recut) { Ok(Reply::Done) } else { Err(Rejection::RecutRaced) }
}
