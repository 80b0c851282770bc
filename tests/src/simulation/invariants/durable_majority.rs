//! What is committed is synced on a majority of the voters: only then may it be acknowledged.

use std::collections::BTreeMap;

use weir_types::{GroupId, LogIndex, NodeId, ReplicaId};

use super::{Invariant, World, applied};

/// Up to where each group was looked at.
#[derive(Default)]
pub(super) struct DurableMajority {
    looked: BTreeMap<GroupId, LogIndex>,
}

impl Invariant for DurableMajority {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                let (Some(tail), voters) = (node.tail(*group), &replica.status.voters) else { continue };
                // What was acknowledged was applied.
                let committed = tail.applied;
                let looked = self.looked.entry(*group).or_default();
                // An even number of voters is a change of members under way, whose two majorities are not known here.
                if *looked >= committed || voters.len() % 2 == 0 {
                    continue;
                }
                *looked = committed;
                let term = node.on_disk(*group).and_then(|picture| picture.entry(committed)).map(|e| e.term);
                let Some(term) = term else { continue };
                let holding = voters.iter().filter(|voter| holds(world, *group, *voter, (committed, term)));
                let holding = holding.count();
                if holding * 2 <= voters.len() {
                    broken.push(format!(
                        "durable majority: {node} says that entry {committed} of group {group} is committed, which \
                         {holding} of {} voters have on disk",
                        voters.len()
                    ));
                }
            }
        }
    }
}

/// Whether a voter has an entry on its disk, or applied it and let it go. Appends are synced when they are written, so
/// a picture of the disk has no unsynced ones.
fn holds(
    world: &World,
    group: GroupId,
    (_, voter): (&ReplicaId, &NodeId),
    (index, term): (LogIndex, weir_types::Term),
) -> bool {
    let Some(machine) = world.machines.get(voter) else { return true };
    if world.forgetful == Some(*machine) {
        return true;
    }
    let Some(picture) = world.nodes[*machine].on_disk(group) else { return false };
    picture.entry(index).is_some_and(|entry| entry.term == term)
        || applied(&picture).is_some_and(|(_, applied)| applied >= index)
}
