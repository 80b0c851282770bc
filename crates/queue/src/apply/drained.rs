//! Nothing of a key is left in the partition that had it before: it goes on here.

use weir_types::{GroupId, KeyHash};

use crate::limits::INHERITED_PER_STEP_MAX;
use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// What the parent's leader says. A partition that was sealed while it waited passes it on in its turn, see
    /// [`note_drained`](Self::note_drained).
    pub(crate) fn hear_drained(&mut self, parent: GroupId, drained: &[KeyHash]) -> Result<Reply, Rejection> {
        check_count(drained)?;
        self.lineage.hear(parent);
        let index = &mut self.backlog.index;
        for key in drained {
            if self.lineage.wait_no_more(*key, parent)
                && let Some(keys) = &mut index.keys
            {
                keys.go_on(*key, &mut index.ready);
            }
        }
        Ok(Reply::Done)
    }

    /// Its child knows that these keys are drained.
    pub(crate) fn confirm_drained(&mut self, drained: &[KeyHash]) -> Result<Reply, Rejection> {
        check_count(drained)?;
        for key in drained {
            self.lineage.confirm(*key);
        }
        Ok(Reply::Done)
    }

    /// At the end of an entry: of what became of messages meanwhile only the outcome counts.
    pub(crate) fn note_drained(&mut self) {
        if let Some(keys) = &mut self.backlog.index.keys {
            for key in keys.take_drained() {
                self.lineage.drain(key);
            }
        }
    }
}

fn check_count(keys: &[KeyHash]) -> Result<(), Rejection> {
    if keys.len() > INHERITED_PER_STEP_MAX {
        return Err(Rejection::Invalid("at most 50,000 keys are drained at once"));
    }
    Ok(())
}
