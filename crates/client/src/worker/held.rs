//! The leases in hand: when to extend each, and when it is lost.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_types::{LeaseId, LeaseToken};

/// The leases that one session holds. Times are this machine's: the lease clock of the partition never runs faster, so
/// that a lease which has not run out here has not run out there.
#[derive(Debug, Default)]
pub(crate) struct Held {
    leases: BTreeMap<LeaseId, Lease>,
}

#[derive(Debug)]
struct Lease {
    token: LeaseToken,
    cancelled: CancellationToken,
    length: Duration,
    deadline: Instant,
    /// When to ask for more time; none when it is asked for, or never again.
    extend_at: Option<Instant>,
    /// No more time is asked for after this.
    extend_until: Instant,
    /// When more time was asked for, if the answer is still to come.
    asked_at: Option<Instant>,
    /// Its message is being settled: whatever comes of it, the lease is not extended.
    settling: bool,
}

impl Held {
    pub(crate) fn len(&self) -> usize {
        self.leases.len()
    }

    pub(crate) fn contains(&self, lease: LeaseId) -> bool {
        self.leases.contains_key(&lease)
    }

    /// What a session tells when it comes back.
    pub(crate) fn ids(&self) -> Vec<u64> {
        self.leases.keys().map(|lease| lease.0).collect()
    }

    /// A message came: the signal of its loss. `total_max` bounds its extensions from now on.
    pub(crate) fn add(
        &mut self,
        now: Instant,
        token: LeaseToken,
        length: Duration,
        total_max: Duration,
    ) -> CancellationToken {
        let cancelled = CancellationToken::new();
        let mut lease = Lease {
            token,
            cancelled: cancelled.clone(),
            length,
            deadline: now + length,
            extend_at: None,
            extend_until: now + total_max,
            asked_at: None,
            settling: false,
        };
        lease.plan_extension(now + length / 3);
        self.leases.insert(token.lease, lease);
        cancelled
    }

    /// The message is being settled.
    pub(crate) fn settling(&mut self, lease: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.settling = true;
        }
    }

    /// The message is out of hand.
    pub(crate) fn remove(&mut self, lease: LeaseId) {
        self.leases.remove(&lease);
    }

    /// The lease went to somebody else.
    pub(crate) fn lose(&mut self, lease: LeaseId) {
        if let Some(lease) = self.leases.get_mut(&lease) {
            lease.cancelled.cancel();
            lease.extend_at = None;
        }
    }

    /// All are lost.
    pub(crate) fn lose_all(&mut self) {
        self.leases.values().for_each(|lease| lease.cancelled.cancel());
        self.leases.clear();
    }

    /// After a reconnect each lease is asked for at once: it may be near its end, or lost.
    pub(crate) fn ask_all(&mut self, now: Instant) {
        for lease in self.leases.values_mut() {
            if lease.extend_at.is_some() {
                lease.extend_at = Some(now);
            }
        }
    }

    /// Leases to ask more time for now, and how much.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(LeaseToken, Duration)> {
        let mut due = Vec::new();
        for lease in self.leases.values_mut() {
            if !lease.settling && lease.extend_at.is_some_and(|at| at <= now) {
                lease.extend_at = None;
                lease.asked_at = Some(now);
                due.push((lease.token, lease.length));
            }
        }
        due
    }

    /// More time was given, `length` from when it was asked for.
    pub(crate) fn extended(&mut self, now: Instant, lease: LeaseId, length: Duration) {
        let Some(lease) = self.leases.get_mut(&lease) else { return };
        let asked_at = lease.asked_at.take().unwrap_or(now);
        lease.deadline = asked_at + length;
        lease.plan_extension(asked_at + length.min(lease.length) / 3);
    }

    /// No answer came to the wish for more time: half of what is left is waited before the next one.
    pub(crate) fn not_extended(&mut self, now: Instant, lease: LeaseId) {
        let Some(lease) = self.leases.get_mut(&lease) else { return };
        lease.asked_at = None;
        let left = lease.deadline.saturating_duration_since(now);
        if !left.is_zero() {
            lease.plan_extension(now + left / 2);
        }
    }

    /// Signals the leases that have run out.
    pub(crate) fn cancel_overdue(&mut self, now: Instant) {
        for lease in self.leases.values().filter(|lease| lease.deadline <= now) {
            lease.cancelled.cancel();
        }
    }

    /// When something is due next.
    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.leases.values().filter_map(Lease::next_due).min()
    }
}

