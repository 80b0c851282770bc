//! Planted bugs, one after the other, until each is noticed: what shows that the checks see anything at all.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use clap::{Args, ValueEnum};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;
use weir_checker::Anomaly;
use weir_types::mutants::{Mutant, Planted};

use super::run::{Amount, Ground, Plan, RESULTS, fresh_seed, options};
use super::{Outcome, Screen, source};
use crate::nemesis::Kind;
use crate::run::{self, Folder, Options, Voice};
use crate::workload::Workload;

/// What has to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// The simulator, for every planted bug (`scripts/mutants`)
    Sim,
    /// Real processes under real faults, for those that are marked
    Process,
    /// Both, one after the other
    Both,
}

/// Planted bugs.
#[derive(Clone, Debug, Args)]
pub(super) struct Mutants {
    /// Only these: M01 M04 …
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// What has to notice
    #[arg(long, value_enum, default_value_t = Engine::Both)]
    engine: Engine,
    /// Runs of real processes per planted bug, at most; each has the next seed
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000))]
    tries: u64,
    /// Seeds of the simulator per planted bug, at most
    #[arg(long, default_value_t = 200, value_name = "N")]
    seeds: u32,
    /// Warm-up and faults of one run, in seconds
    #[arg(long, default_value_t = 45, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    time_limit: u64,
    /// Seed of the first run of each; from the clock unless it is named
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

/// What became of one.
#[derive(Debug, Serialize)]
struct Line {
    name: &'static str,
    what: &'static str,
    killed_by: &'static str,
    /// Whether a run showed it.
    noticed: bool,
    /// The first anomaly, or why no run proved anything.
    why: String,
    tries: u64,
    seconds: u64,
    /// The last run.
    folder: PathBuf,
}

impl Mutants {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let wanted = self.wanted()?;
        let mut all = true;
        if self.engine != Engine::Process {
            all &= self.simulate(&wanted)?;
        }
        if self.engine != Engine::Sim {
            let lines = self.attack(&wanted)?;
            all &= lines.iter().all(|line| line.noticed);
            screen.show(table(&lines), &lines)?;
        }
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(1) })
    }

    fn wanted(&self) -> Result<Vec<Mutant>, String> {
        if self.names.is_empty() {
            return Ok(Mutant::ALL.to_vec());
        }
        let find = |name: &String| {
            let found = Mutant::ALL.iter().find(|mutant| mutant.planted().name == name);
            found.copied().ok_or_else(|| format!("there is no mutant `{name}`"))
        };
        self.names.iter().map(find).collect()
    }

    /// The script of the simulator prints its own lines.
    fn simulate(&self, wanted: &[Mutant]) -> Result<bool, Box<dyn std::error::Error>> {
        let script = source().join("scripts/mutants");
        let mut command = Command::new(script);
        command.args(wanted.iter().map(|mutant| mutant.planted().name));
        command.args(["--runs", &self.seeds.to_string()]);
        Ok(command.stdin(Stdio::null()).status()?.success())
    }

    fn attack(&self, wanted: &[Mutant]) -> Result<Vec<Line>, Box<dyn std::error::Error>> {
        let marked: Vec<_> = wanted.iter().copied().filter(|mutant| mutant.planted().process).collect();
        let mut ground = self.ground.clone();
        ground.binary = Some(ground.binary.map_or_else(built_with_mutants, Ok)?);
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let out = self.out.clone().unwrap_or_else(|| Path::new(RESULTS).join(Folder::name("mutants", seed)));
        let mut lines = Vec::new();
        for (place, mutant) in marked.iter().enumerate() {
            let planted = mutant.planted();
            eprintln!("[{}/{}] {}: {}", place + 1, marked.len(), planted.name, planted.what);
            let line = self.hunt(*mutant, &ground, &out, seed)?;
            let word = if line.noticed { "noticed" } else { "LIVES" };
            eprintln!("    {word} after {} runs, {} s: {}", line.tries, line.seconds, line.why);
            lines.push(line);
            run::write(&out.join("summary.json"), &lines)?;
        }
        Ok(lines)
    }

    /// Runs until one shows the bug.
    #[expect(clippy::disallowed_types, reason = "runs last for real time")]
    fn hunt(
        &self,
        mutant: Mutant,
        ground: &Ground,
        out: &Path,
        first: u64,
    ) -> Result<Line, Box<dyn std::error::Error>> {
        let planted = mutant.planted();
        let (began, folder) = (Instant::now(), out.join(planted.name));
        let mut line = Line::new(planted, folder);
        while line.tries < self.tries && !line.noticed {
            let seed = first + line.tries;
            let (workload, kinds) = attack_on(mutant);
            let plan = Plan { workload, nemesis: kinds.to_vec(), time_limit_s: self.time_limit, seed };
            let options =
                Options { mutant: Some(planted.name.to_owned()), ..options(plan, &self.amount, ground)? };
            let (folder, report) = run::run(
                &line.folder.with_file_name(format!("{}-{seed}", planted.name)),
                &options,
                &run::draw(&options),
                Voice::Silent,
            )?;
            is_armed(&folder, planted)?;
            line.tries += 1;
            let proof = report.anomalies().find(|found| proves(found));
            line.noticed = proof.is_some();
            line.why = proof.map_or_else(
                || super::matrix::why(&report),
                |found| format!("{} {}: {}", found.check, found.name, found.text),
            );
            folder.path().clone_into(&mut line.folder);
            line.seconds = began.elapsed().as_secs();
        }
        Ok(line)
    }
}

