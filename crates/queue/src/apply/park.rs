//! Dead letters stay where they are.

use weir_types::MessageId;
use weir_types::mutants::{self, Mutant};

use super::give_back::revoke_later;
use crate::backlog::Backlog;
use crate::message::{Message, ParkReason, State};
use crate::queue::Rules;

/// Sets a detached message aside, in its place (P7: never dropped). In a FIFO queue its key goes on without
/// it, or waits behind it, as the policy says.
pub(super) fn park(
    backlog: &mut Backlog,
    rules: Rules,
    id: MessageId,
    mut message: Message,
    reason: ParkReason,
) {
    if mutants::on(Mutant::M06) {
        return;
    }
    let holds_key = rules.policy.fifo && rules.policy.park.holds_key() && !mutants::on(Mutant::M38);
    if holds_key {
        revoke_later(backlog, id, &message);
    }
    message.state = State::Parked { reason, since: rules.at.wall_clock, holds_key };
    backlog.attach(id, message);
}
