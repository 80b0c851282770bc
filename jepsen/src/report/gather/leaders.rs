//! Who led which partition, and when.

use std::collections::BTreeMap;

use weir_checker::Micros;

/// By topic and partition, then by term.
#[derive(Default)]
pub(in crate::report) struct Leaders {
    partitions: BTreeMap<(String, u32), BTreeMap<u64, Reign>>,
}

/// A leader of one term, as far as it was seen.
pub(in crate::report) struct Reign {
    /// Its node.
    pub(in crate::report) leader: String,
    /// When it was seen first.
    pub(in crate::report) first: Micros,
    /// When it was seen last.
    pub(in crate::report) last: Micros,
}

impl Leaders {
    pub(super) fn observe(&mut self, at: Micros, (topic, partition): (&str, u32), term: u64, leader: &str) {
        let terms = self.partitions.entry((topic.to_owned(), partition)).or_default();
        let reign =
            terms.entry(term).or_insert_with(|| Reign { leader: leader.to_owned(), first: at, last: at });
        reign.last = reign.last.max(at);
    }

    /// All partitions with their terms.
    pub(in crate::report) fn partitions(&self) -> &BTreeMap<(String, u32), BTreeMap<u64, Reign>> {
        &self.partitions
    }

    /// All nodes that ever led, in order: what gives each its colour.
    pub(in crate::report) fn nodes(&self) -> Vec<&str> {
        let reigns = self.partitions.values().flat_map(BTreeMap::values);
        let mut nodes: Vec<_> = reigns.map(|reign| reign.leader.as_str()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }
}
