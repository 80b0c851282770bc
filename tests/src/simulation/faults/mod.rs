//! What goes wrong, and when: drawn before the run, carried out between its steps, all of it mended at its end.

mod kind;

use std::time::Duration;

use turmoil::Sim;

pub(super) use kind::{Fault, Kind};

use super::cluster::{Cluster, Down, name};
use super::network::Lane;
use super::options::Options;
use super::trace::Trace;
use crate::Dice;

/// The host of the clients.
pub(super) const CLIENTS: &str = "clients";
/// One fault in so many lasts much longer than the others.
const LONG_ONE_IN: u64 = 6;
/// One fault in so many happens to whoever leads.
const LEADER_ONE_IN: u64 = 2;

/// To whom a fault happens; decided when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// This node.
    Node(usize),
    /// The leader of one of the partitions, or of the metadata group for 0.
    LeaderOf(usize),
    /// The node beside that leader.
    BesideLeaderOf(usize),
}

/// A fault, where, when and for how long; times count from the beginning of the load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Planned {
    /// What.
    pub(super) fault: Fault,
    /// To whom.
    pub(super) aim: Aim,
    /// From when.
    pub(super) from: Duration,
    /// Until when.
    pub(super) to: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Waits,
    /// It happens to this node.
    Runs(usize),
    Over,
}

/// Carries out the plan of one run.
pub(super) struct Faults {
    plan: Vec<(Planned, State)>,
    latency_max: Duration,
    link_breaks: f64,
    /// A node that forgot what it had acknowledged.
    forgetful: Option<usize>,
    happened: Vec<Fault>,
}

impl Faults {
    /// Draws a plan. Faults of different nodes may overlap.
    pub(super) fn draw(options: &Options) -> Self {
        let mut dice = Dice::new(options.seed.rotate_left(32) ^ 0xfa17);
        let load_ms = options.load.as_millis() as u64;
        let plan = (0..options.faults).map(|_| Planned::draw(&mut dice, options, load_ms)).collect();
        Self::planned(options, plan)
    }

    /// Follows a script.
    pub(super) fn planned(options: &Options, plan: Vec<Planned>) -> Self {
        Self {
            plan: plan.into_iter().map(|planned| (planned, State::Waits)).collect(),
            latency_max: options.latency_max,
            link_breaks: f64::from(options.link_breaks_ppm) / 1e6,
            forgetful: None,
            happened: Vec::new(),
        }
    }

    /// The node that forgot what it had acknowledged, if one did.
    pub(super) fn forgetful(&self) -> Option<usize> {
        self.forgetful
    }

    /// What happened so far.
    pub(super) fn happened(&self) -> &[Fault] {
        &self.happened
    }

    /// The load begins.
    pub(super) fn load_begins(&self, run: &mut Run<'_, '_>) {
        run.sim.set_fail_rate(self.link_breaks);
    }

    /// Begins and ends what is due; `since` is the time since the load began.
    pub(super) fn step(&mut self, since: Duration, run: &mut Run<'_, '_>) {
        for number in 0..self.plan.len() {
            let (planned, state) = self.plan[number];
            match state {
                State::Waits if planned.from <= since => self.try_begin(number, run),
                State::Runs(node) if planned.to <= since => self.mend(number, node, run),
                _ => {}
            }
        }
    }

    /// Mends everything, and lets nothing begin any more.
    pub(super) fn heal(&mut self, run: &mut Run<'_, '_>) {
        for number in 0..self.plan.len() {
            if let State::Runs(node) = self.plan[number].1 {
                self.mend(number, node, run);
            }
            self.plan[number].1 = State::Over;
        }
        run.sim.set_fail_rate(0.0);
        let nodes = run.cluster.size();
        for node in 0..nodes {
            // Links that broke at random.
            (node + 1..nodes).for_each(|other| run.sim.repair(name(node), name(other)));
            run.sim.repair(name(node), CLIENTS);
        }
    }

