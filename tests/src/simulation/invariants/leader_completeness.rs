//! Leader completeness: whoever leads has every entry that was committed before.

use std::collections::BTreeMap;

use weir_broker::Role;
use weir_types::{GroupId, LogIndex, Term};

use super::{Invariant, Node, TAIL_ENTRIES, World, applied};

/// What was seen so far.
#[derive(Default)]
pub(super) struct LeaderCompleteness {
    /// Committed entries, with their terms.
    committed: BTreeMap<GroupId, BTreeMap<LogIndex, Term>>,
    /// The last term of each group whose leader was looked at.
    led: BTreeMap<GroupId, Term>,
}

impl Invariant for LeaderCompleteness {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                if replica.status.role == Role::Leader
                    && self.led.get(group).is_none_or(|term| *term < replica.status.term)
                {
                    self.led.insert(*group, replica.status.term);
                    self.check_leader(node, *group, replica.status.term, broken);
                }
            }
        }
        for node in &world.nodes {
            for (group, replica) in &node.replicas {
                if let Some(committed) = replica.status.committed {
                    self.note_committed(node, *group, committed, broken);
                }
            }
        }
    }
}

impl LeaderCompleteness {
    fn note_committed(&mut self, node: &Node, group: GroupId, committed: LogIndex, broken: &mut Vec<String>) {
        let known = self.committed.entry(group).or_default();
        let Some(picture) = node.on_disk(group) else { return };
        let seen_to = known.keys().next_back().copied().unwrap_or_default();
        let from = committed.0.saturating_sub(TAIL_ENTRIES).max(seen_to.0.saturating_sub(4)) + 1;
        for index in (from..=committed.0).map(LogIndex) {
            // Committed and not written here yet, or written and purged: somebody else tells its term.
            let Some(entry) = picture.entry(index) else { continue };
            let term = *known.entry(index).or_insert(entry.term);
            if term != entry.term {
                let other = entry.term;
                broken.push(format!(
                    "leader completeness: entry {index} of group {group} is committed in terms {term} and {other} ({node})"
                ));
            }
        }
        while known.len() as u64 > 4 * TAIL_ENTRIES {
            known.pop_first();
        }
    }

    fn check_leader(&self, node: &Node, group: GroupId, term: Term, broken: &mut Vec<String>) {
        let (Some(known), Some(picture)) = (self.committed.get(&group), node.on_disk(group)) else { return };
        let has_to = applied(&picture).map_or(LogIndex(0), |(_, index)| index);
        for (index, committed_in) in known.iter().filter(|(_, committed_in)| **committed_in < term) {
            let found = picture.entry(*index).map(|entry| entry.term);
            if found != Some(*committed_in) && *index > has_to {
                broken.push(format!(
                    "leader completeness: {node} leads group {group} in term {term} and has {found:?} at {index}, \
                     where term {committed_in} is committed"
                ));
            }
        }
    }
}
