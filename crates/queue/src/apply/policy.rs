//! The topic's settings changed.

use weir_types::QueuePolicy;

use crate::output::{Rejection, Reply};
use crate::queue::{Queue, usable};

impl Queue {
    pub(crate) fn set_policy(&mut self, policy: QueuePolicy) -> Result<Reply, Rejection> {
        if policy.fifo != self.policy.get().fifo {
            return Err(Rejection::FifoIsFixed);
        }
        let policy = usable(policy);
        let index = &mut self.backlog.index;
        if let Some(keys) = &mut index.keys {
            keys.set_inflight_max(policy.max_inflight_per_key, &mut index.ready);
        }
        self.policy.set(policy);
        Ok(Reply::Done)
    }
}
