//! A message is done.

use weir_types::MessageId;
use weir_types::mutants::{self, Mutant};

use crate::backlog::Backlog;
use crate::output::Settled;
use crate::queue::Rules;

/// The message goes for ever (P2): its row is deleted, and its id is never given again. Its record may stay for a
/// replay, which makes another message of it.
pub(super) fn ack(backlog: &mut Backlog, rules: Rules, id: MessageId) -> Settled {
    if mutants::on(Mutant::M23) {
        return Settled::Done;
    }
    let message = backlog.detach(id).expect("the caller holds the lease");
    if let Some(ms) = rules.policy.keep_ms {
        backlog.keep(id, &message, rules.at.wall_clock + ms);
    }
    Settled::Done
}
