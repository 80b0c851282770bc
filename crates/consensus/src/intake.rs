//! Whether a replica takes proposals: it does not for the moment in which a successor takes its leadership over.

use parking_lot::RwLock;
use tokio::sync::{Mutex, MutexGuard};
use weir_types::NodeId;

/// The way in for proposals.
#[derive(Default)]
pub(crate) struct Intake {
    /// Where proposals should go instead, while none is taken.
    successor: RwLock<Option<NodeId>>,
    turn: Mutex<()>,
}

/// Keeps an intake closed for as long as it lives. However a transfer ends, its owner's future being dropped
/// included, proposals are taken again.
pub(crate) struct Closed<'a> {
    intake: &'a Intake,
    _turn: MutexGuard<'a, ()>,
}

impl Intake {
    /// Queues a proposal, or names the node that is about to lead. `queue` must not wait.
    pub(crate) fn pass<T>(&self, queue: impl FnOnce() -> T) -> Result<T, NodeId> {
        // Held while `queue` runs: whoever closes the intake knows that everything that passed is queued.
        let successor = self.successor.read();
        match *successor {
            None => Ok(queue()),
            Some(node) => Err(node),
        }
    }

    /// Closes in favour of `successor`. One at a time; the next waits for its turn.
    pub(crate) async fn close(&self, successor: NodeId) -> Closed<'_> {
        let turn = self.turn.lock().await;
        *self.successor.write() = Some(successor);
        Closed { intake: self, _turn: turn }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        *self.intake.successor.write() = None;
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn a_closed_intake_names_the_successor_and_opens_when_the_transfer_is_dropped() {
        let intake = Intake::default();
        let closed = intake.close(NodeId(2)).await;
        assert_eq!(intake.pass(|| unreachable!("closed")), Err::<(), _>(NodeId(2)));
        drop(closed);
        assert_eq!(intake.pass(|| 7).unwrap(), 7);
    }
}
