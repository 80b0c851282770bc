//! Messages are done, and what came out of them goes to other partitions: in one step.

use std::collections::BTreeSet;

use weir_types::mutants::{self, Mutant};
use weir_types::{At, Pointer};

use super::ack::ack;
use crate::command::{AckAndAppend, OutputBatch};
use crate::limits::{OUTBOX_BATCHES_MAX, OUTBOX_BYTES_MAX, OUTPUTS_MAX, SETTLE_ITEMS_MAX};
use crate::output::{Rejection, Reply, Settled};
use crate::queue::{Header, Queue};
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
        self.check_outbox(&step.outputs)?;

        let mut acked = self.header.get().acked;
        for (id, lease) in &step.messages {
            if self.holds(*id, *lease) || self.revive(at, *id, *lease) {
                ack(&mut self.backlog, *id);
                acked += 1;
            }
        }
        self.header.set(Header { acked, ..*self.header.get() });
        self.put_outputs(at, &step.outputs);
        let outcomes = vec![Settled::Done; step.messages.len()];
        if let Some(request) = step.request {
            self.requests.remember(at.lease_clock, request, Answer::settled(&outcomes));
        }
        Ok(Reply::Settled { outcomes })
    }

    pub(super) fn put_outputs(&mut self, at: At, outputs: &[OutputBatch]) {
        for OutputBatch { destination, position, length } in outputs {
            let pointer = Pointer { term: at.term, index: at.index, position: *position, length: *length };
            self.outbox.put(*destination, pointer);
        }
    }

    pub(super) fn check_outbox(&self, outputs: &[OutputBatch]) -> Result<(), Rejection> {
        let (batches, bytes) = (self.outbox.len(), self.outbox.bytes());
        let more: u64 = outputs.iter().map(|output| u64::from(output.length)).sum();
        // What is larger than the whole outbox could never be sent: an empty one takes anything.
        let fits = batches + outputs.len() <= OUTBOX_BATCHES_MAX && bytes + more <= OUTBOX_BYTES_MAX;
        if fits || outputs.is_empty() || batches == 0 {
            return Ok(());
        }
        let (batches_max, bytes_max) = (OUTBOX_BATCHES_MAX, OUTBOX_BYTES_MAX);
        Err(Rejection::OutboxFull { batches, batches_max, bytes, bytes_max })
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
