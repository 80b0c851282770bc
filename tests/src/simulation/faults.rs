//! What goes wrong, and when: drawn before the run, carried out between its steps, all of it mended at its end.

use std::fmt;
use std::time::Duration;

use turmoil::Sim;

use super::cluster::{Cluster, NAMES, NODES};
use super::leaders::Leaders;
use super::options::Options;
use super::trace::Trace;
use crate::Dice;

/// The host of the clients.
pub(super) const CLIENTS: &str = "clients";
/// One fault in so many lasts much longer than the others.
const LONG_ONE_IN: u64 = 6;

/// A fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The process is killed, and its disk loses what was not synced; sockets are closed by the system.
    Crash,
    /// The same, but nobody hears of it: the network goes first.
    PowerCut,
    /// All nodes lose their power at once.
    Blackout,
    /// Neither nodes nor clients reach it.
    Isolate,
    /// Nodes do not reach it, clients do.
    Split,
    /// What it sends to one of the others is lost.
    OneWay { to: usize },
    /// Messages between it and everybody else take up to so many milliseconds.
    Delay { ms: u64 },
}

/// A fault, where, when and for how long.
#[derive(Clone, Copy, Debug)]
struct Planned {
    fault: Fault,
    node: usize,
    from: Duration,
    to: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    Runs,
    Over,
}

/// Carries out the plan of one run.
pub(super) struct Faults {
    plan: Vec<Planned>,
    latency_max: Duration,
}

impl Faults {
    /// Draws a plan. Faults of different nodes may overlap.
    pub(super) fn draw(options: &Options) -> Self {
        let mut dice = Dice::new(options.seed.rotate_left(32) ^ 0xfa17);
        let load_ms = options.load.as_millis() as u64;
        let plan = (0..options.faults).map(|_| Planned::draw(&mut dice, load_ms)).collect();
        Self { plan, latency_max: options.latency_max }
    }

    /// Begins and ends what is due; `since` is the time since the load began.
    pub(super) fn step(&mut self, since: Duration, run: &mut Run<'_, '_>) {
        for number in 0..self.plan.len() {
            let planned = self.plan[number];
            match planned.state {
                State::Waits if planned.from <= since => {
                    let running = self.plan.iter().filter(|other| other.state == State::Runs);
                    let busy = running.into_iter().any(|other| planned.disturbs(*other));
                    self.plan[number].state = if busy { State::Over } else { State::Runs };
                    if !busy {
                        run.note(format_args!("FAULT {planned}"));
                        self.begin(planned, run);
                    }
                }
                State::Runs if planned.to <= since => self.mend(number, run),
                _ => {}
            }
        }
    }

    /// Mends everything, and lets nothing begin any more.
    pub(super) fn heal(&mut self, run: &mut Run<'_, '_>) {
        for number in 0..self.plan.len() {
            if self.plan[number].state == State::Runs {
                self.mend(number, run);
            }
            self.plan[number].state = State::Over;
        }
    }

    fn mend(&mut self, number: usize, run: &mut Run<'_, '_>) {
        let planned = self.plan[number];
        self.plan[number].state = State::Over;
        run.note(format_args!("mended {planned}"));
        self.end(planned, run);
    }

    fn begin(&self, Planned { fault, node, .. }: Planned, run: &mut Run<'_, '_>) {
        match fault {
            Fault::Crash => run.crash(node),
            Fault::PowerCut => {
                everybody_else(node).for_each(|other| run.sim.partition(NAMES[node], other));
                run.crash(node);
            }
            Fault::Blackout => (0..NODES).for_each(|node| run.crash(node)),
            Fault::Isolate => everybody_else(node).for_each(|other| run.sim.partition(NAMES[node], other)),
            Fault::Split => others(node).for_each(|other| run.sim.partition(NAMES[node], other)),
            Fault::OneWay { to } => run.sim.partition_oneway(NAMES[node], NAMES[to]),
            Fault::Delay { ms } => self.delay(node, Duration::from_millis(ms), run),
        }
    }

