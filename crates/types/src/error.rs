//! Public errors. The kind tells the caller what to do next; the code is stable and has a page in
//! `docs/errors/`; the text carries the numbers.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What the caller does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Try again after a pause: nothing happened.
    Retry,
    /// Ask the named leader: nothing happened here.
    Redirect,
    /// The request can never succeed as it is.
    Invalid,
    /// What the request names does not exist.
    NotFound,
    /// What the request would make exists already.
    AlreadyExists,
    /// The lease is no longer the message's current one.
    LeaseLost,
    /// A newer epoch of the same producer or group member has taken over.
    Fenced,
    /// The caller is over a limit; try again after the named pause.
    Throttled,
    /// No room: writes are refused until space returns.
    OutOfSpace,
    /// The caller may not do this.
    Unauthorized,
    /// It may have happened: retry with the same ids.
    OutcomeUnknown,
    /// Stored or received bytes are damaged.
    Corrupt,
    /// A bug in Weir.
    Internal,
}

impl ErrorKind {
    /// The name, as written in messages, JSON and docs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Retry => "Retry",
            Self::Redirect => "Redirect",
            Self::Invalid => "Invalid",
            Self::NotFound => "NotFound",
            Self::AlreadyExists => "AlreadyExists",
            Self::LeaseLost => "LeaseLost",
            Self::Fenced => "Fenced",
            Self::Throttled => "Throttled",
            Self::OutOfSpace => "OutOfSpace",
            Self::Unauthorized => "Unauthorized",
            Self::OutcomeUnknown => "OutcomeUnknown",
            Self::Corrupt => "Corrupt",
            Self::Internal => "Internal",
        }
    }

    /// Whether the same request, sent again later, is bound to be refused again.
    pub fn is_final(self) -> bool {
        match self {
            Self::Invalid
            | Self::NotFound
            | Self::AlreadyExists
            | Self::LeaseLost
            | Self::Fenced
            | Self::Unauthorized => true,
            Self::Retry
            | Self::Redirect
            | Self::Throttled
            | Self::OutOfSpace
            | Self::OutcomeUnknown
            | Self::Corrupt
            | Self::Internal => false,
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A public error: kind, stable code, text with the numbers, and hints for the next move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message} [{code}]")]
pub struct WeirError {
    /// What the caller does next.
    pub kind: ErrorKind,
    /// Stable code in `kebab-case`, such as `topic-not-found`; `docs/errors/CODE.md` explains it.
    pub code: String,
    /// A lowercase sentence with the numbers.
    pub message: String,
    /// Wait this long before trying again, in milliseconds (`Retry`, `Throttled`, `OutOfSpace`).
    pub retry_after_ms: Option<u64>,
    /// Address of the leader to ask instead (`Redirect`), when known.
    pub leader: Option<String>,
}

impl WeirError {
    /// An error without hints.
    pub fn new(kind: ErrorKind, code: &str, message: impl Into<String>) -> Self {
        Self { kind, code: code.to_owned(), message: message.into(), retry_after_ms: None, leader: None }
    }

    /// Adds how long to wait.
    #[must_use]
    pub fn after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// Adds whom to ask instead.
    #[must_use]
    pub fn at_leader(mut self, address: Option<String>) -> Self {
        self.leader = address;
        self
    }
}
