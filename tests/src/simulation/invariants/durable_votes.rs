//! A vote that a node cast stays on its disk, whatever happens to the node: it votes once per term.

use std::collections::BTreeMap;

use weir_consensus::{StoredVote, stored_vote};
use weir_types::GroupId;

use super::{Invariant, World};

/// The last vote of each node and group.
#[derive(Default)]
pub(super) struct DurableVotes {
    cast: BTreeMap<(usize, GroupId), StoredVote>,
}

impl Invariant for DurableVotes {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        // A node that forgot comes back under new replica ids, or does not vote.
        for node in world.nodes.iter().filter(|node| world.forgetful != Some(node.number)) {
            for picture in node.disk.groups() {
                let group = picture.id();
                let Ok(Some(bytes)) = picture.vote() else {
                    // A new replica of the group, which has not voted yet.
                    self.cast.remove(&(node.number, group));
                    continue;
                };
                let Ok(vote) = stored_vote(&bytes) else {
                    broken.push(format!("durable votes: {node}, group {group}: a vote that is none"));
                    continue;
                };
                let Some(cast) = self.cast.insert((node.number, group), vote) else { continue };
                // Whoever voted for one may follow another that a majority voted for.
                let changed = vote.replica != cast.replica && (cast.committed || !vote.committed);
                let back = vote.term < cast.term
                    || vote.term == cast.term && (changed || cast.committed && !vote.committed);
                if back {
                    broken.push(format!(
                        "durable votes: {node}, group {group}: the vote on its disk goes from {cast:?} to {vote:?}"
                    ));
                }
            }
        }
    }
}