impl Line {
    fn new(planted: Planted, folder: PathBuf) -> Self {
        let Planted { name, what, killed_by, .. } = planted;
        Self { name, what, killed_by, noticed: false, why: String::new(), tries: 0, seconds: 0, folder }
    }
}

/// The load and the faults under which a planted bug can show.
fn attack_on(mutant: Mutant) -> (Workload, &'static [Kind]) {
    match mutant {
        Mutant::M01 => (Workload::Queue, &[Kind::PowerCutAll]),
        Mutant::M04 => (Workload::Queue, &[Kind::Pause]),
        Mutant::M05 => (Workload::Queue, &[Kind::Clock]),
        Mutant::M07 => (Workload::Queue, &[Kind::KillAll, Kind::Kill]),
        Mutant::M09 => (Workload::Register, &[Kind::Pause, Kind::Partition]),
        Mutant::M10 => (Workload::Stream, &[Kind::LyingFsync, Kind::Pause]),
        Mutant::M15 => (Workload::Group, &[Kind::Kill, Kind::Pause]),
        Mutant::M16 => (Workload::Queue, &[Kind::Kill, Kind::Transfer]),
        Mutant::M17 => (Workload::Queue, &[Kind::Eio]),
        Mutant::M19 => (Workload::Stream, &[Kind::KillAll, Kind::Kill]),
        Mutant::M31 => (Workload::AckAppend, &[Kind::Pause]),
        Mutant::M33 => (Workload::Operator, &[Kind::Partition, Kind::Kill]),
        Mutant::M32 | Mutant::M45 => (Workload::AckAppend, &[Kind::Partition, Kind::Kill]),
        Mutant::M35 | Mutant::M36 => (Workload::Fifo, &[Kind::Kill]),
        Mutant::M39 | Mutant::M40 => (Workload::Delay, &[Kind::Kill]),
        Mutant::M41 => (Workload::Priority, &[Kind::Kill]),
        Mutant::M43 => (Workload::Ttl, &[Kind::Kill]),
        Mutant::M51 => (Workload::Elastic, &[Kind::Splits, Kind::Pause]),
        Mutant::M50 | Mutant::M52 | Mutant::M53 | Mutant::M54 | Mutant::M55 => {
            (Workload::Elastic, &[Kind::Splits, Kind::Kill])
        }
        Mutant::M46 | Mutant::M47 => (Workload::Forward, &[Kind::Partition, Kind::Kill]),
        _ => (Workload::Mixed, &[Kind::Kill, Kind::Partition]),
    }
}

/// Whether an anomaly can be the work of the bug. A build with all assertions is slow: that its answers are, too, proves
/// nothing.
fn proves(found: &Anomaly) -> bool {
    !["slow-after-heal", "starvation"].contains(&found.name.as_str())
}

/// Every node has to say that it acts on the bug: one that does not carry it would live for ever.
fn is_armed(folder: &Folder, planted: Planted) -> Result<(), Box<dyn std::error::Error>> {
    let wanted = format!("PLANTED BUG {} IS ARMED", planted.name);
    for home in std::fs::read_dir(folder.site())? {
        let log = home?.path().join("log");
        if log.is_file() && !std::fs::read_to_string(&log)?.contains(&wanted) {
            return Err(
                format!("{} does not say `{wanted}`: name a build that carries it", log.display()).into()
            );
        }
    }
    Ok(())
}

/// `weir` with planted bugs, in a place of its own: no other run shall find it.
fn built_with_mutants() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let own = std::env::current_exe()?;
    let target = own.parent().and_then(Path::parent).ok_or("the harness lies in no target directory")?;
    let target = target.join("mutants");
    eprintln!("building weir with planted bugs");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build.args(["build", "--locked", "--profile", "sim", "--package", "weir", "--features", "mutants"]);
    build.arg("--manifest-path").arg(source().join("Cargo.toml")).arg("--target-dir").arg(&target);
    let status = build.status().map_err(|error| format!("cargo: {error}"))?;
    let built = target.join("sim/weir");
    if status.success() { Ok(built) } else { Err(format!("building it ended with {status}").into()) }
}

fn table(lines: &[Line]) -> Table {
    let mut table = Table::new();
    table.set_content_arrangement(ContentArrangement::Dynamic);
    table.set_header(["mutant", "what is wrong", "noticed", "runs", "seconds", "by"]);
    for line in lines {
        table.add_row([
            line.name.to_owned(),
            line.what.to_owned(),
            if line.noticed { "yes" } else { "NO" }.to_owned(),
            line.tries.to_string(),
            line.seconds.to_string(),
            line.why.clone(),
        ]);
    }
    table
}
