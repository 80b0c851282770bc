//! The command line: one file per verb.

mod check;
mod doctor;
mod export;
mod matrix;
mod mutants;
mod replay;
mod run;
mod shrink;

use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use weir_checker::{Report, Verdict};

use crate::run::last_line;

const EXAMPLES: &str = "\
Examples:
  weir-jepsen --workload queue --nemesis partition,kill --time-limit 300 --seed 7
  weir-jepsen doctor                        which faults this host can make
  weir-jepsen matrix --tier pr              thirteen configurations of a minute each
  weir-jepsen replay jepsen-results/latest  the same schedule once more
  weir-jepsen shrink jepsen-results/latest  fewer faults that still break something
  weir-jepsen mutants --engine process      planted bugs, which have to be noticed
  weir-jepsen export --edn jepsen-results/latest

Exit codes: 0 valid, 1 invalid, 2 unknown: nothing was proved, or the host cannot make a fault that was asked for.";

/// The checkout that this program is of: where cargo runs it, or else where it was built. Cargo shares what it has built
/// among checkouts, so that the latter may be another one.
fn source() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR");
    package.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from).join("..")
}

/// Runs real nodes under faults, and judges what their clients saw.
#[derive(Debug, Parser)]
#[command(name = "weir-jepsen", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    #[command(subcommand)]
    verb: Option<Verb>,
    #[command(flatten)]
    run: run::Run,
    /// Print JSON: the results of a run, the table of the doctor
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// One run (the verb that is meant when none is named)
    Run(run::Run),
    /// Try which faults this host can make
    Doctor(doctor::Doctor),
    /// Many runs: a tier of configurations
    Matrix(matrix::Matrix),
    /// Judge the history of a run again
    Check(check::Check),
    /// Perform the schedule of a run again
    Replay(replay::Replay),
    /// Write the history of a run for checkers of others
    Export(export::Export),
    /// Plant bugs, one at a time, and see that each is noticed
    Mutants(mutants::Mutants),
    /// Look for fewer faults that still break something
    Shrink(shrink::Shrink),
}

/// What a verb ends with.
type Outcome = Result<ExitCode, Box<dyn std::error::Error>>;

/// Performs what the command line asks for.
pub fn perform(cli: Cli) -> ExitCode {
    let screen = Screen { json: cli.json };
    let outcome = match cli.verb {
        None => cli.run.perform(screen),
        Some(Verb::Run(run)) => run.perform(screen),
        Some(Verb::Doctor(doctor)) => doctor.perform(screen),
        Some(Verb::Matrix(matrix)) => matrix.perform(screen),
        Some(Verb::Check(check)) => check.perform(screen),
        Some(Verb::Replay(replay)) => replay.perform(screen),
        Some(Verb::Export(export)) => export.perform(screen),
        Some(Verb::Mutants(mutants)) => mutants.perform(screen),
        Some(Verb::Shrink(shrink)) => shrink.perform(screen),
    };
    outcome.unwrap_or_else(|error| {
        screen.complain(&error);
        ExitCode::from(UNKNOWN)
    })
}

/// Nothing was proved.
const UNKNOWN: u8 = 2;

fn code(verdict: Verdict) -> ExitCode {
    match verdict {
        Verdict::Valid => ExitCode::SUCCESS,
        Verdict::Invalid => ExitCode::from(1),
        Verdict::Unknown => ExitCode::from(UNKNOWN),
    }
}

/// Standard output, as the user asked for it.
#[derive(Clone, Copy, Debug)]
struct Screen {
    json: bool,
}

impl Screen {
    /// Prints text for people, or a document for programs.
    fn show(self, text: impl fmt::Display, document: &impl serde::Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer(&mut out, document)?;
            writeln!(out)
        } else {
            writeln!(out, "{text}")
        }
    }

    /// The end of a run: its checks, and the one last line.
    fn report(self, report: &Report, folder: &std::path::Path) -> io::Result<()> {
        let page = folder.join("report.html");
        self.show(report, report)?;
        if !self.json {
            for story in crate::report::stories(folder)? {
                writeln!(io::stdout(), "\n{story}")?;
            }
            writeln!(io::stdout(), "\n{}\n{}", page.display(), last_line(report))?;
        }
        Ok(())
    }

    fn complain(self, error: &dyn fmt::Display) {
        if self.json {
            let document = serde_json::json!({ "verdict": "unknown", "error": error.to_string() });
            let _ = writeln!(io::stdout(), "{document}");
        } else {
            eprintln!("weir-jepsen: unknown: {error}");
        }
    }
}
