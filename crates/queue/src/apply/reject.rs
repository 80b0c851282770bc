//! A message that will never work.

use weir_types::MessageId;

use super::park::park;
use crate::backlog::Backlog;
use crate::limits::REASON_BYTES_MAX;
use crate::message::{Message, ParkReason};
use crate::output::Settled;
use crate::queue::Rules;

pub(super) fn reject(backlog: &mut Backlog, rules: Rules, id: MessageId, reason: &str) -> Settled {
    let message = backlog.detach(id).expect("the caller holds the lease");
    let message = Message { attempts: message.attempts + 1, ..message };
    let reason = reason[..reason.floor_char_boundary(REASON_BYTES_MAX)].to_owned();
    park(backlog, rules, id, message, ParkReason::Rejected(reason));
    Settled::Parked
}
