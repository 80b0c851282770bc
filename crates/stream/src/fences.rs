//! Producers that have come back under a new epoch and have appended nothing yet: their older selves append no more.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::limits::PRODUCERS_PER_PARTITION_MAX;
use weir_types::{LeaseClock, ProducerEpoch, ProducerId, RowChange};

use crate::limits::{PRODUCER_QUIET_MS_MAX, PRODUCERS_FORGOTTEN_PER_COMMAND_MAX};
use crate::rows::{self, Key};

/// The epoch of a producer that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Fence {
    pub(crate) epoch: ProducerEpoch,
    pub(crate) seen: LeaseClock,
}

/// One for each such producer, until its first append, which is remembered with the epoch. Kept for as long as a quiet
/// producer is, and as many at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fences {
    by_id: BTreeMap<ProducerId, Fence>,
    /// The same, the one raised first at the front.
    by_seen: BTreeSet<(LeaseClock, ProducerId)>,
}

impl Fences {
    /// The epoch below which a producer may not append; 0 without a fence.
    pub(crate) fn epoch(&self, id: ProducerId) -> ProducerEpoch {
        self.by_id.get(&id).map_or(ProducerEpoch(0), |fence| fence.epoch)
    }

    pub(crate) fn raise(&mut self, id: ProducerId, fence: Fence, changes: &mut Vec<RowChange>) {
        if !self.by_id.contains_key(&id) && self.by_id.len() >= PRODUCERS_PER_PARTITION_MAX {
            let (_, first) = *self.by_seen.first().expect("a full table has a first fence");
            self.lift(first, changes);
        }
        self.restore(id, fence);
        changes.push(rows::put(&Key::Fence(id), &fence));
    }

    /// The producer has appended, or is forgotten.
    pub(crate) fn lift(&mut self, id: ProducerId, changes: &mut Vec<RowChange>) {
        if let Some(fence) = self.by_id.remove(&id) {
            self.by_seen.remove(&(fence.seen, id));
            changes.push(rows::delete(&Key::Fence(id)));
        }
    }

    pub(crate) fn restore(&mut self, id: ProducerId, fence: Fence) {
        if let Some(before) = self.by_id.insert(id, fence) {
            self.by_seen.remove(&(before.seen, id));
        }
        self.by_seen.insert((fence.seen, id));
    }

    /// Forgets fences that nobody came for, a bounded number of them.
    pub(crate) fn forget_quiet(&mut self, now: LeaseClock, changes: &mut Vec<RowChange>) {
        for _ in 0..PRODUCERS_FORGOTTEN_PER_COMMAND_MAX {
            match self.by_seen.first() {
                Some(&(seen, id)) if seen + PRODUCER_QUIET_MS_MAX <= now => self.lift(id, changes),
                _ => break,
            }
        }
    }

    /// When the next one is forgotten.
    pub(crate) fn deadline(&self) -> Option<LeaseClock> {
        self.by_seen.first().map(|(seen, _)| *seen + PRODUCER_QUIET_MS_MAX)
    }

    /// All rows, in order of producer.
    pub(crate) fn rows(&self) -> Vec<RowChange> {
        self.by_id.iter().map(|(id, fence)| rows::put(&Key::Fence(*id), fence)).collect()
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self) {
        assert!(self.by_id.len() <= PRODUCERS_PER_PARTITION_MAX, "fences are bounded");
        let by_seen: BTreeSet<_> = self.by_id.iter().map(|(id, fence)| (fence.seen, *id)).collect();
        assert_eq!(by_seen, self.by_seen, "every fence has its place in the order of age");
    }
}
