//! Dedup by message id, within a window of the lease clock.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::limits::DEDUP_WINDOW_MS;
use weir_types::{LeaseClock, MessageId, RowChange};

use crate::command::{DedupId, InheritedId};
use crate::limits::DEDUP_IDS_REMEMBERED_MAX;
use crate::table::Table;

/// The message that carried a dedup id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RememberedId {
    pub(crate) message: MessageId,
    pub(crate) until: LeaseClock,
}

/// Dedup ids of the last five minutes. They outlive their messages: an acked message is still a duplicate.
///
/// Forgetting needs no tick: an id past its window counts as unknown, and its row goes with a later entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DedupIds {
    rows: Table<RememberedId>,
    by_age: BTreeSet<(LeaseClock, DedupId)>,
}

impl DedupIds {
    pub(crate) fn restored(rows: Table<RememberedId>) -> Self {
        let by_age = rows.iter().map(|(id, remembered)| (remembered.until, id)).collect();
        Self { rows, by_age }
    }

    pub(crate) fn find(&self, now: LeaseClock, id: DedupId) -> Option<MessageId> {
        self.rows.get(id).filter(|remembered| now < remembered.until).map(|remembered| remembered.message)
    }

    pub(crate) fn remember(&mut self, now: LeaseClock, id: DedupId, message: MessageId) {
        assert!(self.find(now, id).is_none(), "message {message} is a duplicate");
        self.forget(id);
        let until = now + DEDUP_WINDOW_MS;
        self.rows.put(id, RememberedId { message, until });
        self.by_age.insert((until, id));
    }

    /// An id that another partition remembered. What is known here stays; what does not fit is let go.
    pub(crate) fn inherit(&mut self, now: LeaseClock, id: DedupId, message: MessageId, until: LeaseClock) {
        if until <= now || self.find(now, id).is_some() {
            return;
        }
        self.forget(id);
        if self.rows.len() < DEDUP_IDS_REMEMBERED_MAX {
            self.rows.put(id, RememberedId { message, until });
            self.by_age.insert((until, id));
        }
    }

    /// The ids that are within their window.
    pub(crate) fn living(&self, now: LeaseClock) -> impl Iterator<Item = InheritedId> {
        let living = self.rows.iter().filter(move |(_, known)| now < known.until);
        living.map(move |(id, known)| InheritedId { id, message: known.message, left_ms: known.until - now })
    }

    /// Drops at most `max` ids that are past their window.
    pub(crate) fn forget_old(&mut self, now: LeaseClock, max: usize) {
        for _ in 0..max {
            match self.by_age.first() {
                Some((until, id)) if *until <= now => self.forget(*id),
                _ => break,
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert_eq!(*self, Self::restored(self.rows.clone()), "ages of dedup ids do not follow from the rows");
        assert!(self.rows.len() <= DEDUP_IDS_REMEMBERED_MAX, "{} dedup ids", self.rows.len());
        assert!(self.rows.is_flushed(), "dedup rows left to write");
    }

    fn forget(&mut self, id: DedupId) {
        if let Some(old) = self.rows.remove(id) {
            self.by_age.remove(&(old.until, id));
        }
    }
}
