//! A message is done.

use weir_types::MessageId;

use crate::backlog::Backlog;
use crate::output::Settled;

/// The message goes for ever (P2): its row is deleted, and its id is never given again.
pub(super) fn ack(backlog: &mut Backlog, id: MessageId) -> Settled {
    backlog.detach(id).expect("the caller holds the lease");
    Settled::Done
}
