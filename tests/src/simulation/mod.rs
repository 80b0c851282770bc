//! Shipped broker nodes in a simulated world: virtual time, a network and disks that fail as a seed says. One seed,
//! one run: the same operations, the same faults, the same lines of the trace, bit for bit.
//!
//! ```text
//!  driver (this file) ── steps ──► World: hosts n1 … n7 (Cluster: Node, Store over MemoryDisk) and `clients` (Workload)
//!     ├ Faults      processes, power, links, lanes, disks, clocks: drawn, or by a Scenario
//!     ├ Leaders     who leads, after every step; election safety
//!     ├ Invariants  logs, votes, states of all nodes, every so many steps
//!     └ Trace       every answer, every leadership, with virtual time
//! ```
//!
//! What is real: consensus, broker, machines, the store's log writer and its bookkeeping. What is not: sockets, clocks,
//! `RocksDB`, gRPC (frames of `wire.rs` in its place) and the client library (`client.rs`).
//!
//! A run must have a process of its own (`src/bin/sim.rs`): threads-local random numbers of the libraries below leak
//! from one run to the next, and the binary replaces the system's clock and random numbers for the whole process.

mod client;
mod clock;
mod cluster;
mod disk;
mod door;
mod faults;
mod invariants;
mod network;
mod operator;
mod options;
mod outcome;
mod remote;
mod rules;
mod scenarios;
mod trace;
mod wire;
mod workload;
mod world;

use std::time::Duration;

use cluster::Cluster;
use faults::{Faults, Run};
use invariants::{Invariants, Leaders};
use network::{Cuts, SimulatedNetwork};
pub use options::Options;
pub use outcome::Outcome;
pub use rules::Rules;
pub use scenarios::{Scenario, scenarios};
pub use trace::Trace;
pub use workload::Flavour;
use workload::{Journal, Signals, Workload};
pub use world::elapsed;
use world::{Ended, World};

/// How long a cluster may take to form, and to drain after everything has healed.
const FORM_AND_DRAIN: Duration = Duration::from_mins(4);
/// How long replicas may take to be equal again once everything has healed and the load is over.
const CONVERGED_WITHIN: Duration = Duration::from_secs(30);
/// Between two looks at whether they are.
const STEPS_PER_CONVERGENCE: u64 = 50;
/// For how many steps invariants are looked at closely after a fault or a change of leader, and how closely.
const STEPS_WATCHED: u64 = 60;
const STEPS_PER_WATCHED_LOOK: u64 = 6;
/// Looks at logs and votes until machines and rows are looked at too.
const LOOKS_PER_THOROUGH_ONE: u64 = 10;

/// Runs a seed to its end, with faults that are drawn from it too.
pub fn run(options: &Options) -> Outcome {
    play(options, Faults::draw(options), None)
}

/// Runs a scenario with what a seed leaves open in it.
pub fn run_scenario(scenario: &Scenario, seed: u64) -> Outcome {
    let options = scenario.options(seed);
    play(&options, Faults::planned(&options, scenario.plan()), Some(scenario))
}

fn play(options: &Options, faults: Faults, scenario: Option<&Scenario>) -> Outcome {
    let trace = Trace::default();
    trace.note_at(Duration::ZERO, options);
    // The clients are the last host.
    let hosts: Vec<String> = (0..options.nodes).map(cluster::name).chain(["clients".to_owned()]).collect();
    let mut world = World::new(&hosts, options.seed, options.tick, options.latency_max);
    let cluster = Cluster::new(&mut world, options, &trace);
    let signals = Signals::default();
    let journal = Journal::new(trace.clone());
    let workload = Workload {
        options: options.clone(),
        signals: signals.clone(),
        journal: journal.clone(),
        trace: trace.clone(),
        network: SimulatedNetwork { net: world.net().clone(), host: options.nodes, cuts: Cuts::default() },
    };
    world.install(options.nodes, move || workload.clone().run());
    let mut driver = Driver {
        options,
        cluster: &cluster,
        signals,
        faults,
        leaders: Leaders::default(),
        invariants: Invariants::new(options),
        trace: &trace,
        steps: 0,
        raised: Vec::new(),
        watched_until: 0,
        began: None,
        counted: None,
        drained: None,
        violations: Vec::new(),
    };
    let ended = driver.drive(&mut world);
    driver.violations.extend(ended.err().map(|error| format!("the run did not end well: {error}")));
    driver.outcome(&world, &journal, scenario)
}

