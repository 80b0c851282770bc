//! Runs one seed of the simulation.
//!
//! ```text
//! sim --seed N [--scenario NAME | --load-s SECONDS] [--trace] [--log FILTER]
//! sim --scenarios
//! ```
//!
//! Prints the options that the seed stands for, with `--trace` everything that happened, a fingerprint of it, and a
//! verdict; exit code 0 when every promise held, 1 when one was broken, 2 for wrong arguments. `--log` prints the nodes'
//! own log lines to standard error.
//!
//! The process gives every library below the seed's random numbers in place of the system's, and virtual time in place
//! of its clocks: that is why a run is a process, and why this crate is linked into nothing else.

#![expect(clippy::print_stdout, reason = "a command line tool")]

use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Duration;

use mad_turmoil::time::SimClocksGuard;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use weir_tests::simulation::{self, Options, Outcome, Scenario};

/// Panics of any task: the runtime only ends the task.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Arguments {
    seed: u64,
    scenario: Option<&'static Scenario>,
    /// How long there are load and faults, in place of what the seed says.
    load: Option<Duration>,
    trace: bool,
    log: Option<String>,
}

impl Arguments {
    fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let (mut seed, mut scenario, mut load, mut trace, mut log) = (None, None, None, false, None);
        while let Some(flag) = given.next() {
            match flag.as_str() {
                "--seed" => {
                    let value = given.next().ok_or("--seed needs a number")?;
                    seed = Some(value.parse().map_err(|_| format!("seed `{value}` is not a number"))?);
                }
                "--scenario" => {
                    let name =
                        given.next().ok_or("--scenario needs a name, of those that --scenarios lists")?;
                    let found = simulation::scenarios().iter().find(|scenario| scenario.name == name);
                    scenario = Some(found.ok_or_else(|| format!("no scenario is called `{name}`"))?);
                }
                "--load-s" => {
                    let value = given.next().ok_or("--load-s needs a number")?;
                    let seconds = value.parse().map_err(|_| format!("`{value}` is no number of seconds"))?;
                    load = Some(Duration::from_secs(seconds));
                }
                "--trace" => trace = true,
                "--log" => log = Some(given.next().ok_or("--log needs a filter, such as `weir=debug`")?),
                other => return Err(format!("unknown argument `{other}`")),
            }
        }
        Ok(Self { seed: seed.ok_or("--seed is missing")?, scenario, load, trace, log })
    }
}

/// Log lines have the time of the trace.
struct VirtualTime;

impl FormatTime for VirtualTime {
    fn format_time(&self, line: &mut Writer<'_>) -> std::fmt::Result {
        write!(line, "{:>11.6}", simulation::elapsed().as_secs_f64())
    }
}

/// Prints what is to come, and runs it.
fn simulate(arguments: &Arguments) -> Outcome {
    if let Some(scenario) = arguments.scenario {
        println!("{}: {}", scenario.name, scenario.sentence);
        println!("{}", scenario.options(arguments.seed));
        return simulation::run_scenario(scenario, arguments.seed);
    }
    let options = Options::draw(arguments.seed).shortened_to(arguments.load);
    println!("{options}");
    simulation::run(&options)
}

/// On a thread of its own: the hash maps of a filter draw their keys, and a run with a log is to be the run without one.
fn log_to_stderr(filter: String) {
    let install = move || {
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
        log.with_timer(VirtualTime).init();
    };
    std::thread::spawn(install).join().expect("the log takes the filter");
}

fn main() -> ExitCode {
    if std::env::args().nth(1).is_some_and(|first| first == "--scenarios") {
        let list = |scenario: &Scenario| println!("{}\t{}", scenario.name, scenario.sentence);
        simulation::scenarios().iter().for_each(list);
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(error) => {
            eprintln!(
                "sim: {error}; usage: sim --seed N [--scenario NAME | --load-s SECONDS] [--trace] [--log FILTER], or sim --scenarios"
            );
            return ExitCode::from(2);
        }
    };
    #[cfg(feature = "mutants")]
    match weir_types::mutants::arm_named() {
        Ok(None) => eprintln!("sim: this build carries planted bugs; none of them is armed"),
        Ok(Some(planted)) => eprintln!("sim: PLANTED BUG {} IS ARMED: {}", planted.name, planted.what),
        Err(refused) => {
            eprintln!("sim: {refused}");
            return ExitCode::from(2);
        }
    }
    if let Some(filter) = arguments.log.clone() {
        log_to_stderr(filter);
    }
    // Before anything draws its first number.
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(arguments.seed));
    let clocks = SimClocksGuard::init();
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        if let Ok(mut panics) = PANICS.lock() {
            panics.push(format!("panic: {panic}"));
        }
    }));
    let mut outcome = simulate(&arguments);
    drop(clocks);
    if let Ok(panics) = PANICS.lock() {
        outcome.violations.extend(panics.iter().cloned());
    }
    if arguments.trace {
        outcome.trace.lines().iter().for_each(|line| println!("{line}"));
    }
    println!("{} in {:.3} s of virtual time", outcome.summary, outcome.elapsed.as_secs_f64());
    let faults: Vec<String> = outcome.faults.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("faults: {} .", faults.join(" "));
    println!("trace: {} lines, hash {:016x}", outcome.trace.lines().len(), outcome.trace.hash());
    outcome.violations.iter().for_each(|violation| println!("violation: {violation}"));
    if outcome.violations.is_empty() {
        println!("seed {}: ok", arguments.seed);
        return ExitCode::SUCCESS;
    }
    let scenario =
        arguments.scenario.map_or(String::new(), |scenario| format!(" --scenario {}", scenario.name));
    println!("seed {}: FAILED; replay with scripts/sim --seed {0}{scenario}", arguments.seed);
    ExitCode::FAILURE
}
