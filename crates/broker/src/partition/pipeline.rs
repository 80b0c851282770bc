//! How many entries may be in flight: the deeper, the sooner a lone partition's callers are served; the shallower, the more
//! commands ride in one entry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Of one partition: enough to keep the log busy while one syncs, few enough that commands gather meanwhile.
const OF_PARTITION_MAX: usize = 4;
/// Of the node's partitions together, from where on each has one at a time. A sync takes all of them along, so more entries
/// would only cost more work for the same messages.
const OF_NODE: usize = 16;

/// The entries in flight of all partitions that a node leads.
#[derive(Clone, Default)]
pub(crate) struct Pipeline(Arc<AtomicUsize>);

impl Pipeline {
    /// Whether a partition with so many entries in flight may propose another one.
    pub(super) fn has_room(&self, own: usize) -> bool {
        own == 0 || own < OF_PARTITION_MAX && self.0.load(Ordering::Relaxed) < OF_NODE
    }

    /// Counts an entry until what this returns is dropped.
    pub(super) fn enter(&self) -> InFlight {
        self.0.fetch_add(1, Ordering::Relaxed);
        InFlight(self.clone())
    }
}

/// An entry that is counted.
pub(super) struct InFlight(Pipeline);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_partitions_have_several_entries_in_flight_and_many_have_one() {
        let node = Pipeline::default();
        let few: Vec<_> = (0..OF_NODE - 1).map(|_| node.enter()).collect();
        assert!(node.has_room(OF_PARTITION_MAX - 1) && !node.has_room(OF_PARTITION_MAX));
        let last = node.enter();
        assert!(!node.has_room(1), "the node has as many as it should");
        assert!(node.has_room(0), "and none keeps a partition from its first");
        drop(last);
        assert!(node.has_room(1));
        drop(few);
        assert!(node.has_room(OF_PARTITION_MAX - 1));
    }
}