    fn try_begin(&mut self, number: usize, run: &mut Run<'_, '_>) {
        let fault = self.plan[number].0.fault;
        let node = run.resolve(self.plan[number].0.aim);
        let running = self.plan.iter().filter_map(|(planned, state)| match state {
            State::Runs(node) => Some((planned.fault, *node)),
            _ => None,
        });
        let forgets_elsewhere = fault.forgets() && self.forgetful.is_some();
        if forgets_elsewhere || running.into_iter().any(|other| disturbs((fault, node), other)) {
            self.plan[number].1 = State::Over;
            return;
        }
        if fault.forgets() {
            self.forgetful = Some(node);
        }
        run.note(format_args!("FAULT {}", fault.describe(node, run.cluster.size())));
        self.plan[number].1 = State::Runs(node);
        self.happened.push(fault);
        self.begin(fault, node, run);
    }

    fn mend(&mut self, number: usize, node: usize, run: &mut Run<'_, '_>) {
        let fault = self.plan[number].0.fault;
        self.plan[number].1 = State::Over;
        run.note(format_args!("mended {}", fault.describe(node, run.cluster.size())));
        self.end(fault, node, run);
    }

    fn begin(&self, fault: Fault, node: usize, run: &mut Run<'_, '_>) {
        let nodes = run.cluster.size();
        let other = |away: usize| name((node + away) % nodes);
        match fault {
            Fault::Kill => run.take_down(node, Down::Kill),
            Fault::PowerCut => {
                // Nobody hears of it: the network goes first.
                run.everybody_else(node).for_each(|other| run.sim.partition(name(node), other));
                run.take_down(node, Down::PowerCut);
            }
            Fault::Rot { batches } => run.take_down(node, Down::Rot(batches)),
            Fault::Wipe => run.take_down(node, Down::Wipe),
            Fault::Blackout => (0..nodes).for_each(|node| run.take_down(node, Down::PowerCut)),
            Fault::Isolate => {
                run.everybody_else(node).for_each(|other| run.sim.partition(name(node), other));
            }
            Fault::Split => run.others(node).for_each(|other| run.sim.partition(name(node), other)),
            Fault::OneWay { away } => run.sim.partition_oneway(name(node), other(away)),
            Fault::Link { away } => run.sim.partition(name(node), other(away)),
            Fault::Delay { ms } => self.delay(node, Duration::from_millis(ms), run),
            Fault::Hold => run.everybody_else(node).for_each(|other| run.sim.hold(name(node), other)),
            Fault::Lane { lane, away } => run.each_lane(node, away, |a, b| run.cluster.cuts.cut(a, b, lane)),
            Fault::AllLanes { lane } => run.all_lanes(lane, true),
            Fault::ClockJump { ms } => run.cluster.clock(node).jump(ms),
            Fault::DiskFails => run.cluster.fail_disk(node),
            Fault::SlowDisk { ms } => run.cluster.pace(node).slow_down(ms),
            Fault::Lie => run.cluster.disk(node).set_lying(true),
        }
    }

    fn end(&self, fault: Fault, node: usize, run: &mut Run<'_, '_>) {
        let nodes = run.cluster.size();
        let other = |away: usize| name((node + away) % nodes);
        match fault {
            Fault::Kill | Fault::Rot { .. } | Fault::Wipe => run.start(node),
            Fault::PowerCut => {
                run.everybody_else(node).for_each(|other| run.sim.repair(name(node), other));
                run.start(node);
            }
            Fault::Blackout => (0..nodes).for_each(|node| run.start(node)),
            Fault::Isolate => run.everybody_else(node).for_each(|other| run.sim.repair(name(node), other)),
            Fault::Split => run.others(node).for_each(|other| run.sim.repair(name(node), other)),
            Fault::OneWay { away } => run.sim.repair_oneway(name(node), other(away)),
            Fault::Link { away } => run.sim.repair(name(node), other(away)),
            Fault::Delay { .. } => self.delay(node, self.latency_max, run),
            Fault::Hold => run.everybody_else(node).for_each(|other| run.sim.release(name(node), other)),
            Fault::Lane { lane, away } => run.each_lane(node, away, |a, b| run.cluster.cuts.mend(a, b, lane)),
            Fault::AllLanes { lane } => run.all_lanes(lane, false),
            Fault::ClockJump { ms } => run.cluster.clock(node).jump(-ms),
            Fault::DiskFails => {
                run.take_down(node, Down::PowerCut);
                run.start(node);
            }
            Fault::SlowDisk { .. } => run.cluster.pace(node).slow_down(0),
            Fault::Lie => {
                run.take_down(node, Down::PowerCut);
                run.cluster.disk(node).set_lying(false);
                run.start(node);
            }
        }
    }

