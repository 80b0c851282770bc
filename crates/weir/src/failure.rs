//! What a failed command prints, and with which code it exits (`docs/EXIT_CODES.md`).

use std::fmt::{Display, Write as _};
use std::io;
use std::process::ExitCode;

use serde_json::json;
use weir_types::{ErrorKind, WeirError};

/// Ends the text of `weir --help`.
pub(crate) const EXIT_CODES_HELP: &str = "\
Exit codes:
  0  done
  1  failed (also: internal error, damaged data)
  2  wrong usage or configuration
  3  not found
  4  exists already
  5  refused: the request can never succeed as it is
  6  lease lost, or fenced by a newer owner
  7  not now: no leader, no connection, over a limit; try again
  8  out of disk space
  9  not allowed
 10  outcome unknown: it may have happened";

/// Exit code of a command that was used wrongly; clap's own.
const USAGE: u8 = 2;

/// Why a command failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    exit: u8,
    code: String,
    message: String,
    hint: Option<String>,
}

/// How a command ends.
pub(crate) type Outcome = Result<(), Failure>;

impl Failure {
    /// The command was used wrongly: nothing was tried.
    pub(crate) fn usage(message: impl Display) -> Self {
        Self { exit: USAGE, code: "usage".to_owned(), message: message.to_string(), hint: None }
    }

    /// The operation failed for a reason outside the cluster.
    pub(crate) fn operation(code: &str, message: impl Display) -> Self {
        Self { exit: 1, code: code.to_owned(), message: message.to_string(), hint: None }
    }

    /// The command has said itself why it failed.
    pub(crate) fn reported() -> Self {
        Self::operation(REPORTED, "")
    }

    /// Adds what to do next.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds how far it came.
    pub(crate) fn after(mut self, progress: impl Display) -> Self {
        let _ = write!(self.message, "; {progress}");
        self
    }

    /// Whether standard output was closed by its reader, as by `| head`: not a failure of the command.
    fn is_closed_pipe(&self) -> bool {
        self.code == CLOSED_PIPE
    }

    /// Says on standard error what happened, and gives the exit code.
    pub(crate) fn report(&self, as_json: bool) -> ExitCode {
        if self.is_closed_pipe() {
            return ExitCode::SUCCESS;
        }
        if self.code == REPORTED {
            return ExitCode::from(self.exit);
        }
        if as_json {
            let error = json!({ "code": self.code, "message": self.message, "hint": self.hint });
            eprintln!("{}", json!({ "error": error }));
        } else {
            eprintln!("{}", self.text());
        }
        ExitCode::from(self.exit)
    }

    fn text(&self) -> String {
        let mut text = format!("error: {} [{}]", self.message, self.code);
        if let Some(hint) = &self.hint {
            text.push_str("\nhint: ");
            text.push_str(hint);
        }
        text
    }
}

const REPORTED: &str = "reported";
const CLOSED_PIPE: &str = "closed-pipe";

impl From<WeirError> for Failure {
    fn from(error: WeirError) -> Self {
        let hint = hint_for(&error);
        Self { exit: exit_for(error.kind), code: error.code, message: error.message, hint }
    }
}

impl From<weir_client::Error> for Failure {
    fn from(error: weir_client::Error) -> Self {
        let (kind, code) = (error.kind(), error.code().to_owned());
        // The library ends its texts with the code, as `text` does.
        let message = error.to_string();
        let message = message.strip_suffix(&format!(" [{code}]")).unwrap_or(&message);
        let mut public = WeirError::new(kind, &code, message);
        public.retry_after_ms = error.retry_after().map(|after| after.as_millis() as u64);
        public.into()
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let code = if error.kind() == io::ErrorKind::BrokenPipe { CLOSED_PIPE } else { "io" };
        Self::operation(code, error)
    }
}

fn exit_for(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Corrupt | ErrorKind::Internal => 1,
        ErrorKind::NotFound => 3,
        ErrorKind::AlreadyExists => 4,
        ErrorKind::Invalid => 5,
        ErrorKind::LeaseLost | ErrorKind::Fenced => 6,
        ErrorKind::Retry | ErrorKind::Redirect | ErrorKind::Throttled => 7,
        ErrorKind::OutOfSpace => 8,
        ErrorKind::Unauthorized => 9,
        ErrorKind::OutcomeUnknown => 10,
    }
}

fn hint_for(error: &WeirError) -> Option<String> {
    let by_code = match error.code.as_str() {
        "topic-not-found" => Some("`weir topic list` shows the topics that exist"),
        "feature-not-enabled" => Some(
            "`weir cluster features` shows the level and what the nodes know, `--enable latest` raises it",
        ),
        "no-seed-reachable" => {
            Some("name a running node with --seeds or WEIR_SEEDS; `weir dev` starts a cluster to try")
        }
        _ => None,
    };
    if let Some(hint) = by_code {
        return Some(hint.to_owned());
    }
    let hint = match error.kind {
        ErrorKind::Retry => "nothing happened; try again, and look at `weir cluster status` if it stays so",
        ErrorKind::Redirect => "leadership is moving; try again",
        ErrorKind::LeaseLost => {
            "it was settled before, or its lease ran out and another consumer has it: extend in time"
        }
        ErrorKind::OutOfSpace => {
            "free disk space on the node, or shorten retention; reads and acks go on meanwhile"
        }
        ErrorKind::OutcomeUnknown => "it may have happened: look before you repeat it",
        ErrorKind::Throttled => match error.retry_after_ms {
            Some(ms) => return Some(format!("try again in {ms} ms")),
            None => "try again more slowly",
        },
        ErrorKind::Corrupt | ErrorKind::Internal => {
            "docs/errors/ explains the code; please report what led here"
        }
        _ => return None,
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_printed_with_its_code_and_the_next_move() {
        let error = WeirError::new(ErrorKind::NotFound, "topic-not-found", "topic `tasks` does not exist");
        assert_eq!(
            Failure::from(error).text(),
            "error: topic `tasks` does not exist [topic-not-found]\n\
             hint: `weir topic list` shows the topics that exist"
        );
    }

    #[test]
    fn every_kind_exits_as_the_help_says() {
        for (kind, exit) in
            [(ErrorKind::AlreadyExists, 4), (ErrorKind::Throttled, 7), (ErrorKind::Internal, 1)]
        {
            assert_eq!(Failure::from(WeirError::new(kind, "x", "x")).exit, exit);
            assert!(EXIT_CODES_HELP.contains(&format!("{exit:>3}  ")));
        }
    }

    #[test]
    fn a_reader_that_went_away_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(false), ExitCode::SUCCESS);
    }
}
