//! One run.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::str::FromStr;

use clap::Args;

use super::{Outcome, Screen, code, source};
use crate::env::{Disk, Net};
use crate::nemesis::Kind;
use crate::run::{self, Folder, Options, Voice};
use crate::workload::Workload;

/// Where runs are kept unless another place is named.
pub(super) const RESULTS: &str = "jepsen-results";

/// A list of kinds of faults: names with commas, or `none`.
#[derive(Clone, Debug, Default)]
pub(super) struct Kinds(pub(super) Vec<Kind>);

impl FromStr for Kinds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self::default());
        }
        let kinds: Result<Vec<Kind>, _> = text.split(',').map(str::parse).collect();
        let names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        kinds.map(Self).map_err(|error| format!("{error}; known are none, {}", names.join(", ")))
    }
}

/// Where nodes run, and which.
#[derive(Clone, Debug, Args)]
pub(super) struct Ground {
    /// The network: `tun` (namespaces and a link emulator; needs root) or `plain` (loopback)
    #[arg(long, default_value = "tun")]
    net: Net,
    /// The disks: `loop` (a file system per node in a file; needs root) or `plain` (directories)
    #[arg(long, default_value = "loop")]
    disk: Disk,
    /// The `weir` to run; unless it is named, the release build beside the harness, which is built if missing
    #[arg(long, value_name = "PATH")]
    pub(super) binary: Option<PathBuf>,
    /// Another build, for rolling restarts between the two
    #[arg(long, value_name = "PATH")]
    other_binary: Option<PathBuf>,
    /// Log level of the nodes
    #[arg(long, default_value = "info", value_name = "LEVEL")]
    log_level: String,
    /// Keep the nodes' disks when the run is over
    #[arg(long)]
    keep: bool,
}

/// How much is asked for.
#[derive(Clone, Debug, Args)]
pub(super) struct Amount {
    /// Nodes of the cluster
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=7))]
    nodes: u32,
    /// Writes per second, of all producers together
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Clients at once
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(2..=500))]
    concurrency: u32,
    /// Partitions of each topic
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    partitions: u32,
    /// How long leases run, in milliseconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    lease_ms: u64,
    /// How long a call is waited for, in milliseconds
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    deadline_ms: u64,
}

/// One run.
#[derive(Clone, Debug, Args)]
pub(super) struct Run {
    /// What clients do
    #[arg(long, value_enum, default_value_t = Workload::Queue)]
    workload: Workload,
    /// Kinds of faults with commas between them, or `none`
    #[arg(long, default_value = "kill", value_name = "KINDS")]
    nemesis: Kinds,
    /// Warm-up and faults together, in seconds
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(5..=86_400))]
    time_limit: u64,
    /// Of everything that is drawn; from the clock unless it is named
    #[arg(long)]
    seed: Option<u64>,
    /// The folder of the run; a new one below `jepsen-results` unless it is named
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    amount: Amount,
    #[command(flatten)]
    ground: Ground,
}

impl Run {
    pub(super) fn perform(self, screen: Screen) -> Outcome {
        let seed = self.seed.unwrap_or_else(fresh_seed);
        let plan =
            Plan { workload: self.workload, nemesis: self.nemesis.0, time_limit_s: self.time_limit, seed };
        let options = options(plan, &self.amount, &self.ground)?;
        let folder =
            self.out.unwrap_or_else(|| Path::new(RESULTS).join(Folder::name(self.workload.name(), seed)));
        perform(&folder, &options, screen)
    }
}

/// What a single configuration decides.
pub(super) struct Plan {
    pub(super) workload: Workload,
    pub(super) nemesis: Vec<Kind>,
    pub(super) time_limit_s: u64,
    pub(super) seed: u64,
}

/// Everything that decides a run.
pub(super) fn options(
    plan: Plan,
    amount: &Amount,
    ground: &Ground,
) -> Result<Options, Box<dyn std::error::Error>> {
    let binary = binary_or_built(ground.binary.as_deref())?;
    Ok(Options {
        workload: plan.workload,
        nemesis: plan.nemesis,
        time_limit_s: plan.time_limit_s,
        seed: plan.seed,
        nodes: amount.nodes,
        rate: amount.rate,
        concurrency: amount.concurrency,
        partitions: amount.partitions,
        lease_ms: amount.lease_ms,
        deadline_ms: amount.deadline_ms,
        net: ground.net,
        disk: ground.disk,
        binary,
        other_binary: ground.other_binary.clone(),
        mutant: None,
        log_level: ground.log_level.clone(),
        keep: ground.keep,
    })
}

fn perform(folder: &Path, options: &Options, screen: Screen) -> Result<ExitCode, Box<dyn std::error::Error>> {
    let schedule = run::draw(options);
    let (folder, report) = run::run(folder, options, &schedule, Voice::Aloud)?;
    screen.report(&report, folder.path())?;
    Ok(code(report.verdict))
}

/// A seed that nobody chose.
pub(super) fn fresh_seed() -> u64 {
    jiff::Timestamp::now().as_microsecond().unsigned_abs() % 1_000_000
}

/// The `weir` that was named, or the one beside this program.
pub(super) fn binary_or_built(named: Option<&Path>) -> Result<PathBuf, Box<dyn std::error::Error>> {
    named.map_or_else(built_beside, |path| {
        path.canonicalize().map_err(|error| format!("{}: {error}", path.display()).into())
    })
}

/// `weir` beside this program, which cargo builds if it is missing.
fn built_beside() -> Result<PathBuf, Box<dyn std::error::Error>> {
    let own = std::env::current_exe()?;
    let beside = own.with_file_name("weir");
    if beside.is_file() {
        return Ok(beside);
    }
    eprintln!("building weir, which is not beside this program yet");
    let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .args(["build", "--package", "weir", "--bin", "weir", "--manifest-path"])
        .arg(source().join("Cargo.toml"));
    if own.parent().is_some_and(|folder| folder.ends_with("release")) {
        build.arg("--release");
    }
    let status = build.status().map_err(|error| format!("cargo: {error}"))?;
    if status.success() && beside.is_file() {
        Ok(beside)
    } else {
        Err(format!(
            "there is no `{}`, and building it ended with {status}; name one by --binary",
            beside.display()
        )
        .into())
    }
}