    fn end(&self, Planned { fault, node, .. }: Planned, run: &mut Run<'_, '_>) {
        match fault {
            Fault::Crash => run.restart(node),
            Fault::PowerCut => {
                everybody_else(node).for_each(|other| run.sim.repair(NAMES[node], other));
                run.restart(node);
            }
            Fault::Blackout => (0..NODES).for_each(|node| run.restart(node)),
            Fault::Isolate => everybody_else(node).for_each(|other| run.sim.repair(NAMES[node], other)),
            Fault::Split => others(node).for_each(|other| run.sim.repair(NAMES[node], other)),
            Fault::OneWay { to } => run.sim.repair_oneway(NAMES[node], NAMES[to]),
            Fault::Delay { .. } => self.delay(node, self.latency_max, run),
        }
    }

    fn delay(&self, node: usize, most: Duration, run: &Run<'_, '_>) {
        for other in everybody_else(node) {
            run.sim.set_link_max_message_latency(NAMES[node], other, most.max(self.latency_max));
        }
    }
}

impl Planned {
    fn draw(dice: &mut Dice, load_ms: u64) -> Self {
        let node = dice.below(NODES as u64) as usize;
        let fault = match dice.below(9) {
            0 | 1 => Fault::Crash,
            2 => Fault::PowerCut,
            3 | 4 => Fault::Isolate,
            5 => Fault::Split,
            6 => Fault::OneWay { to: (node + 1 + dice.below(2) as usize) % NODES },
            7 => Fault::Blackout,
            _ => Fault::Delay { ms: 20 + dice.below(400) },
        };
        let from = dice.below(load_ms * 9 / 10);
        let long = dice.below(LONG_ONE_IN) == 0;
        let lasts = if long { 4_000 + dice.below(6_000) } else { 50 + dice.below(3_000) };
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(from + lasts));
        Self { fault, node, from, to, state: State::Waits }
    }

    /// Whether the mending of one would undo the other.
    fn disturbs(self, other: Self) -> bool {
        let everywhere = |planned: Self| planned.fault == Fault::Blackout;
        self.node == other.node || self.cuts() && other.cuts() || everywhere(self) || everywhere(other)
    }

    /// Whether it cuts links, which others may share.
    fn cuts(self) -> bool {
        matches!(self.fault, Fault::PowerCut | Fault::Isolate | Fault::Split | Fault::OneWay { .. })
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let node = NAMES[self.node];
        match self.fault {
            Fault::Crash => write!(f, "crash of {node}"),
            Fault::Blackout => write!(f, "blackout"),
            Fault::PowerCut => write!(f, "power cut of {node}"),
            Fault::Isolate => write!(f, "{node} isolated"),
            Fault::Split => write!(f, "{node} split from the other nodes"),
            Fault::OneWay { to } => write!(f, "{node} does not reach {}", NAMES[to]),
            Fault::Delay { ms } => write!(f, "up to {ms} ms to and from {node}"),
        }
    }
}

/// What a fault may touch.
pub(super) struct Run<'a, 'sim> {
    pub(super) sim: &'a mut Sim<'sim>,
    pub(super) cluster: &'a Cluster,
    pub(super) leaders: &'a mut Leaders,
    pub(super) trace: &'a Trace,
}

impl Run<'_, '_> {
    fn note(&self, line: impl fmt::Display) {
        self.trace.note_at(self.sim.elapsed(), line);
    }

    fn crash(&mut self, node: usize) {
        let lost = self.cluster.crash(self.sim, node);
        self.leaders.forget(node);
        self.note(format_args!("{} is down, {lost} unsynced batches are lost", NAMES[node]));
    }

    fn restart(&mut self, node: usize) {
        // Its host has what its disk kept.
        self.sim.bounce(NAMES[node]);
    }
}

fn others(node: usize) -> impl Iterator<Item = &'static str> {
    NAMES.into_iter().enumerate().filter(move |(other, _)| *other != node).map(|(_, name)| name)
}

fn everybody_else(node: usize) -> impl Iterator<Item = &'static str> {
    others(node).chain([CLIENTS])
}
