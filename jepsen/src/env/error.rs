//! What can go wrong while an environment is made, changed or taken down.

use std::io;
use std::path::Path;

/// Why something of the environment did not work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system refused.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// Its answer.
        source: io::Error,
    },
    /// A program ended with a failure.
    #[error("`{command}`: {output}")]
    Command {
        /// Its command line.
        command: String,
        /// What it printed.
        output: String,
    },
    /// A node did not get there in time.
    #[error("{node}: not {state} within {seconds} s: {last}")]
    Late {
        /// The node.
        node: String,
        /// What it should have been.
        state: &'static str,
        /// The bound.
        seconds: u64,
        /// What was seen last.
        last: String,
    },
    /// The environment was not made for this.
    #[error("{0}")]
    Unable(String),
}

/// The result of most things here.
pub type Result<T> = std::result::Result<T, Error>;

/// Says what was tried when the operating system refuses.
pub(crate) trait Tried<T> {
    /// Puts `what` before the reason.
    fn tried(self, what: impl FnOnce() -> String) -> Result<T>;

    /// Puts `verb` and a path before the reason.
    fn at(self, verb: &str, path: &Path) -> Result<T>;
}

impl<T, E: Into<io::Error>> Tried<T> for std::result::Result<T, E> {
    fn tried(self, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|source| Error::Io { what: what(), source: source.into() })
    }

    fn at(self, verb: &str, path: &Path) -> Result<T> {
        self.tried(|| format!("{verb} {}", path.display()))
    }
}
