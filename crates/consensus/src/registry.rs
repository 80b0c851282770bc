//! The open groups of a node.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use weir_types::GroupId;

use crate::replica::Replica;
use crate::transport::{Refusal, Target};

/// Which replica is open for each group.
#[derive(Default)]
pub(crate) struct Registry(RwLock<BTreeMap<GroupId, Arc<Replica>>>);

impl Registry {
    pub(crate) fn get(&self, group: GroupId) -> Option<Arc<Replica>> {
        self.0.read().get(&group).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Replica>> {
        self.0.read().values().cloned().collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// As many as there are, up to `count`, of those after `last`, in order of their groups.
    pub(crate) fn after(&self, last: Option<GroupId>, count: usize) -> Vec<Arc<Replica>> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let groups = self.0.read();
        groups.range((from, Bound::Unbounded)).take(count).map(|(_, replica)| Arc::clone(replica)).collect()
    }

    pub(crate) fn insert(&self, replica: Arc<Replica>) {
        self.0.write().insert(replica.spec.group, replica);
    }

    pub(crate) fn remove(&self, group: GroupId) -> Option<Arc<Replica>> {
        self.0.write().remove(&group)
    }

    /// The replica that a peer means. A message never creates one.
    pub(crate) fn find(&self, target: Target) -> Result<Arc<Replica>, Refusal> {
        let replica = self.get(target.group).ok_or(Refusal::UnknownGroup)?;
        if replica.spec.replica != target.replica {
            return Err(Refusal::WrongReplica);
        }
        Ok(replica)
    }
}
