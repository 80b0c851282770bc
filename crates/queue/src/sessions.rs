//! Consumers' sessions.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use weir_types::limits::SESSION_GRACE_MS;
use weir_types::{LeaseClock, RowChange, SessionId};

use crate::command::SessionEnding;
use crate::limits::SESSIONS_PER_PARTITION_MAX;
use crate::output::Rejection;
use crate::table::Table;

/// One consumer's stream of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Session {
    /// Its leases run.
    Open,
    /// Its connection broke; unless it is kept until then, it ends.
    Lost { until: LeaseClock },
    /// Its leases are being returned, as many per entry as timers may fire.
    Ending { since: LeaseClock, ending: SessionEnding },
}

impl Session {
    fn timer(self) -> Option<LeaseClock> {
        match self {
            Self::Open => None,
            Self::Lost { until } => Some(until),
            Self::Ending { since, .. } => Some(since),
        }
    }
}

/// All sessions, and when the next one needs attention.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sessions {
    rows: Table<Session>,
    timers: BTreeSet<(LeaseClock, SessionId)>,
}

impl Sessions {
    pub(crate) fn restored(rows: Table<Session>) -> Self {
        let timers = rows.iter().filter_map(|(id, session)| Some((session.timer()?, id))).collect();
        Self { rows, timers }
    }

    pub(crate) fn open(&mut self, id: SessionId) -> Result<(), Rejection> {
        if self.rows.contains(id) {
            return self.keep(id);
        }
        if self.rows.len() >= SESSIONS_PER_PARTITION_MAX {
            return Err(Rejection::TooManySessions { sessions: self.rows.len() });
        }
        self.set(id, Session::Open);
        Ok(())
    }

    pub(crate) fn keep(&mut self, id: SessionId) -> Result<(), Rejection> {
        match self.rows.get(id) {
            Some(Session::Open) => Ok(()),
            // A consumer that is back together with the end of its grace is in time: timers fire last.
            Some(Session::Lost { .. }) => {
                self.set(id, Session::Open);
                Ok(())
            }
            Some(Session::Ending { .. }) | None => Err(Rejection::SessionNotOpen { session: id }),
        }
    }

    pub(crate) fn close(&mut self, now: LeaseClock, id: SessionId, ending: SessionEnding) {
        match (self.rows.get(id), ending) {
            (Some(Session::Open), SessionEnding::Lost) => {
                self.set(id, Session::Lost { until: now + SESSION_GRACE_MS });
            }
            (Some(Session::Open | Session::Lost { .. }), SessionEnding::Clean) => {
                self.set(id, Session::Ending { since: now, ending });
            }
            (Some(Session::Lost { .. } | Session::Ending { .. }) | None, _) => {}
        }
    }

    pub(crate) fn is_open(&self, id: SessionId) -> bool {
        self.rows.get(id) == Some(&Session::Open)
    }

    /// When a session's grace passes, or one's leases are still to be returned.
    pub(crate) fn first_timer(&self) -> Option<LeaseClock> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// The next session whose leases are to be returned now, and how it ended. One whose grace has passed ends
    /// by this.
    pub(crate) fn next_ending(&mut self, now: LeaseClock) -> Option<(SessionId, SessionEnding)> {
        let (time, id) = *self.timers.first()?;
        if time > now {
            return None;
        }
        match *self.rows.get(id).expect("a session with a timer exists") {
            Session::Open => unreachable!("an open session {id} has no timer"),
            Session::Lost { until } => {
                let ending = SessionEnding::Lost;
                self.set(id, Session::Ending { since: until, ending });
                Some((id, ending))
            }
            Session::Ending { ending, .. } => Some((id, ending)),
        }
    }

    /// All its leases are returned.
    pub(crate) fn remove(&mut self, id: SessionId) {
        let session = self.rows.remove(id).expect("an ending session exists");
        assert!(matches!(session, Session::Ending { .. }), "session {id} is removed before it ended");
        self.timers.remove(&session.timer().map(|time| (time, id)).expect("an ending session has a timer"));
    }

    /// The sessions that are open or lost.
    pub(crate) fn live(&self) -> impl Iterator<Item = SessionId> {
        self.rows.iter().filter(|(_, session)| !matches!(session, Session::Ending { .. })).map(|(id, _)| id)
    }

    /// Whether leases may belong to it: not once it ends, or it would end without them.
    pub(crate) fn holds_leases(&self, id: SessionId) -> bool {
        matches!(self.rows.get(id), Some(Session::Open | Session::Lost { .. }))
    }

    pub(crate) fn contains(&self, id: SessionId) -> bool {
        self.rows.contains(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.rows.flush(changes);
    }

    pub(crate) fn check(&self) {
        assert_eq!(*self, Self::restored(self.rows.clone()), "session timers do not follow from the rows");
        assert!(self.rows.len() <= SESSIONS_PER_PARTITION_MAX, "{} sessions", self.rows.len());
        assert!(self.rows.is_flushed(), "session rows left to write");
    }

    fn set(&mut self, id: SessionId, session: Session) {
        if let Some(time) = self.rows.get(id).and_then(|old| old.timer()) {
            self.timers.remove(&(time, id));
        }
        if let Some(time) = session.timer() {
            self.timers.insert((time, id));
        }
        self.rows.put(id, session);
    }
}
