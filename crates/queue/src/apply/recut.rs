//! A destination was sealed: what waits for it was cut anew for its children.

use weir_types::{At, Recut};

use crate::output::{Rejection, Reply};
use crate::queue::Queue;

impl Queue {
    /// All of it or nothing (P11).
    pub(crate) fn recut(&mut self, at: At, step: &Recut) -> Result<Reply, Rejection> {
        step.check().map_err(Rejection::Invalid)?;
        self.outbox.recut(at, step).then_some(Reply::Done).ok_or(Rejection::RecutRaced)
    }
}
