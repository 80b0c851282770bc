//! When to try again: the pure part of every retry in this library.

use std::time::Duration;

use tokio::time::Instant;
use weir_types::{ErrorKind, WeirError};

use super::Pauses;
use crate::Error;

/// Redirects that are followed without a pause. More of them in a row mean that nodes disagree about the leader.
const REDIRECTS_AT_ONCE_MAX: u32 = 3;

/// A failed attempt.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) error: WeirError,
    /// Whether the request may have reached a node whose answer did not come back.
    pub(crate) maybe_happened: bool,
}

/// One operation that is tried until it succeeds, is refused for good, or its time is up.
#[derive(Debug)]
pub(crate) struct Attempts {
    started: Instant,
    deadline: Instant,
    pauses: Pauses,
    redirects: u32,
    maybe_happened: bool,
    last: String,
    over_limit: Option<WeirError>,
}

/// What to do after a failed attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Ask this node at once.
    Ask(String),
    /// Ask the leader of the routing table at once.
    AskLeader,
    /// Try again after this pause.
    Pause(Duration),
    /// Give up: the answer is final.
    Refused(WeirError),
}

impl Attempts {
    pub(crate) fn new(now: Instant, timeout: Duration) -> Self {
        Self {
            started: now,
            deadline: now + timeout,
            pauses: Pauses::default(),
            redirects: 0,
            maybe_happened: false,
            last: "no node was asked".to_owned(),
            over_limit: None,
        }
    }

    /// When to give up.
    pub(crate) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// An attempt succeeded: pauses start small again.
    pub(crate) fn succeeded(&mut self) {
        self.pauses = Pauses::default();
        self.redirects = 0;
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self, failure: Failure) -> Next {
        self.over_limit = failure.over_limit();
        let moved = failure.is_of_moving();
        let Failure { error, maybe_happened } = failure;
        self.maybe_happened |= maybe_happened;
        self.last = error.to_string();
        match error.kind {
            ErrorKind::Redirect => self.redirected(error),
            ErrorKind::OutcomeUnknown if moved => self.moved(),
            ErrorKind::Retry | ErrorKind::Throttled | ErrorKind::OutOfSpace | ErrorKind::OutcomeUnknown => {
                self.redirects = 0;
                Next::Pause(self.pause(error.retry_after_ms))
            }
            _ => Next::Refused(error),
        }
    }

    fn redirected(&mut self, error: WeirError) -> Next {
        self.redirects += 1;
        match error.leader {
            Some(leader) if self.redirects <= REDIRECTS_AT_ONCE_MAX => Next::Ask(leader),
            _ => Next::Pause(self.pause(error.retry_after_ms)),
        }
    }

    fn moved(&mut self) -> Next {
        self.redirects += 1;
        if self.redirects <= REDIRECTS_AT_ONCE_MAX { Next::AskLeader } else { Next::Pause(self.pause(None)) }
    }

    fn pause(&mut self, asked_ms: Option<u64>) -> Duration {
        let own = self.pauses.next();
        asked_ms.map_or(own, |ms| own.max(Duration::from_millis(ms)))
    }

    /// The error when the time is up: a limit that held to the end is named itself.
    pub(crate) fn timed_out(&self, now: Instant, doing: &str) -> Error {
        let waited = now.saturating_duration_since(self.started);
        let (doing, last) = (doing.to_owned(), self.last.clone());
        if self.maybe_happened {
            return Error::OutcomeUnknown { doing, waited, last };
        }
        match &self.over_limit {
            Some(refusal) => Error::Broker(refusal.clone()),
            None => Error::Timeout { doing, waited, last },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::pauses::PAUSE_BASE;

    fn attempts() -> Attempts {
        Attempts::new(Instant::now(), Duration::from_secs(1))
    }

    fn failure(kind: ErrorKind) -> Failure {
        Failure { error: WeirError::new(kind, "code", "text"), maybe_happened: false }
    }

    fn redirect(leader: Option<&str>) -> Failure {
        let error = WeirError::new(ErrorKind::Redirect, "code", "text").at_leader(leader.map(Into::into));
        Failure { error, maybe_happened: false }
    }

    #[test]
    fn pauses_grow_and_start_small_after_a_success() {
        let mut attempts = attempts();
        assert_eq!(attempts.failed(failure(ErrorKind::Retry)), Next::Pause(PAUSE_BASE));
        assert_eq!(attempts.failed(failure(ErrorKind::Retry)), Next::Pause(2 * PAUSE_BASE));
        attempts.succeeded();
        assert_eq!(attempts.failed(failure(ErrorKind::Retry)), Next::Pause(PAUSE_BASE));
    }

    #[test]
    fn a_pause_that_the_cluster_asks_for_is_kept() {
        let mut throttled = failure(ErrorKind::Throttled);
        throttled.error.retry_after_ms = Some(900);
        assert_eq!(attempts().failed(throttled), Next::Pause(Duration::from_millis(900)));
    }

    #[test]
    fn redirects_are_followed_at_once_but_not_in_circles() {
        let mut attempts = attempts();
        for _ in 0..REDIRECTS_AT_ONCE_MAX {
            assert_eq!(attempts.failed(redirect(Some("a:1"))), Next::Ask("a:1".to_owned()));
        }
        assert_eq!(attempts.failed(redirect(Some("a:1"))), Next::Pause(PAUSE_BASE));
    }

    #[test]
    fn a_leader_that_moved_is_followed_at_once_but_not_in_circles() {
        let mut attempts = attempts();
        for _ in 0..REDIRECTS_AT_ONCE_MAX {
            assert_eq!(attempts.failed(Failure::leader_moved("a:1")), Next::AskLeader);
        }
        assert_eq!(attempts.failed(Failure::leader_moved("a:1")), Next::Pause(PAUSE_BASE));
        let error = attempts.timed_out(Instant::now(), "x");
        assert!(matches!(error, Error::OutcomeUnknown { .. }), "the old leader may have done it: {error}");
    }

    #[test]
    fn a_redirect_to_nobody_waits_for_a_leader() {
        assert_eq!(attempts().failed(redirect(None)), Next::Pause(PAUSE_BASE));
    }

    #[test]
    fn final_answers_end_the_attempts() {
        for kind in [ErrorKind::Invalid, ErrorKind::NotFound, ErrorKind::Fenced, ErrorKind::Corrupt] {
            assert!(matches!(attempts().failed(failure(kind)), Next::Refused(_)), "{kind}");
        }
    }

    #[test]
    fn a_limit_that_holds_to_the_end_is_named() {
        let mut attempts = attempts();
        let _ = attempts.failed(failure(ErrorKind::OutOfSpace));
        assert_eq!(attempts.timed_out(Instant::now(), "x").kind(), ErrorKind::OutOfSpace);
        let _ = attempts.failed(failure(ErrorKind::Retry));
        assert_eq!(attempts.timed_out(Instant::now(), "x").kind(), ErrorKind::Retry);
    }

    #[test]
    fn the_outcome_is_unknown_only_if_an_answer_was_lost() {
        let mut attempts = attempts();
        let _ = attempts.failed(failure(ErrorKind::Retry));
        assert!(matches!(attempts.timed_out(Instant::now(), "x"), Error::Timeout { .. }));
        let lost = Failure { maybe_happened: true, ..failure(ErrorKind::OutcomeUnknown) };
        let _ = attempts.failed(lost);
        let _ = attempts.failed(failure(ErrorKind::Retry));
        assert!(matches!(attempts.timed_out(Instant::now(), "x"), Error::OutcomeUnknown { .. }));
    }
}
