//! What a failed gRPC call means.

use std::error::Error as _;

use tonic::Status;
use weir_proto::error_from_status;
use weir_types::{ErrorKind, WeirError};

use super::attempts::Failure;

/// Code of a call that was given up because another leader is known.
const LEADER_MOVED: &str = "leader-moved";
/// Code of a connection that could not be opened.
const NODE_UNREACHABLE: &str = "node-unreachable";

impl Failure {
    /// The refusal, if it was one over a limit: it tells more than that the time was up.
    pub(crate) fn over_limit(&self) -> Option<WeirError> {
        let over = matches!(self.error.kind, ErrorKind::OutOfSpace | ErrorKind::Throttled);
        (over && !self.maybe_happened).then(|| self.error.clone())
    }

    /// Reads the status of a failed call. A call whose connection could not be opened reached nobody.
    pub(crate) fn from_status(status: &Status) -> Self {
        let mut error = error_from_status(status);
        if is_connect_error(status) {
            error.kind = ErrorKind::Retry;
            NODE_UNREACHABLE.clone_into(&mut error.code);
        }
        Self { maybe_happened: error.kind == ErrorKind::OutcomeUnknown, error }
    }

    /// No answer within an attempt's time.
    pub(crate) fn no_answer(address: &str) -> Self {
        let text = format!("{address} did not answer in time");
        Self { error: WeirError::new(ErrorKind::OutcomeUnknown, "no-answer", text), maybe_happened: true }
    }

    /// No answer yet, and none is waited for: the routing table has come to name another leader.
    pub(crate) fn leader_moved(address: &str) -> Self {
        let text = format!("{address} did not answer before another leader was known");
        Self { error: WeirError::new(ErrorKind::OutcomeUnknown, LEADER_MOVED, text), maybe_happened: true }
    }

    /// A stream of answers ended before all of them came.
    pub(crate) fn stream_ended() -> Self {
        let text = "the connection ended before the answer";
        Self { error: WeirError::new(ErrorKind::OutcomeUnknown, "stream-ended", text), maybe_happened: true }
    }

    /// An answer inside a stream, which says whether something happened.
    pub(crate) fn answered(error: WeirError) -> Self {
        Self { maybe_happened: error.kind == ErrorKind::OutcomeUnknown, error }
    }

    /// Whether another leader is known, to be asked at once.
    pub(crate) fn is_of_moving(&self) -> bool {
        self.error.code == LEADER_MOVED
    }

    /// Whether no connection was there, so that nothing sent on it arrived.
    pub(crate) fn is_of_connecting(&self) -> bool {
        self.error.code == NODE_UNREACHABLE
    }
}

fn is_connect_error(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
