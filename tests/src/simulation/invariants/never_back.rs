//! Term, commit and applied position never fall while a node runs.

use std::collections::BTreeMap;

use weir_broker::{Inspection, Role};
use weir_types::{GroupId, LogIndex, ReplicaId, Term};

use super::{Invariant, World};

/// What was seen last.
#[derive(Default)]
pub(super) struct NeverBack {
    /// By node, life of the node, and group.
    running: BTreeMap<(usize, u64, GroupId), Position>,
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
        }
    }
}
