//! Why a message is not being delivered.

use bytes::Bytes;
use weir_queue::{Explanation, Stats};
use weir_types::{ErrorKind, GroupId, KeyHash, LeaseClock, MessageId, QueuePolicy, WallClock, WeirError};

use crate::broker::Broker;

/// What to explain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// One message.
    Message(MessageId),
    /// What comes next of a key.
    Key(Bytes),
}

/// Where a message stands, with what is needed to make sense of it.
#[derive(Clone, Debug)]
pub struct Explained {
    /// What keeps it.
    pub explanation: Explanation,
    /// The settings of its queue.
    pub policy: QueuePolicy,
    /// The partition in numbers.
    pub stats: Stats,
    /// The clock of the leases' times, now.
    pub lease_clock: LeaseClock,
    /// The clock of all other times, now.
    pub wall_clock: WallClock,
}

impl Broker {
    /// Says why a message is not handed out. Never stale.
    ///
    /// # Errors
    /// `Invalid` for a key of a queue whose keys have no order.
    pub async fn explain(&self, group: GroupId, subject: Subject) -> Result<Explained, WeirError> {
        let partition = self.queue(group)?;
        partition.barrier().await?;
        let wall_clock = partition.group().wall_clock();
        partition.read(|replica| {
            let queue = replica.state();
            let explanation = match subject {
                Subject::Message(message) => queue.explain(message),
                Subject::Key(key) => queue.explain_key(Some(KeyHash::of(&key))).ok_or_else(no_order)?,
            };
            // The machine's clocks stand still between two entries. As much is taken to have passed on one as on the
            // other: a wall clock that jumps falsifies what is said of leases here, and no lease.
            let clocks = replica.clocks();
            let wall_clock = wall_clock.max(clocks.wall);
            Ok(Explained {
                explanation,
                policy: queue.policy().clone(),
                stats: queue.stats(),
                lease_clock: clocks.lease + (wall_clock - clocks.wall),
                wall_clock,
            })
        })
    }
}

fn no_order() -> WeirError {
    let message = "the queue is no FIFO queue: no message waits for another one of its key; name a message";
    WeirError::new(ErrorKind::Invalid, "queue-without-key-order", message)
}
