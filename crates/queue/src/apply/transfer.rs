//! Batches come from other partitions.

use weir_types::At;
use weir_types::mutants::{self, Mutant};

use super::enqueue::Door;
use crate::command::{TenantRun, Transfer};
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// Takes a batch in when it is the next of its source; otherwise only says how far that source is (P11). A batch
    /// that does not fit is rejected like any other, and its source tries again. A blocked key takes it in: a producer
    /// was promised its place long ago.
    pub(crate) fn accept_transfer(
        &mut self,
        at: At,
        transfer: &Transfer,
        tenants: &[TenantRun],
    ) -> Result<Reply, Rejection> {
        let through = self.inbox.through(transfer.source);
        if transfer.sequence <= transfer.after {
            return Err(Rejection::Invalid("a transfer comes before the one that it follows"));
        }
        if through != transfer.after && !mutants::on(Mutant::M47) {
            return Ok(Reply::Transferred { through });
        }
        self.take_in(at, &transfer.batch, tenants, Door::Open)?;
        self.inbox.advance(transfer.source, transfer.sequence);
        Ok(Reply::Transferred { through: transfer.sequence })
    }
}
