//! A history for checkers of others.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{Outcome, Screen};
use crate::export;

/// Writes a history in another format, beside the one that is there.
#[derive(Clone, Debug, Args)]
pub(super) struct Export {
    /// The folder of a run: `history.edn`, in Jepsen's operation format, and `keys.edn` are written there
    #[arg(long, value_name = "FOLDER")]
    edn: PathBuf,
}

impl Export {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let lines = export::edn(&self.edn)?;
        let to = self.edn.join("history.edn");
        screen.show(
            format_args!("{lines} lines in {}", to.display()),
            &json!({ "lines": lines, "file": to }),
        )?;
        Ok(ExitCode::SUCCESS)
    }
}
