//! The schedule of a run, performed once more.

use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use clap::Args;
use weir_checker::{Fault, Op, ReadError, Reader};

use super::{Outcome, Screen, code};
use crate::run::{self, Folder, Options, Voice};
use crate::schedule::Schedule;

/// Performs the schedule of a run again: the same faults at the same times, to whoever leads or follows by then.
#[derive(Clone, Debug, Args)]
pub(super) struct Replay {
    /// The folder of the run
    folder: PathBuf,
    /// The folder of the new run; beside the old one unless it is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// To the very nodes that suffered in the run, whatever their roles are now
    #[arg(long)]
    same_nodes: bool,
    /// Another `weir` than the run had
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

impl Replay {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let old = Folder::open(&self.folder)?;
        let mut options: Options = run::read(&old.options())?;
        let mut schedule: Schedule = run::read(&old.schedule())?;
        if self.same_nodes {
            schedule = schedule.to_the_same_nodes(&faults(&old)?);
        }
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

/// What the nemesis did in a run.
fn faults(run: &Folder) -> Result<Vec<Fault>, Box<dyn std::error::Error>> {
    let events = Reader::new(BufReader::new(File::open(run.history())?));
    let fault = |event: weir_checker::Event| match event.op {
        Op::Fault(fault) => Some(fault),
        _ => None,
    };
    let faults: Result<Vec<_>, ReadError> = events.filter_map(|event| event.map(fault).transpose()).collect();
    Ok(faults?)
}