/// Steps the simulation, and does between the steps what no host can do.
struct Driver<'a> {
    options: &'a Options,
    cluster: &'a Cluster,
    signals: Signals,
    faults: Faults,
    leaders: Leaders,
    invariants: Invariants,
    trace: &'a Trace,
    steps: u64,
    /// Nodes that came into a later term since the last step.
    raised: Vec<usize>,
    /// Until this step invariants are looked at closely.
    watched_until: u64,
    /// When the load began.
    began: Option<Duration>,
    /// Most elections of a group while there were faults, and its longest time without a leader.
    counted: Option<(u64, Duration)>,
    /// When the clients had everything.
    drained: Option<Duration>,
    violations: Vec<String>,
}

impl Driver<'_> {
    fn drive(&mut self, world: &mut World) -> Ended {
        while !world.has_ended(self.options.nodes) {
            if world.elapsed() > self.options.load + FORM_AND_DRAIN {
                return Err("the clients did not come to an end".into());
            }
            world.step()?;
            self.steps += 1;
            self.look(world);
            if self.signals.drained.is_cancelled() {
                self.wait_for_convergence(world.elapsed());
            } else {
                self.between_steps(world);
            }
        }
        self.invariants.look_thoroughly(self.cluster, self.faults.forgetful());
        Ok(())
    }

    fn look(&mut self, world: &World) {
        if self.faults.waits_for_voter() || self.steps.is_multiple_of(self.options.steps_per_leader) {
            self.raised = self.leaders.look(world, self.cluster, self.trace);
            if !self.raised.is_empty() {
                self.watched_until = self.steps + STEPS_WATCHED;
            }
        }
        let watched = self.steps < self.watched_until && self.steps.is_multiple_of(STEPS_PER_WATCHED_LOOK);
        if self.steps.is_multiple_of(self.options.steps_per_look * LOOKS_PER_THOROUGH_ONE) {
            self.invariants.look_thoroughly(self.cluster, self.faults.forgetful());
        } else if watched || self.steps.is_multiple_of(self.options.steps_per_look) {
            self.invariants.look(self.cluster, self.faults.forgetful());
        }
    }

    fn between_steps(&mut self, world: &mut World) {
        if !self.signals.loading.is_cancelled() || self.signals.healed.is_cancelled() {
            return;
        }
        for node in self.cluster.take_stopped() {
            self.leaders.forget(node);
        }
        let now = world.elapsed();
        let since = now.saturating_sub(self.began.unwrap_or(now));
        if self.faults.is_due(since, &self.raised) {
            // What a fault takes away is seen once more, and what it leads to is seen closely.
            self.invariants.look(self.cluster, self.faults.forgetful());
            self.watched_until = self.steps + STEPS_WATCHED;
        }
        let raised = std::mem::take(&mut self.raised);
        let mut run = Run {
            world,
            cluster: self.cluster,
            trace: self.trace,
            taken_down: Vec::new(),
            broken: Vec::new(),
        };
        if self.began.is_none() {
            self.faults.load_begins(&mut run);
            self.leaders.count_from(now);
        }
        let since = now.saturating_sub(*self.began.get_or_insert(now));
        if since + self.options.tail_off >= self.options.load {
            self.signals.quiet.cancel();
        }
        if since < self.options.load {
            self.faults.step(since, &raised, &mut run);
        } else {
            self.counted = Some(self.leaders.counted(now));
            self.faults.heal(&mut run);
            self.trace.note_at(now, "everything has healed");
            self.signals.healed.cancel();
        }
        self.violations.append(&mut run.broken);
        for node in run.taken_down {
            self.leaders.forget(node);
            self.invariants.went_down(node);
        }
    }

    /// The clients have everything: all that is left is that replicas catch up.
    fn wait_for_convergence(&mut self, now: Duration) {
        let since = now.saturating_sub(*self.drained.get_or_insert(now));
        if self.signals.converged.is_cancelled() || !self.steps.is_multiple_of(STEPS_PER_CONVERGENCE) {
            return;
        }
        match self.invariants.converged(self.cluster) {
            Ok(()) => self.trace.note_at(now, format_args!("all replicas are equal after {since:?}")),
            Err(_) if since < CONVERGED_WITHIN => return,
            Err(missing) => self
                .violations
                .push(format!("L6 replicas are not equal {since:?} after the load ended: {missing}")),
        }
        self.signals.converged.cancel();
    }
}
