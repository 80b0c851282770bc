//! Why a call did not succeed, and whether it may have happened all the same.

use std::error::Error as _;
use std::time::Duration;

use tonic::Status;
use weir_proto::{error_from_status, v1};
use weir_types::{ErrorKind, WeirError};

use crate::history::End;

/// A call without success.
#[derive(Clone, Debug)]
pub struct Trouble {
    /// It may have happened, or may happen yet.
    pub unknown: bool,
    /// The error's stable code.
    pub code: String,
    /// What the caller is asked to do.
    pub kind: ErrorKind,
    /// Where the leader is, if the node knew.
    pub leader: Option<String>,
    /// The error in words.
    pub text: String,
}

impl Trouble {
    /// A call that no node answered in time.
    pub(super) fn silence(deadline: Duration) -> Self {
        let text = format!("no answer within {} ms", deadline.as_millis());
        Self {
            unknown: true,
            code: "no-answer".to_owned(),
            kind: ErrorKind::OutcomeUnknown,
            leader: None,
            text,
        }
    }

    /// There was no node to ask.
    pub fn nobody() -> Self {
        let text = "no node to ask is known".to_owned();
        Self { unknown: false, code: "no-node".to_owned(), kind: ErrorKind::Retry, leader: None, text }
    }

    /// An answer that says nothing.
    pub fn empty() -> Self {
        let text = "the answer has no outcome".to_owned();
        let code = "empty-answer".to_owned();
        Self { unknown: true, code, kind: ErrorKind::Internal, leader: None, text }
    }

    /// What the status of a failed call says. A call whose connection could not be opened reached nobody.
    pub(super) fn from_status(status: &Status) -> Self {
        if is_of_connecting(status) {
            let text = status.message().to_owned();
            return Self {
                unknown: false,
                code: "node-unreachable".to_owned(),
                kind: ErrorKind::Retry,
                leader: None,
                text,
            };
        }
        error_from_status(status).into()
    }

    /// As it ends an operation that changes something.
    pub fn end(&self) -> End {
        let text = format!("{}: {}", self.code, self.text);
        if self.unknown { End::Info(text) } else { End::Fail(text) }
    }

    /// As it ends an operation that changes nothing: one without an answer did not happen.
    pub fn end_of_read(&self) -> End {
        End::Fail(format!("{}: {}", self.code, self.text))
    }
}

impl From<WeirError> for Trouble {
    fn from(error: WeirError) -> Self {
        // A bug or damage says nothing about how far the call came.
        let unknown =
            matches!(error.kind, ErrorKind::OutcomeUnknown | ErrorKind::Internal | ErrorKind::Corrupt);
        Self { unknown, code: error.code, kind: error.kind, leader: error.leader, text: error.message }
    }
}

impl From<v1::Error> for Trouble {
    fn from(error: v1::Error) -> Self {
        WeirError::from(error).into()
    }
}

fn is_of_connecting(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}
