//! How many more messages may be leased.

use weir_types::SessionId;
use weir_types::limits::LEASES_PER_PARTITION_MAX;
use weir_types::mutants::{self, Mutant};

use crate::queue::Queue;

impl Queue {
    /// How many leases a request of this session would get now, if it asked for as many as there are; none stands for
    /// a request without a session. Of a FIFO queue one per key that may go on.
    pub fn leasable_by(&self, session: Option<SessionId>) -> u64 {
        self.backlog.leasable().min(self.lease_room(session) as u64)
    }

    /// How many leases the limits leave to a session, whatever is ready.
    pub(crate) fn lease_room(&self, session: Option<SessionId>) -> usize {
        self.partition_room().min(session.map_or(usize::MAX, |session| self.session_room(session)))
    }

    /// How many leases the partition's limits leave. A limit that was lowered takes no lease away.
    pub(crate) fn partition_room(&self) -> usize {
        let limit = self.policy.get().max_inflight.filter(|_| !mutants::on(Mutant::M48));
        let max = limit.map_or(LEASES_PER_PARTITION_MAX, |max| max as usize);
        max.min(LEASES_PER_PARTITION_MAX).saturating_sub(self.backlog.index.leases.len())
    }

    fn session_room(&self, session: SessionId) -> usize {
        let max = self.policy.get().max_inflight_per_session.map_or(usize::MAX, |max| max as usize);
        max.saturating_sub(self.backlog.index.leases.held_by(session))
    }

    /// Whether there are sessions, and none of them may have another message.
    pub(crate) fn every_session_is_full(&self) -> bool {
        let mut live = self.sessions.live().peekable();
        self.policy.get().max_inflight_per_session.is_some()
            && live.peek().is_some()
            && live.all(|session| self.session_room(session) == 0)
    }

    /// Whether more can be leased than before is measured by this.
    pub(crate) fn leasable(&self) -> u64 {
        self.leasable_by(None)
    }
}
