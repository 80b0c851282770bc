//! The terms of a log never fall from entry to entry: what a new leader overwrites is gone, to its last entry.

use std::collections::BTreeMap;

use weir_types::{GroupId, LogIndex, Term};

use super::{Invariant, World};

/// Up to where each node's log was looked at.
#[derive(Default)]
pub(super) struct LogOrder {
    looked: BTreeMap<(usize, GroupId), (LogIndex, Term)>,
}

impl Invariant for LogOrder {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for tail in &node.tails {
                let looked = self.looked.insert((node.number, tail.group), tail.end);
                if looked == Some(tail.end) {
                    continue;
                }
                let falls = tail.entries.windows(2).find(|pair| pair[0].term > pair[1].term);
                if let Some([before, after]) = falls {
                    broken.push(format!(
                        "log order: in the log of group {} on {node}, entry {} of term {} stands before entry {} of term {}",
                        tail.group, before.index, before.term, after.index, after.term
                    ));
                }
            }
        }
    }
}
