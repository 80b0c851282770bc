//! Replays by request, so that one that is repeated goes on where it was.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::{LogIndex, MessageId, RequestId, RowChange};

use crate::limits::REPLAYS_REMEMBERED_MAX;
use crate::table::Table;

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replayed {
    /// Kept messages before this one were dealt with.
    pub next: MessageId,
    /// Messages from here on are no part of it: they arrived too late, or are its own.
    pub end: MessageId,
    /// Messages that it has enqueued so far.
    pub count: u64,
    /// The entry of its last step.
    pub used: LogIndex,
}

/// The last replays. Each is remembered until so many others were used after it that it has to make room.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Replays {
    rows: Table<Replayed>,
    by_use: BTreeSet<(LogIndex, RequestId)>,
}

impl Replays {
    pub(crate) fn restored(rows: Table<Replayed>) -> Self {
        let by_use = rows.iter().map(|(id, replay)| (replay.used, id)).collect();
        Self { rows, by_use }
    }

    pub(crate) fn find(&self, id: RequestId) -> Option<Replayed> {
        self.rows.get(id).copied()
    }

    pub(crate) fn remember(&mut self, id: RequestId, replay: Replayed) {
        if let Some(old) = self.rows.get(id) {
            self.by_use.remove(&(old.used, id));
        } else if self.rows.len() == REPLAYS_REMEMBERED_MAX {
            let (used, oldest) = self.by_use.pop_first().expect("every replay has a last use");
            let gone = self.rows.remove(oldest);
            assert!(gone.is_some_and(|gone| gone.used == used), "replay {oldest} has another last use");
        }
        self.by_use.insert((replay.used, id));
        self.rows.put(id, replay);
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert!(self.rows.is_flushed(), "replay rows left to write");
        assert!(self.rows.len() <= REPLAYS_REMEMBERED_MAX, "{} replays", self.rows.len());
        assert_eq!(*self, Self::restored(self.rows.clone()), "uses of replays do not follow from the rows");
    }
}
