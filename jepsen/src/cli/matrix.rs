//! Many runs: a tier of configurations, one after the other, and a summary.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use weir_checker::Verdict;

use super::run::{Amount, Ground, Plan, RESULTS, fresh_seed, options};
use super::{Outcome, Screen, code};
use crate::run::{self, Folder, Voice};
use crate::tier::{Configuration, Tier};

/// A tier of runs.
#[derive(Clone, Debug, Args)]
pub(super) struct Matrix {
    /// Which configurations: `pr` is 13 of a minute, `nightly` 42 of two minutes over all kinds of faults, `release` the
    /// same of ten minutes
    #[arg(long, value_enum, default_value_t = Tier::Pr)]
    tier: Tier,
    /// Only the configurations whose name contains this
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
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
        let mut runs = Vec::new();
        for (place, configuration) in configurations.iter().enumerate() {
            let seed = seed + place as u64;
            eprintln!("[{}/{}] {} --seed {seed}", place + 1, configurations.len(), configuration.name());
            let line = self.line(&out, place, configuration, seed)?;
            eprintln!("    {:?}: {}", line.verdict, line.why);
            runs.push(line);
            // After each run: a tier that is cut off keeps what it had.
            let summary = self.summary(runs.clone());
            run::write(&out.join("summary.json"), &summary)?;
        }
        let summary = self.summary(runs);
        screen.show(table(&summary), &summary)?;
        Ok(if summary.runs.is_empty() { ExitCode::from(super::UNKNOWN) } else { code(summary.verdict) })
    }

    fn summary(&self, runs: Vec<Line>) -> Summary {
        let verdict = runs.iter().map(|line| line.verdict).max().unwrap_or(Verdict::Unknown);
        Summary { tier: self.tier.name().to_owned(), verdict, runs }
    }

    fn line(
        &self,
        out: &Path,
        place: usize,
        configuration: &Configuration,
        seed: u64,
    ) -> Result<Line, Box<dyn std::error::Error>> {
        let plan = Plan {
            workload: configuration.workload,
            nemesis: configuration.nemesis.clone(),
            time_limit_s: self.time_limit.unwrap_or(configuration.seconds),
            seed,
        };
        let options = options(plan, &self.amount, &self.ground)?;
        let schedule = run::draw(&options);
        let folder = out.join(format!("{:02}-{}", place + 1, configuration.name().replace(' ', "-")));
        let mut line = Line {
            name: configuration.name(),
            seed,
            verdict: Verdict::Unknown,
            ok: 0,
            fail: 0,
            info: 0,
            seconds: 0,
            anomalies: 0,
            why: String::new(),
            folder: folder.clone(),
        };
        match run::run(&folder, &options, &schedule, Voice::Silent) {
            // One configuration that cannot run says nothing; the others still may.
            Err(error) => line.why = error.to_string(),
            Ok((_, report)) => {
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
        Ok(line)
    }
}

/// The first anomaly, or the first reason why nothing was proved.
pub(super) fn why(report: &weir_checker::Report) -> String {
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
