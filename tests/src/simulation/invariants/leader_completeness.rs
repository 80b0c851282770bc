//! Leader completeness: whoever leads has every entry that was committed before; and what is committed is the same
//! everywhere, for ever.

use std::collections::BTreeMap;

use weir_types::{GroupId, LogIndex, Term};

use super::{Entry, Invariant, Node, Tail, World};

/// Committed entries of a group that are remembered.
const REMEMBERED: usize = 512;

/// What was seen so far.
#[derive(Default)]
pub(super) struct LeaderCompleteness {
    /// Committed entries, with their terms and contents.
    committed: BTreeMap<GroupId, BTreeMap<LogIndex, (Term, u64)>>,
    /// The last term of each group whose leader was looked at.
    led: BTreeMap<GroupId, Term>,
}

impl Invariant for LeaderCompleteness {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                if replica.leadership.here
                    && self.led.get(group).is_none_or(|term| *term < replica.status.term)
                {
                    self.led.insert(*group, replica.status.term);
                    self.check_leader(node, *group, replica.status.term, broken);
                }
            }
        }
        for node in &world.nodes {
            node.tails.iter().for_each(|tail| self.note_committed(node, tail, broken));
        }
    }
}

impl LeaderCompleteness {
    /// What a node has applied was committed. What it only heard to be committed it may not have on disk yet.
    fn note_committed(&mut self, node: &Node, tail: &Tail, broken: &mut Vec<String>) {
        let group = tail.group;
        let known = self.committed.entry(group).or_default();
        for entry in tail.entries.iter().filter(|entry| entry.index <= tail.applied) {
            let (term, digest) = *known.entry(entry.index).or_insert((entry.term, entry.digest));
            if (term, digest) != (entry.term, entry.digest) {
                let Entry { index, term: other, .. } = entry;
                broken.push(format!(
                    "leader completeness: entry {index} of group {group} is committed with term {term}, and with term {other} \
                     or another content on {node}"
                ));
            }
        }
        while known.len() > REMEMBERED {
            known.pop_first();
        }
    }

    fn check_leader(&self, node: &Node, group: GroupId, term: Term, broken: &mut Vec<String>) {
        let (Some(known), Some(picture)) = (self.committed.get(&group), node.on_disk(group)) else { return };
        let Ok(Some((first, _))) = picture.ends(LogIndex(0)) else { return };
        // It has applied the first entry of its term, so all before that are on its disk, or were and are purged.
        let earlier = known.range(first..).filter(|(_, (committed_in, _))| *committed_in < term);
        for (index, (committed_in, _)) in earlier {
            let found = picture.entry(*index).map(|entry| entry.term);
            if found != Some(*committed_in) {
                broken.push(format!(
                    "leader completeness: {node} leads group {group} in term {term} and has {found:?} at {index}, \
                     where term {committed_in} is committed"
                ));
            }
        }
    }
}
