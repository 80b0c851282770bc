//! The running leases, by deadline and by session.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{LeaseClock, MessageId, SessionId};

/// Which message's lease runs out next, and which messages a session holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Leases {
    by_deadline: BTreeSet<(LeaseClock, MessageId)>,
    by_session: BTreeSet<(SessionId, MessageId)>,
    /// How many each session holds; one without any is not here.
    counts: BTreeMap<SessionId, usize>,
}

impl Leases {
    pub(crate) fn add(&mut self, deadline: LeaseClock, session: Option<SessionId>, message: MessageId) {
        let new = self.by_deadline.insert((deadline, message));
        assert!(new, "P3: message {message} is leased already");
        if let Some(session) = session {
            self.by_session.insert((session, message));
            *self.counts.entry(session).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, deadline: LeaseClock, session: Option<SessionId>, message: MessageId) {
        let known = self.by_deadline.remove(&(deadline, message));
        assert!(known, "message {message} was not leased until {deadline}");
        if let Some(session) = session {
            self.by_session.remove(&(session, message));
            let count = self.counts.get_mut(&session).expect("a session with a lease is counted");
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&session);
            }
        }
    }

    /// How many messages a session holds.
    pub(crate) fn held_by(&self, session: SessionId) -> usize {
        self.counts.get(&session).copied().unwrap_or(0)
    }

    /// The lease that runs out first.
    pub(crate) fn first_deadline(&self) -> Option<(LeaseClock, MessageId)> {
        self.by_deadline.first().copied()
    }

    /// The first message that a session holds.
    pub(crate) fn first_of_session(&self, session: SessionId) -> Option<MessageId> {
        self.of_session(session).next()
    }

    /// The messages that a session holds, in order of arrival.
    pub(crate) fn of_session(&self, session: SessionId) -> impl Iterator<Item = MessageId> {
        let of_session = (session, MessageId(0))..=(session, MessageId(u64::MAX));
        self.by_session.range(of_session).map(|(_, message)| *message)
    }

    pub(crate) fn len(&self) -> usize {
        self.by_deadline.len()
    }

    pub(crate) fn entries(&self) -> usize {
        self.by_deadline.len() + self.by_session.len() + self.counts.len()
    }
}
