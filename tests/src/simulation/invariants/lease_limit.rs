//! No more messages of a queue's partition are leased at once than its limit says.

use weir_broker::Contents;

use super::{Invariant, World};

/// Needs no memory.
pub(super) struct LeaseLimit {
    /// The limit of every queue, if there is one.
    pub(super) max: Option<u32>,
}

impl Invariant for LeaseLimit {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        let Some(max) = self.max else { return };
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                let Contents::Queue { counts, .. } = &replica.contents else { continue };
                if counts.leased > u64::from(max) {
                    broken.push(format!(
                        "lease limit: {node}, group {group}: {} of {max} leases",
                        counts.leased
                    ));
                }
            }
        }
    }
}
