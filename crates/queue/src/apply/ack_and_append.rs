//! Messages are done, and what came out of them goes to other partitions: in one step.

use std::collections::BTreeSet;

use weir_types::At;
use weir_types::limits::OUTPUTS_MAX;
use weir_types::mutants::{self, Mutant};

use super::ack::ack;
use crate::command::AckAndAppend;
use crate::limits::SETTLE_ITEMS_MAX;
use crate::output::{Rejection, Reply, Settled};
use crate::queue::{Header, Queue, Rules};
use crate::requests::Answer;

impl Queue {
    /// Judges all of it first: either every message is acked and every batch put into the outbox, or nothing
    /// happens (P11).
    pub(crate) fn ack_and_append(&mut self, at: At, step: &AckAndAppend) -> Result<Reply, Rejection> {
        if let Some(answered) = self.answered_settle(at, step.request)? {
            return Ok(answered);
        }
        check_shape(step)?;
        let lost = step.messages.iter().find(|(id, lease)| !self.has_lease(*id, *lease));
        if let Some((message, lease)) = lost.filter(|_| !mutants::on(Mutant::M31)) {
            return Err(Rejection::LeaseLost { message: *message, lease: *lease });
        }
        self.outbox.check_room(&step.outputs)?;

        let mut acked = self.header.get().acked;
        for (id, lease) in &step.messages {
            if self.holds(*id, *lease) || self.revive(at, *id, *lease, false) {
                ack(&mut self.backlog, Rules { at, policy: self.policy.get() }, *id);
                acked += 1;
            }
        }
        self.header.set(Header { acked, ..*self.header.get() });
        self.outbox.put(at, &step.outputs);
        let outcomes = vec![Settled::Done; step.messages.len()];
        if let Some(request) = step.request {
            self.requests.remember(at.lease_clock, request, Answer::settled(&outcomes));
        }
        Ok(Reply::Settled { outcomes })
    }
}

/// The door refuses such a step; a replica must survive one all the same.
fn check_shape(step: &AckAndAppend) -> Result<(), Rejection> {
    if step.messages.is_empty() || step.messages.len() > SETTLE_ITEMS_MAX {
        return Err(Rejection::Invalid("an ack-and-append has 1 to 65,536 messages"));
    }
    if step.outputs.len() > OUTPUTS_MAX {
        return Err(Rejection::Invalid("an ack-and-append has at most 1,024 record batches"));
    }
    let distinct: BTreeSet<_> = step.messages.iter().map(|(message, _)| message).collect();
    if distinct.len() < step.messages.len() {
        return Err(Rejection::Invalid("an ack-and-append names a message twice"));
    }
    Ok(())
}
