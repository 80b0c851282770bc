//! What a call of this library can fail with.

use std::time::Duration;

use weir_types::{BatchError, ErrorKind, WeirError};

/// An error with the caller's next move: [`kind`](Self::kind) says what to do, [`code`](Self::code) is stable and
/// has a page in `docs/errors/`, the text carries the numbers.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The cluster's own answer.
    #[error(transparent)]
    Broker(#[from] WeirError),
    /// No node could be reached: check that one runs at a seed's address.
    #[error("no node answers at {seeds} within {} ms: {last} [no-seed-reachable]", waited.as_millis())]
    NoSeedReachable {
        /// The addresses that were tried.
        seeds: String,
        /// For how long.
        waited: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// It did not happen in time, and will not: try again later.
    #[error("could not {doing} within {} ms, and it did not happen: {last} [client-timeout]", waited.as_millis())]
    Timeout {
        /// What was to be done.
        doing: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// It was sent, and no answer came: it may have happened. Doing it again may double it, unless the operation is
    /// one that can be repeated.
    #[error(
        "no answer to {doing} within {} ms, so that it may have happened: {last} [outcome-unknown]",
        waited.as_millis()
    )]
    OutcomeUnknown {
        /// What was to be done.
        doing: String,
        /// How long it was tried.
        waited: Duration,
        /// What the last attempt said.
        last: String,
    },
    /// The producer, reader, consumer, worker or client was closed before.
    #[error("the {what} is closed [client-closed]")]
    Closed {
        /// What is closed.
        what: &'static str,
    },
    /// A record is over a limit: nothing was sent.
    #[error("the record cannot be sent: {0} [record-invalid]")]
    Record(#[from] BatchError),
    /// An option has a value that cannot work: nothing was done.
    #[error("option `{option}` {problem} [option-invalid]")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with its value, with the numbers.
        problem: String,
    },
    /// A handler of an operator refused a record: the group stays before the step with it.
    #[error(
        "record {offset} of `{topic}` partition {partition} cannot be handled: {reason} [handler-failed]"
    )]
    Handler {
        /// The stream.
        topic: String,
        /// Its partition.
        partition: u32,
        /// The record.
        offset: u64,
        /// What the handler said.
        reason: String,
    },
    /// A batch that was read is damaged.
    #[error(
        "the batch at offset {offset} of `{topic}` partition {partition} is unreadable: {reason} [batch-unreadable]"
    )]
    Unreadable {
        /// The stream.
        topic: String,
        /// Its partition.
        partition: u32,
        /// Where the reader stands.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
}

/// What this library's calls return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// What to do next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Broker(error) => error.kind,
            Self::NoSeedReachable { .. } | Self::Timeout { .. } => ErrorKind::Retry,
            Self::OutcomeUnknown { .. } => ErrorKind::OutcomeUnknown,
            Self::Closed { .. } | Self::Record(_) | Self::Option { .. } | Self::Handler { .. } => {
                ErrorKind::Invalid
            }
            Self::Unreadable { .. } => ErrorKind::Corrupt,
        }
    }

    /// Stable code in `kebab-case`.
    pub fn code(&self) -> &str {
        match self {
            Self::Broker(error) => &error.code,
            Self::NoSeedReachable { .. } => "no-seed-reachable",
            Self::Timeout { .. } => "client-timeout",
            Self::OutcomeUnknown { .. } => "outcome-unknown",
            Self::Closed { .. } => "client-closed",
            Self::Record(_) => "record-invalid",
            Self::Option { .. } => "option-invalid",
            Self::Handler { .. } => "handler-failed",
            Self::Unreadable { .. } => "batch-unreadable",
        }
    }

    /// How long the cluster asks to wait before the next attempt.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Broker(error) => error.retry_after_ms.map(Duration::from_millis),
            _ => None,
        }
    }

    pub(crate) fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self::Broker(WeirError::new(kind, code, message))
    }
}
