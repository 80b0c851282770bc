//! A scheduled message is called off.

use weir_types::MessageId;
use weir_types::mutants::{self, Mutant};

use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// Only before it was due: afterwards a consumer may have it.
    pub(crate) fn cancel_scheduled(&mut self, message: MessageId) -> Result<Reply, Rejection> {
        let scheduled = self.backlog.span_of(message).is_some_and(|(_, span)| span.deliver_at.is_some());
        if !scheduled {
            return Err(Rejection::NotScheduled { message });
        }
        if !mutants::on(Mutant::M40) {
            self.backlog.detach(message).expect("a message in a span exists");
        }
        Ok(Reply::Done)
    }
}
