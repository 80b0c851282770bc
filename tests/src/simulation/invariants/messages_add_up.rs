//! No message of a queue is forgotten: each that ever came is ready, waiting for its time, leased, parked or acked.

use weir_broker::Contents;

use super::{Invariant, World};

/// Needs no memory.
pub(super) struct MessagesAddUp {
    /// Whether messages are discarded, called off, moved or expire, which nothing counts.
    pub(super) drops: bool,
}

impl Invariant for MessagesAddUp {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                let Contents::Queue { counts, .. } = &replica.contents else { continue };
                let held = counts.ready + counts.leased + counts.scheduled + counts.parked;
                let known = held + counts.acked_total;
                let adds_up = known == counts.enqueued_total || self.drops && known < counts.enqueued_total;
                if !adds_up {
                    broken.push(format!("messages add up: {node}, group {group}: {counts:?}"));
                }
            }
        }
    }
}