    fn delay(&self, node: usize, most: Duration, run: &Run<'_, '_>) {
        for other in run.everybody_else(node) {
            run.sim.set_link_max_message_latency(name(node), other, most.max(self.latency_max));
        }
    }
}

/// Whether the mending of one would undo the other, or both together be more than a cluster can bear.
fn disturbs((fault, node): (Fault, usize), (other, other_node): (Fault, usize)) -> bool {
    node == other_node
        || fault.touches_links() && other.touches_links()
        || fault.touches_lanes() && other.touches_lanes()
        || fault.is_everywhere()
        || other.is_everywhere()
}

impl Planned {
    fn draw(dice: &mut Dice, options: &Options, load_ms: u64) -> Self {
        let aim = match dice.below(LEADER_ONE_IN) {
            0 => Aim::LeaderOf(dice.below(16) as usize),
            _ => Aim::Node(dice.below(options.nodes as u64) as usize),
        };
        let fault = dice.pick(&options.kinds).draw(dice, options.nodes);
        let from = dice.below(load_ms * 9 / 10);
        let long = dice.below(LONG_ONE_IN) == 0;
        let lasts = if long { 4_000 + dice.below(12_000) } else { 50 + dice.below(3_000) };
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(from + lasts));
        Self { fault, aim, from, to }
    }
}

/// What a fault may touch.
pub(super) struct Run<'a, 'sim> {
    pub(super) sim: &'a mut Sim<'sim>,
    pub(super) cluster: &'a Cluster,
    pub(super) trace: &'a Trace,
    /// Nodes that went down in this step.
    pub(super) taken_down: Vec<usize>,
}

impl Run<'_, '_> {
    fn note(&self, line: impl std::fmt::Display) {
        self.trace.note_at(self.sim.elapsed(), line);
    }

    fn take_down(&mut self, node: usize, down: Down) {
        let lost = self.cluster.take_down(self.sim, node, down);
        self.taken_down.push(node);
        self.note(format_args!("{} is down, {lost} batches are lost", name(node)));
    }

    fn start(&mut self, node: usize) {
        Cluster::start(self.sim, node);
    }

    fn resolve(&self, aim: Aim) -> usize {
        let nodes = self.cluster.size();
        match aim {
            Aim::Node(node) => node % nodes,
            Aim::LeaderOf(number) => self.leader_of(number),
            Aim::BesideLeaderOf(number) => (self.leader_of(number) + 1) % nodes,
        }
    }

    /// Of all groups that are led, the leader of one; any node while nobody leads.
    fn leader_of(&self, number: usize) -> usize {
        let mut led = Vec::new();
        for node in 0..self.cluster.size() {
            let Some(broker) = self.cluster.broker(node) else { continue };
            let here = broker.leaderships().into_iter().filter(|(_, leadership)| leadership.here);
            led.extend(here.map(|(group, _)| (group, node)));
        }
        led.sort_unstable();
        match led.len() {
            0 => number % self.cluster.size(),
            groups => led[number % groups].1,
        }
    }

    fn others(&self, node: usize) -> impl Iterator<Item = String> + use<> {
        (0..self.cluster.size()).filter(move |other| *other != node).map(name)
    }

    fn everybody_else(&self, node: usize) -> impl Iterator<Item = String> + use<> {
        self.others(node).chain([CLIENTS.to_owned()])
    }

    fn each_lane(&self, node: usize, away: Option<usize>, mut each: impl FnMut(usize, usize)) {
        let nodes = self.cluster.size();
        match away {
            Some(away) => each(node, (node + away) % nodes),
            None => (1..nodes).for_each(|away| each(node, (node + away) % nodes)),
        }
    }

    fn all_lanes(&self, lane: Lane, cut: bool) {
        let nodes = self.cluster.size();
        for a in 0..nodes {
            for b in a + 1..nodes {
                if cut {
                    self.cluster.cuts.cut(a, b, lane);
                } else {
                    self.cluster.cuts.mend(a, b, lane);
                }
            }
        }
    }
}
