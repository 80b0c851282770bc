//! A message failed and is to be tried again.

use weir_types::MessageId;
use weir_types::limits::DELAY_MS_MAX;

use super::give_back::{GivenBack, Return, give_back};
use crate::backlog::Backlog;
use crate::output::Settled;
use crate::queue::Rules;

/// Waits as the consumer says, else by the queue's backoff. The wait is a delay, so it runs on the wall clock.
pub(super) fn nack(backlog: &mut Backlog, rules: Rules, id: MessageId, delay_ms: Option<u64>) -> Settled {
    let attempt = backlog.messages.get(id).expect("the caller holds the lease").attempts + 1;
    let wait_ms = delay_ms.unwrap_or_else(|| rules.policy.backoff.after_attempt(attempt)).min(DELAY_MS_MAX);
    match give_back(backlog, rules, id, Return::Nacked { wait_ms }) {
        GivenBack::Waits => Settled::Done,
        GivenBack::Parked => Settled::Parked,
    }
}
