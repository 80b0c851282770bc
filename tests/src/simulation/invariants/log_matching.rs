//! Log matching: two entries of one index and term are the same entry, and have the same one before them.

use std::collections::BTreeMap;

use weir_types::{GroupId, LogIndex, Term};

use super::{Invariant, World};

/// Where an entry was first seen, what it holds, and the term of the one before it, when that was there.
#[derive(Clone, Copy)]
struct Seen {
    node: usize,
    digest: u64,
    before: Option<Term>,
}

/// What was seen so far.
#[derive(Default)]
pub(super) struct LogMatching {
    seen: BTreeMap<(GroupId, LogIndex, Term), Seen>,
    /// Up to where each node's log was looked at: the last entry then.
    looked: BTreeMap<(usize, GroupId), (LogIndex, Term)>,
}

impl Invariant for LogMatching {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for tail in &node.tails {
                let looked = self.looked.insert((node.number, tail.group), tail.end);
                if looked == Some(tail.end) {
                    continue;
                }
                let mut before = None;
                for entry in &tail.entries {
                    let seen = Seen { node: node.number, digest: entry.digest, before };
                    self.compare((tail.group, entry.index, entry.term), seen, broken);
                    before = Some(entry.term);
                }
            }
        }
    }
}

impl LogMatching {
    fn compare(&mut self, key: (GroupId, LogIndex, Term), seen: Seen, broken: &mut Vec<String>) {
        let known = self.seen.entry(key).or_insert(seen);
        let (group, index, term) = key;
        let nodes = format!("n{} and n{}", known.node + 1, seen.node + 1);
        if known.digest != seen.digest {
            broken.push(format!(
                "log matching: entry {index} of term {term} of group {group} differs on {nodes}"
            ));
        }
        match (known.before, seen.before) {
            (Some(one), Some(other)) if one != other => broken.push(format!(
                "log matching: before entry {index} of term {term} of group {group}, {nodes} have terms {one} and {other}"
            )),
            (None, before) => known.before = before,
            _ => {}
        }
    }
}
