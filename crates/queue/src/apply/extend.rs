//! A consumer needs more time.

use weir_types::MessageId;
use weir_types::limits::LEASE_MS_MAX;

use crate::backlog::Backlog;
use crate::message::{Message, State};
use crate::output::Settled;
use crate::queue::Rules;

/// The lease runs anew from now, but never longer than `LEASE_MS_MAX` since it was granted: a consumer that
/// hangs while something extends for it loses the message in the end.
pub(super) fn extend(backlog: &mut Backlog, rules: Rules, id: MessageId, lease_ms: u64) -> Settled {
    let message = backlog.detach(id).expect("the caller holds the lease");
    let State::Leased { grant, .. } = message.state else { panic!("message {id} is not leased") };
    let deadline = (rules.at.lease_clock + lease_ms).min(grant.at + LEASE_MS_MAX);
    backlog.attach(id, Message { state: State::Leased { grant, deadline }, ..message });
    Settled::Extended { deadline }
}
