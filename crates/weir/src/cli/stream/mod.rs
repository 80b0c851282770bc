//! `weir stream`: one file per command.

mod append;
mod process;
mod read;

use clap::Subcommand;

use crate::failure::Outcome;
use crate::output::Screen;

/// Append records to a stream, read them, process them
#[derive(Debug, Subcommand)]
pub(in crate::cli) enum Stream {
    /// Append records: lines of files or standard input
    Append(append::Append),
    /// Print records, from any place on
    Read(read::Read),
    /// Run a command per record and append what it writes, exactly once
    Process(process::Process),
}

impl Stream {
    pub(in crate::cli) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Append(append) => append.run(screen).await,
            Self::Read(read) => read.run(screen).await,
            Self::Process(process) => process.run(screen).await,
        }
    }
}
