//! Fewer faults that still break something: halves of a schedule are left out while the run stays invalid.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;
use weir_checker::Verdict;

use super::{Outcome, Screen};
use crate::nemesis::Step;
use crate::run::{self, Folder, Options, Voice};
use crate::schedule::Schedule;

/// Looks for fewer faults that still break something.
#[derive(Clone, Debug, Args)]
pub(super) struct Shrink {
    /// The folder of a run that was invalid
    folder: PathBuf,
    /// Runs at most
    #[arg(long, default_value_t = 12, value_name = "N")]
    runs: u32,
    /// How often a shorter schedule is tried before it counts as harmless: what depends on timing does not break each time
    #[arg(long, default_value_t = 2, value_name = "N")]
    tries: u32,
}

/// What is left.
#[derive(Debug, Serialize)]
struct Shrunk {
    before: usize,
    after: usize,
    runs: u32,
    folder: PathBuf,
}

/// A search under way.
struct Search<'a> {
    options: &'a Options,
    home: &'a Path,
    runs: u32,
    runs_max: u32,
    tries: u32,
}

impl Shrink {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let old = Folder::open(&self.folder)?;
        let options: Options = run::read(&old.options())?;
        let whole: Schedule = run::read(&old.schedule())?;
        let home = old.path().join("shrunk");
        let mut search =
            Search { options: &options, home: &home, runs: 0, runs_max: self.runs, tries: self.tries.max(1) };
        let steps = search.shrink(&whole)?;
        let after = steps.len();
        let schedule = Schedule { steps, ..whole.clone() };
        let folder = Folder::create(&home)?;
        run::write(&folder.schedule(), &schedule)?;
        run::write(&folder.options(), &options.document())?;
        let shrunk =
            Shrunk { before: whole.steps.len(), after, runs: search.runs, folder: folder.path().to_owned() };
        let text = format!(
            "{} of {} faults are left after {} runs; `weir-jepsen replay {}` performs them",
            shrunk.after,
            shrunk.before,
            shrunk.runs,
            shrunk.folder.display()
        );
        screen.show(text, &shrunk)?;
        // A schedule that never broke anything again was not shrunk: nothing was proved.
        Ok(if shrunk.after < shrunk.before { ExitCode::SUCCESS } else { ExitCode::from(super::UNKNOWN) })
    }
}

impl Search<'_> {
    /// Leaves out halves, then quarters, and so on down to single steps, as long as what is left breaks something.
    fn shrink(&mut self, whole: &Schedule) -> Result<Vec<Step>, run::Error> {
        let mut kept = whole.steps.clone();
        let mut parts = 2;
        while kept.len() > 1 && self.runs < self.runs_max {
            let length = kept.len().div_ceil(parts);
            let mut shorter = None;
            for first in (0..kept.len()).step_by(length) {
                let mut rest = kept.clone();
                rest.drain(first..(first + length).min(kept.len()));
                if !rest.is_empty() && self.breaks(whole, &rest)? {
                    shorter = Some(rest);
                    break;
                }
            }
            match shorter {
                Some(rest) => {
                    kept = rest;
                    parts = 2.max(parts - 1);
                }
                None if length == 1 => break,
                None => parts = (parts * 2).min(kept.len()),
            }
        }
        Ok(kept)
    }

    fn breaks(&mut self, whole: &Schedule, steps: &[Step]) -> Result<bool, run::Error> {
        let schedule = Schedule { steps: steps.to_vec(), ..whole.clone() };
        for _ in 0..self.tries {
            if self.runs == self.runs_max {
                return Ok(false);
            }
            self.runs += 1;
            let out = self.home.join(format!("try-{:02}", self.runs));
            let (_, report) = run::run(&out, self.options, &schedule, Voice::Silent)?;
            eprintln!("try {}: {} faults, {:?}", self.runs, steps.len(), report.verdict);
            if report.verdict == Verdict::Invalid {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
