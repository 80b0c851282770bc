//! Bodies of messages were written anew.

use weir_types::{At, Pointer};

use crate::command::{MessageRun, Relocate};
use crate::limits::SETTLE_ITEMS_MAX;
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// Messages point to their new bodies. Nothing else of them changes, in whatever state they are.
    pub(crate) fn relocate(&mut self, at: At, step: &Relocate) -> Result<Reply, Rejection> {
        let next = self.header.get().next_message;
        let runs = || step.batches.iter().flat_map(|batch| &batch.runs);
        if runs().count() > SETTLE_ITEMS_MAX {
            return Err(Rejection::Invalid("a relocation has at most 65,536 runs of messages"));
        }
        let is_known =
            |run: &MessageRun| run.count > 0 && next.0.checked_sub(run.first.0) >= Some(run.count.into());
        if !runs().all(is_known) {
            return Err(Rejection::Invalid("a relocation names messages that came in"));
        }
        let mut messages = 0;
        for batch in &step.batches {
            let (position, length) = (batch.position, batch.length);
            let pointer = Pointer { term: at.term, index: at.index, position, length };
            let mut record = 0_u32;
            for run in &batch.runs {
                messages += self.backlog.relocate(*run, pointer, record);
                record = record.saturating_add(run.count);
            }
        }
        Ok(Reply::Relocated { messages })
    }
}
