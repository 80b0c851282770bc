//! Many runs: a tier of configurations, one after the other or a few at once, and a summary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use clap::Args;
use comfy_table::{ContentArrangement, Table};
use parking_lot::Mutex;
use serde::Serialize;
use weir_checker::{Report, Verdict};

use super::run::{Amount, Ground, Plan, RESULTS, fresh_seed, options};
use super::{Outcome, Screen, code};
use crate::run::{self, Folder, Voice};
use crate::tier::{Configuration, Tier};

/// A tier of runs.
#[derive(Clone, Debug, Args)]
pub(super) struct Matrix {
    /// Which configurations: `pr` is 13 of a minute, `nightly` 48 of two minutes over all kinds of faults, `release` the
    /// same of ten minutes
    #[arg(long, value_enum, default_value_t = Tier::Pr)]
    tier: Tier,
    /// Only the configurations whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// How often each configuration is run, with other seeds each time
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1_000))]
    repeats: u16,
    /// Runs at once, each with a cluster of its own. A run takes a third of two cores; what it says of speed after a heal is
    /// only worth something while there is enough of the machine for all
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Another length of each run, in seconds
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    time_limit: Option<u64>,
    /// Seed of the first run; each further one has the next. From the clock unless it is named
    #[arg(long)]
    seed: Option<u64>,
    /// The folder of the runs; a new one below `jepsen-results` unless it is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    ground: Ground,
}

/// A run that is to be.
struct Planned {
    place: usize,
    configuration: Configuration,
    seed: u64,
}

/// One line of the summary.
#[derive(Clone, Debug, Serialize)]
struct Line {
    name: String,
    seed: u64,
    verdict: Verdict,
    /// Operations of clients: ok, failed, unknown.
    ok: u64,
    fail: u64,
    info: u64,
    seconds: u64,
    anomalies: u64,
    /// What broke, or why nothing was proved.
    why: String,
    folder: PathBuf,
}

/// All lines, as in `summary.json`.
#[derive(Debug, Serialize)]
struct Summary {
    tier: String,
    verdict: Verdict,
    runs: Vec<Line>,
}

impl Matrix {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let name = Folder::name(&format!("matrix-{}", self.tier.name()), seed);
        let out = self.out.clone().unwrap_or_else(|| Path::new(RESULTS).join(name));
        let wanted = |configuration: &Configuration| {
            self.only.as_ref().is_none_or(|part| configuration.name().contains(part))
        };
        let configurations: Vec<_> = self.tier.configurations().into_iter().filter(wanted).collect();
        let planned: Vec<Planned> = (0..self.repeats)
            .flat_map(|_| &configurations)
            .zip(seed..)
            .enumerate()
            .map(|(place, (configuration, seed))| Planned {
                place,
                configuration: configuration.clone(),
                seed,
            })
            .collect();
        let summary = self.all(&out, &planned)?;
        screen.show(table(&summary), &summary)?;
        Ok(if summary.runs.is_empty() { ExitCode::from(super::UNKNOWN) } else { code(summary.verdict) })
    }

    /// Performs them, a few at once, and keeps a summary of those that are over.
    fn all(&self, out: &Path, planned: &[Planned]) -> std::io::Result<Summary> {
        let (left, lines) = (Mutex::new(planned.iter()), Mutex::new(BTreeMap::new()));
        let work = || {
            loop {
                let next = left.lock().next();
                let Some(run) = next else { return Ok(()) };
                eprintln!("[{}/{}] {} begins", run.place + 1, planned.len(), run.title());
                let line = self.line(out, run);
                eprintln!("    {}: {:?} {}", run.title(), line.verdict, line.why);
                let mut lines = lines.lock();
                lines.insert(run.place, line);
                // After each run: a tier that is cut off keeps what it had.
                run::write(&out.join("summary.json"), &self.summary(&lines))?;
            }
        };
        thread::scope(|scope| {
            let workers: Vec<_> = (0..self.jobs).map(|_| scope.spawn(work)).collect();
            let join = |worker: thread::ScopedJoinHandle<'_, std::io::Result<()>>| {
                worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            };
            workers.into_iter().try_for_each(join)
        })?;
        Ok(self.summary(&lines.into_inner()))
    }

    fn summary(&self, lines: &BTreeMap<usize, Line>) -> Summary {
        let verdict = lines.values().map(|line| line.verdict).max().unwrap_or(Verdict::Unknown);
        Summary { tier: self.tier.name().to_owned(), verdict, runs: lines.values().cloned().collect() }
    }

    fn line(&self, out: &Path, run: &Planned) -> Line {
        let Planned { place, configuration, seed } = run;
        let folder = out.join(format!("{:02}-{}", place + 1, configuration.name().replace(' ', "-")));
        let mut line = Line {
            name: configuration.name(),
            seed: *seed,
            verdict: Verdict::Unknown,
            ok: 0,
            fail: 0,
            info: 0,
            seconds: 0,
            anomalies: 0,
            why: String::new(),
            folder: folder.clone(),
        };
        match self.judged(configuration, *seed, &folder) {
            // One configuration that cannot run says nothing; the others still may.
            Err(error) => line.why = error.to_string(),
            Ok(report) => {
                line.verdict = report.verdict;
                (line.ok, line.fail, line.info) =
                    (report.figures.ok, report.figures.fail, report.figures.info);
                line.seconds = report.figures.length / 1_000_000;
                let counts =
                    report.checks.iter().map(|c| c.findings.anomalies.len() as u64 + c.findings.more);
                line.anomalies = counts.sum();
                line.why = why(&report);
            }
        }
        line
    }

    fn judged(
        &self,
        configuration: &Configuration,
        seed: u64,
        folder: &Path,
    ) -> Result<Report, Box<dyn std::error::Error>> {
        let plan = Plan {
            workload: configuration.workload,
            nemesis: configuration.nemesis.clone(),
            time_limit_s: self.time_limit.unwrap_or(configuration.seconds),
            seed,
        };
        let options = options(plan, &self.amount, &self.ground)?;
        Ok(run::run(folder, &options, &run::draw(&options), Voice::Silent)?.1)
    }
}

impl Planned {
    fn title(&self) -> String {
        format!("{} --seed {}", self.configuration.name(), self.seed)
    }
}

/// The first anomaly, or the first reason why nothing was proved.
pub(super) fn why(report: &Report) -> String {
    let anomaly = report.anomalies().next().map(|found| format!("{}: {}", found.name, found.text));
    let unsure = || {
        let first = report.checks.iter().find_map(|c| c.findings.unknown.first().map(|why| (&c.name, why)));
        first.map_or_else(String::new, |(name, why)| format!("{name}: {why}"))
    };
    anomaly.unwrap_or_else(unsure)
}

fn table(summary: &Summary) -> Table {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["configuration", "seed", "verdict", "ok", "failed", "unknown", "seconds", "why"]);
    for line in &summary.runs {
        table.add_row([
            line.name.clone(),
            line.seed.to_string(),
            format!("{:?}", line.verdict).to_lowercase(),
            line.ok.to_string(),
            line.fail.to_string(),
            line.info.to_string(),
            line.seconds.to_string(),
            line.why.clone(),
        ]);
    }
    table
}
