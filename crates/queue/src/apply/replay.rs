//! Kept messages are enqueued anew.

use weir_types::At;

use super::enqueue::Door;
use crate::command::{Replay, TenantRun};
use crate::output::{Rejection, Reply};
use crate::queue::Queue;
use crate::replays::Replayed;

impl Queue {
    /// One step of a replay. A step that does not begin where the replay is has been taken before, or another was:
    /// it changes nothing, and its answer says how far the replay is. What does not fit is rejected like any batch; a
    /// blocked key takes it in, behind the parked message.
    pub(crate) fn replay(
        &mut self,
        at: At,
        step: &Replay,
        tenants: &[TenantRun],
    ) -> Result<Reply, Rejection> {
        if step.from > step.next || step.next > step.end || step.end > self.header.get().next_message {
            return Err(Rejection::Invalid("a step of a replay goes forward, and not beyond what arrived"));
        }
        let begun = Replayed { next: step.from, end: step.end, count: 0, used: at.index };
        let known = self.replays.find(step.request).unwrap_or(begun);
        if known.next != step.from || known.end != step.end {
            return Ok(Reply::Replayed(known));
        }
        self.check_open().map_err(|_| Rejection::KeyGoesOn)?;
        let mut count = 0;
        if let Some(batch) = &step.batch {
            if batch.producer.is_some() || !batch.dedup.is_empty() {
                return Err(Rejection::Invalid("a replay is deduplicated by its request alone"));
            }
            self.take_in(at, batch, tenants, Door::Open)?;
            count = u64::from(batch.count);
        }
        let now = Replayed { next: step.next, count: known.count + count, used: at.index, ..known };
        self.replays.remember(step.request, now);
        Ok(Reply::Replayed(now))
    }
}
