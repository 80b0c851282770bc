//! Lease ids rise with the log: of two states of a queue, the later one has granted at least the leases of the earlier.

use std::collections::BTreeMap;

use weir_broker::Contents;
use weir_types::{GroupId, LeaseId, LogIndex};

use super::{Invariant, World};

/// Positions of a group that are remembered.
const REMEMBERED: usize = 512;

/// The last lease at each applied position that was seen.
#[derive(Default)]
pub(super) struct LeaseIdsRise {
    seen: BTreeMap<GroupId, BTreeMap<LogIndex, LeaseId>>,
}

impl Invariant for LeaseIdsRise {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                let Contents::Queue { last_lease, .. } = &replica.contents else { continue };
                // Nothing was applied since the node started: its position is not known.
                if replica.applied == LogIndex(0) {
                    continue;
                }
                let (applied, lease) = (replica.applied, *last_lease);
                let seen = self.seen.entry(*group).or_default();
                let earlier = seen.range(..=applied).next_back().map(|(_, lease)| *lease);
                let later = seen.range(applied..).next().map(|(_, lease)| *lease);
                if earlier.is_some_and(|earlier| earlier > lease) || later.is_some_and(|later| later < lease)
                {
                    broken.push(format!(
                        "lease ids: {node} at entry {applied} of group {group} has granted {lease}, \
                         others {earlier:?} before and {later:?} after"
                    ));
                }
                seen.insert(applied, lease);
                if seen.len() > REMEMBERED {
                    seen.pop_first();
                }
            }
        }
    }
}
