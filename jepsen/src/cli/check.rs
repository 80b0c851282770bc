//! What can be done with the history of a run that is over.

use std::path::PathBuf;

use clap::Args;

use super::{Outcome, Screen, code};
use crate::run::{self, Folder};

/// Judges a history again.
#[derive(Clone, Debug, Args)]
pub(super) struct Check {
    /// The folder of the run
    folder: PathBuf,
}

impl Check {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let folder = Folder::open(&self.folder)?;
        let report = run::check(&folder)?;
        screen.report(&report, folder.path())?;
        Ok(code(report.verdict))
    }
}
