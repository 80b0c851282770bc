//! Log matching: two entries of one index and term are the same entry, and have the same one before them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use weir_types::{GroupId, LogIndex, Term};

use super::{Invariant, TAIL_ENTRIES, World};

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
            for picture in node.disk.groups() {
                let Ok(Some((_, last))) = picture.ends(LogIndex(0)) else { continue };
                let Some(newest) = picture.entry(last) else { continue };
                let group = picture.id();
                let looked = self.looked.insert((node.number, group), (last, newest.term));
                if looked == Some((last, newest.term)) {
                    continue;
                }
                // A suffix may have been overwritten: some of what was seen before is looked at again.
                let from = looked.map_or(0, |(last, _)| last.0.saturating_sub(TAIL_ENTRIES / 4));
                let first = (last.0 + 1).saturating_sub(TAIL_ENTRIES).max(from);
                let mut before = None;
                for index in first..=last.0 {
                    let entry = picture.entry(LogIndex(index));
                    if let Some(entry) = &entry {
                        let digest = digest(entry.kind, &entry.payload);
                        let seen = Seen { node: node.number, digest, before };
                        self.compare((group, entry.index, entry.term), seen, broken);
                    }
                    before = entry.map(|entry| entry.term);
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

fn digest(kind: u8, payload: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (kind, payload).hash(&mut hasher);
    hasher.finish()
}
