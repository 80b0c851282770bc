//! A parent was sealed, and hands over what belongs to its keys.

use weir_types::At;
use weir_types::limits::DEDUP_WINDOW_MS;
use weir_types::mutants::{self, Mutant};

use crate::command::Inherit;
use crate::limits::{INHERITED_PER_STEP_MAX, LEASE_BASE_MAX};
use crate::output::{Rejection, Reply};
use crate::queue::{Header, Queue};

impl Queue {
    /// Nothing of it is lost when it comes twice, in parts, or by two leaders of the parent at once. What comes late is let
    /// be: the parent tells what is drained only after all of its inheritance has arrived, and a partition is sealed
    /// itself only after it has inherited.
    pub(crate) fn inherit(&mut self, at: At, step: &Inherit) -> Result<Reply, Rejection> {
        if step.keys.len() > INHERITED_PER_STEP_MAX || step.dedup.len() > INHERITED_PER_STEP_MAX {
            return Err(Rejection::Invalid("a step of an inheritance has at most 50,000 keys and dedup ids"));
        }
        if step.lease_base.0 > LEASE_BASE_MAX {
            return Err(Rejection::Invalid("no partition has given so many leases"));
        }
        if self.is_sealed() || self.lineage.has_heard(step.parent) {
            return Ok(Reply::Done);
        }
        let header = *self.header.get();
        if !mutants::on(Mutant::M54) {
            self.header.set(Header { last_lease: header.last_lease.max(step.lease_base), ..header });
        }
        for (source, through) in &step.sources {
            if self.inbox.through(*source) < *through {
                self.inbox.advance(*source, *through);
            }
        }
        for known in &step.dedup {
            let until = at.lease_clock + known.left_ms.min(DEDUP_WINDOW_MS);
            self.dedup.inherit(at.lease_clock, known.id, known.message, until);
        }
        let index = &mut self.backlog.index;
        if let Some(keys) = &mut index.keys {
            for key in &step.keys {
                self.lineage.wait(*key, step.parent);
                keys.wait_for_parent(*key, &mut index.ready);
            }
        }
        Ok(Reply::Done)
    }
}
