//! S9, promise P12. Replicas that have applied the same entries hold the same, and what they hold only grows.

use std::collections::BTreeMap;

use super::REPLICA_DISAGREEMENT;
use super::ops::OpId;
use super::partition::Around;
use crate::Digested;

/// Applied indexes of one partition that are remembered: replicas are asked side by side.
const REMEMBERED_MAX: usize = 256;

struct State {
    node: String,
    hash: String,
    bounds: (u64, u64),
    op: OpId,
}

/// The states of one partition's replicas.
#[derive(Default)]
pub(super) struct Replicas {
    by_applied: BTreeMap<u64, State>,
    /// Applied index and end of each node's replica after everything was over.
    last: BTreeMap<String, (u64, u64, OpId)>,
    over: bool,
}

impl Replicas {
    /// Everything is over: what is read from now on is what stays.
    pub(super) fn begin_last(&mut self) {
        self.over = true;
    }

    /// Where the partition ends, when all was over and all replicas had applied the same.
    pub(super) fn last_end(&self) -> Option<(u64, OpId)> {
        let mut all = self.last.values();
        let (applied, end, op) = all.next()?;
        all.all(|(other, ..)| other == applied).then_some((*end, *op))
    }

    /// A replica's state was read.
    pub(super) fn digest(&mut self, digested: &Digested, op: OpId, around: &mut Around<'_>) {
        let Some(bounds) = digested.bounds else { return };
        let Digested { node, applied, hash, .. } = digested;
        if self.over {
            self.last.insert(node.clone(), (*applied, bounds.1, op));
        }
        let mut differ = |other: &State, text: String| {
            around.violates(REPLICA_DISAGREEMENT, "", text, &[other.op, op]);
        };
        if let Some(other) = self.by_applied.get(applied) {
            if other.hash != *hash || other.bounds != bounds {
                let text = format!(
                    "nodes {} and {node} differ at applied index {applied}: bounds {:?} and {bounds:?}, hashes {} and {hash}",
                    other.node, other.bounds, other.hash
                );
                differ(other, text);
            }
            return;
        }
        let falls = |low: (u64, u64), high: (u64, u64)| high.0 < low.0 || high.1 < low.1;
        if let Some((index, below)) =
            self.by_applied.range(..*applied).next_back().filter(|(_, s)| falls(s.bounds, bounds))
        {
            let text = format!(
                "node {node} at applied index {applied} has bounds {bounds:?}, node {} had {:?} at {index}",
                below.node, below.bounds
            );
            differ(below, text);
        }
        if let Some((index, above)) =
            self.by_applied.range(applied + 1..).next().filter(|(_, s)| falls(bounds, s.bounds))
        {
            let text = format!(
                "node {} at applied index {index} has bounds {:?}, node {node} has {bounds:?} at {applied}",
                above.node, above.bounds
            );
            differ(above, text);
        }
        self.by_applied.insert(*applied, State { node: node.clone(), hash: hash.clone(), bounds, op });
        if self.by_applied.len() > REMEMBERED_MAX {
            self.by_applied.pop_first();
        }
    }
}
