//! Term, commit and applied position never fall while a node runs, and the vote on its disk never does at all.

use std::collections::BTreeMap;

use weir_broker::{Inspection, Role};
use weir_consensus::{StoredVote, stored_vote};
use weir_types::{GroupId, LogIndex, ReplicaId, Term};

use super::{Invariant, World};

/// What was seen last.
#[derive(Default)]
pub(super) struct NeverBack {
    /// By node, life of the node, and group.
    running: BTreeMap<(usize, u64, GroupId), Position>,
    votes: BTreeMap<(usize, GroupId), StoredVote>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Position {
    replica: ReplicaId,
    term: Term,
    committed: Option<LogIndex>,
    applied: LogIndex,
}

impl Position {
    fn of(replica: &Inspection) -> Self {
        let Inspection { replica, applied, status, .. } = replica;
        Self { replica: *replica, term: status.term, committed: status.committed, applied: *applied }
    }

    fn is_behind(self, known: Self) -> bool {
        self.term < known.term || self.committed < known.committed || self.applied < known.applied
    }
}

impl Invariant for NeverBack {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                if replica.status.role == Role::Stopped {
                    continue;
                }
                let now = Position::of(replica);
                let known = self.running.insert((node.number, node.life, *group), now);
                if let Some(known) = known
                    && known.replica == now.replica
                    && now.is_behind(known)
                {
                    broken.push(format!("never back: {node}, group {group}: from {known:?} to {now:?}"));
                }
            }
            if world.forgetful == Some(node.number) {
                continue;
            }
            for picture in node.disk.groups() {
                let Ok(Some(bytes)) = picture.vote() else { continue };
                let Ok(vote) = stored_vote(&bytes) else {
                    broken.push(format!("never back: {node}, group {}: a vote that is none", picture.id()));
                    continue;
                };
                let known = self.votes.insert((node.number, picture.id()), vote);
                if let Some(known) = known
                    && (vote.term, vote.committed) < (known.term, known.committed)
                {
                    broken.push(format!(
                        "never back: {node}, group {}: the vote on disk goes from {known:?} to {vote:?}",
                        picture.id()
                    ));
                }
            }
        }
    }
}
