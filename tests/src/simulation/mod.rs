//! Three shipped broker nodes in a simulated world: virtual time, a network and disks that fail as a seed says. One seed,
//! one run: the same operations, the same faults, the same lines of the trace, bit for bit.
//!
//! ```text
//!  driver (this file) ── steps ──► turmoil: hosts n1 n2 n3 (Cluster: Node, Store over MemoryDisk) and `clients` (Workload)
//!     ├ Faults    crash, power cut, blackout, isolation, one-way loss, delay
//!     ├ Leaders   who leads, after every step; election safety
//!     └ Trace     every answer, every leadership, with virtual time
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
mod leaders;
mod network;
mod options;
mod remote;
mod trace;
mod wire;
mod workload;

use std::time::Duration;

use cluster::Cluster;
use faults::{CLIENTS, Faults, Run};
use leaders::Leaders;
pub use options::Options;
pub use trace::Trace;
use workload::{Journal, Signals, Workload};

use crate::check;
use crate::history::{History, Op};

/// One step of the simulation: the grain of its timers.
const TICK: Duration = Duration::from_millis(1);
/// How long a cluster may take to form, and to drain after everything has healed.
const FORM_AND_DRAIN: Duration = Duration::from_mins(3);
/// Segments that a simulated socket takes in before its sender waits.
const TCP_CAPACITY: usize = 65_536;

/// What came of a run.
pub struct Outcome {
    /// Everything that happened.
    pub trace: Trace,
    /// Every broken promise, in words; none when all is well.
    pub violations: Vec<String>,
    /// How much virtual time passed.
    pub elapsed: Duration,
    /// A few figures.
    pub summary: String,
}

/// Runs one seed to its end.
pub fn run(options: &Options) -> Outcome {
    let trace = Trace::default();
    trace.note_at(Duration::ZERO, options);
    let mut sim = turmoil::Builder::new()
        .rng_seed(options.seed)
        .enable_random_order()
        .tick_duration(TICK)
        .simulation_duration(options.load + FORM_AND_DRAIN)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(options.latency_max)
        .tcp_capacity(TCP_CAPACITY)
        .build();
    let cluster = Cluster::new(&mut sim, options);
    let signals = Signals::default();
    let journal = Journal::new(trace.clone());
    let workload = Workload {
        options: options.clone(),
        signals: signals.clone(),
        journal: journal.clone(),
        trace: trace.clone(),
    };
    sim.client(CLIENTS, workload.run());
    let mut driver = Driver {
        options,
        cluster: &cluster,
        signals,
        faults: Faults::draw(options),
        leaders: Leaders::default(),
        trace: &trace,
        began: None,
    };
    let ended = driver.drive(&mut sim);
    let mut violations = violations(&journal.history);
    violations.extend(driver.leaders.violations().iter().cloned());
    violations.extend(journal.violations());
    violations.extend(ended.err().map(|error| format!("the run did not end well: {error}")));
    for violation in &violations {
        trace.note_at(sim.elapsed(), format_args!("VIOLATION {violation}"));
    }
    Outcome { violations, elapsed: sim.elapsed(), summary: summary(&journal.history), trace }
}

/// Steps the simulation, and does between the steps what no host can do.
struct Driver<'a> {
    options: &'a Options,
    cluster: &'a Cluster,
    signals: Signals,
    faults: Faults,
    leaders: Leaders,
    trace: &'a Trace,
    /// When the load began.
    began: Option<Duration>,
}

impl Driver<'_> {
    fn drive(&mut self, sim: &mut turmoil::Sim<'_>) -> turmoil::Result {
        while !sim.step()? {
            self.leaders.look(sim.elapsed(), self.cluster, self.trace);
            self.between_steps(sim);
        }
        Ok(())
    }

    fn between_steps(&mut self, sim: &mut turmoil::Sim<'_>) {
        if !self.signals.loading.is_cancelled() || self.signals.healed.is_cancelled() {
            return;
        }
        let began = *self.began.get_or_insert_with(|| sim.elapsed());
        let since = sim.elapsed().saturating_sub(began);
        let mut run = Run { sim, cluster: self.cluster, leaders: &mut self.leaders, trace: self.trace };
        if since < self.options.load {
            self.faults.step(since, &mut run);
        } else {
            self.faults.heal(&mut run);
            self.trace.note_at(sim.elapsed(), "everything has healed");
            self.signals.healed.cancel();
        }
    }
}

/// What the history breaks of the contract.
fn violations(history: &History) -> Vec<String> {
    let mut checks = check::all();
    history.each(|span, op| checks.iter_mut().for_each(|check| check.observe(span, op)));
    let broken = checks.iter().flat_map(|check| {
        check.violations().into_iter().map(|violation| format!("{}: {violation}", check.property()))
    });
    broken.collect()
}

fn summary(history: &History) -> String {
    let sent = history.count(|op| matches!(op, Op::Sent { at: Some(_), .. }));
    let delivered = history.count(|op| matches!(op, Op::Delivered { .. }));
    let acked = history.count(|op| matches!(op, Op::Settled { ack: true, .. }));
    let read = history.count(|op| matches!(op, Op::Read { .. }));
    format!("{sent} acknowledged, {delivered} deliveries, {acked} acks, {read} reads")
}