impl Lease {
    /// A third of the lease is the usual time: it leaves two more tries.
    fn plan_extension(&mut self, at: Instant) {
        self.extend_at = (!self.length.is_zero() && at < self.extend_until).then_some(at);
    }

    fn next_due(&self) -> Option<Instant> {
        let extend_at = self.extend_at.filter(|_| !self.settling);
        let deadline = (!self.cancelled.is_cancelled()).then_some(self.deadline);
        extend_at.into_iter().chain(deadline).min()
    }
}

#[cfg(test)]
mod tests {
    use weir_types::{GroupId, MessageId};

    use super::*;

    const LENGTH: Duration = Duration::from_secs(30);
    const THIRD: Duration = Duration::from_secs(10);
    const HOUR: Duration = Duration::from_hours(1);

    fn token(n: u64) -> LeaseToken {
        LeaseToken { group: GroupId(1), message: MessageId(n), lease: LeaseId(n) }
    }

    #[test]
    fn a_lease_is_extended_at_each_third() {
        let (mut held, now) = (Held::default(), Instant::now());
        let cancelled = held.add(now, token(1), LENGTH, HOUR);
        assert_eq!(held.next_due(), Some(now + THIRD));
        assert!(held.take_due(now).is_empty());
        let asked_at = now + THIRD;
        assert_eq!(held.take_due(asked_at), [(token(1), LENGTH)]);
        assert!(held.take_due(asked_at).is_empty(), "asked once");
        held.extended(asked_at + Duration::from_secs(2), LeaseId(1), LENGTH);
        assert_eq!(held.next_due(), Some(asked_at + THIRD), "counted from when it was asked for");
        held.cancel_overdue(now + LENGTH);
        assert!(!cancelled.is_cancelled());
    }

    #[test]
    fn a_lease_that_is_not_extended_in_time_is_cancelled_once() {
        let (mut held, now) = (Held::default(), Instant::now());
        let cancelled = held.add(now, token(1), LENGTH, HOUR);
        let _ = held.take_due(now + THIRD);
        assert_eq!(held.next_due(), Some(now + LENGTH));
        held.cancel_overdue(now + LENGTH);
        assert!(cancelled.is_cancelled());
        assert_eq!(held.next_due(), None);
    }

    #[test]
    fn an_unanswered_extension_is_tried_again_while_the_lease_runs() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.add(now, token(1), LENGTH, HOUR);
        let _ = held.take_due(now + THIRD);
        held.not_extended(now + THIRD * 2, LeaseId(1));
        assert_eq!(held.next_due(), Some(now + THIRD * 2 + THIRD / 2));
        let _ = held.take_due(now + LENGTH);
        held.not_extended(now + LENGTH, LeaseId(1));
        assert_eq!(held.next_due(), Some(now + LENGTH), "only the signal of its loss is due");
    }

    #[test]
    fn extensions_end_with_the_total() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.add(now, token(1), LENGTH, Duration::from_secs(15));
        let _ = held.take_due(now + THIRD);
        held.extended(now + THIRD, LeaseId(1), LENGTH);
        assert!(held.take_due(now + THIRD * 2).is_empty());
        assert_eq!(held.next_due(), Some(now + THIRD + LENGTH));

        let mut never = Held::default();
        never.add(now, token(1), LENGTH, Duration::ZERO);
        assert_eq!(never.next_due(), Some(now + LENGTH));
    }

    #[test]
    fn a_message_that_is_being_settled_is_not_extended() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.add(now, token(1), LENGTH, HOUR);
        held.settling(LeaseId(1));
        assert!(held.take_due(now + THIRD).is_empty());
        held.remove(LeaseId(1));
        assert_eq!(held.next_due(), None);
    }

    #[test]
    fn after_a_reconnect_every_lease_is_asked_for_at_once() {
        let (mut held, now) = (Held::default(), Instant::now());
        held.add(now, token(1), LENGTH, HOUR);
        held.add(now, token(2), LENGTH, HOUR);
        held.ask_all(now);
        assert_eq!(held.take_due(now).len(), 2);
        assert_eq!(held.ids(), [1, 2]);
    }

    #[test]
    fn a_lost_lease_is_signalled_and_stays_in_hand_until_its_message_is_settled() {
        let (mut held, now) = (Held::default(), Instant::now());
        let cancelled = held.add(now, token(1), LENGTH, HOUR);
        held.lose(LeaseId(1));
        assert!(cancelled.is_cancelled());
        assert_eq!((held.len(), held.next_due()), (1, None));
    }
}
