//! A message is done.

use weir_types::MessageId;
use weir_types::mutants::{self, Mutant};

use crate::backlog::Backlog;
use crate::output::Settled;

/// The message goes for ever (P2): its row is deleted, and its id is never given again.
pub(super) fn ack(backlog: &mut Backlog, id: MessageId) -> Settled {
    if mutants::on(Mutant::M23) {
        return Settled::Done;
    }
    backlog.detach(id).expect("the caller holds the lease");
    Settled::Done
}
