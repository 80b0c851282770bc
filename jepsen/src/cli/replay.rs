//! The schedule of a run, performed once more.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Screen, code};
use crate::run::{self, Folder, Options, Voice};
use crate::schedule::Schedule;

/// Performs the schedule of a run again.
#[derive(Clone, Debug, Args)]
pub(super) struct Replay {
    /// The folder of the run
    folder: PathBuf,
    /// The folder of the new run; beside the old one unless it is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another `weir` than the run had
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Replay {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let old = Folder::open(&self.folder)?;
        let mut options: Options = run::read(&old.options())?;
        let schedule: Schedule = run::read(&old.schedule())?;
        if let Some(binary) = self.binary {
            options.binary = binary;
        }
        let name = Folder::name(options.workload.name(), options.seed);
        let out = self.out.unwrap_or_else(|| old.path().with_file_name(format!("{name}-replay")));
        let (folder, report) = run::run(&out, &options, &schedule, Voice::Aloud)?;
        screen.report(&report, folder.path())?;
        Ok(code(report.verdict))
    }
}
