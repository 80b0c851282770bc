//! What the replicas held when they were looked at last.

use std::collections::BTreeMap;

use weir_checker::{Digested, MessageState};

/// The last digest of each replica, by topic and partition, then by node.
#[derive(Default)]
pub(in crate::report) struct Digests(BTreeMap<(String, u32), BTreeMap<String, Held>>);

/// What a replica held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::report) struct Held {
    /// Its applied index.
    pub(in crate::report) applied: u64,
    /// The hash over everything that is replicated.
    pub(in crate::report) hash: String,
    /// Queue: messages that are ready, leased and parked.
    pub(in crate::report) messages: [usize; 3],
    /// Stream: first and next offset.
    pub(in crate::report) bounds: Option<(u64, u64)>,
}

impl Digests {
    pub(super) fn observe(&mut self, digest: &Digested) {
        let count = |state| digest.messages.iter().filter(|(_, other)| *other == state).count();
        let held = Held {
            applied: digest.applied,
            hash: digest.hash.clone(),
            messages: [MessageState::Ready, MessageState::Leased, MessageState::Parked].map(count),
            bounds: digest.bounds,
        };
        let replicas = self.0.entry((digest.topic.clone(), digest.partition)).or_default();
        replicas.insert(digest.node.clone(), held);
    }

    /// All of them.
    pub(in crate::report) fn partitions(&self) -> &BTreeMap<(String, u32), BTreeMap<String, Held>> {
        &self.0
    }
}

/// Whether no two replicas differ at the same applied index.
pub(in crate::report) fn agree(replicas: &BTreeMap<String, Held>) -> bool {
    let differ = |a: &Held, b: &Held| a.applied == b.applied && a.hash != b.hash;
    !replicas.values().any(|a| replicas.values().any(|b| differ(a, b)))
}
