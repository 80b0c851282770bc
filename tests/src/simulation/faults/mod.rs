//! What goes wrong, and when: drawn before the run, carried out between its steps, all of it mended at its end.

mod kind;
mod run;

use std::time::Duration;

pub(super) use kind::{CLOCK_RATE_PPM_MAX, Fault, Kind};
pub(super) use run::Run;

use weir_storage::Backup;

use super::cluster::Down;
use super::options::Options;
use super::world::HostId;
use crate::Dice;

/// One fault in so many lasts much longer than the others.
const LONG_ONE_IN: u64 = 6;
/// One power cut in so many happens to whoever votes next.
const VOTER_ONE_IN: u64 = 3;
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
    /// The first one that votes, or hears of a new leader, from then on.
    Voter,
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
    link_breaks_ppm: u64,
    /// A node that forgot what it had acknowledged.
    forgetful: Option<usize>,
    happened: Vec<Fault>,
    /// The rates at which clocks run where no fault changes them.
    clock_rates_ppm: Vec<i64>,
    /// The database of the node whose data are to grow old.
    copied: Option<Backup>,
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
            link_breaks_ppm: u64::from(options.link_breaks_ppm),
            forgetful: None,
            happened: Vec::new(),
            clock_rates_ppm: options.clock_rates_ppm.clone(),
            copied: None,
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
    pub(super) fn load_begins(&self, run: &mut Run<'_>) {
        for (node, rate) in self.clock_rates_ppm.iter().enumerate() {
            run.world.set_clock_rate(node, *rate);
        }
        run.net().break_links(self.link_breaks_ppm);
    }

    /// Whether something is to begin or to end.
    pub(super) fn is_due(&self, since: Duration, raised: &[usize]) -> bool {
        self.plan.iter().any(|(planned, state)| match state {
            State::Waits => planned.from <= since && (planned.aim != Aim::Voter || !raised.is_empty()),
            State::Runs(_) => planned.to <= since,
            State::Over => false,
        })
    }

    /// Whether a fault waits for somebody to vote.
    pub(super) fn waits_for_voter(&self) -> bool {
        self.plan.iter().any(|(planned, state)| planned.aim == Aim::Voter && *state == State::Waits)
    }

    /// Begins and ends what is due; `since` is the time since the load began.
    /// `raised` are the nodes that have just come into a later term.
    pub(super) fn step(&mut self, since: Duration, raised: &[usize], run: &mut Run<'_>) {
        for number in 0..self.plan.len() {
            let (planned, state) = self.plan[number];
            match state {
                State::Waits if planned.from <= since => self.try_begin(number, raised, run),
                State::Runs(node) if planned.to <= since => self.mend(number, node, run),
                _ => {}
            }
        }
    }

    /// Mends everything, and lets nothing begin any more.
    pub(super) fn heal(&mut self, run: &mut Run<'_>) {
        for number in 0..self.plan.len() {
            if let State::Runs(node) = self.plan[number].1 {
                self.mend(number, node, run);
            }
            self.plan[number].1 = State::Over;
        }
        run.net().break_links(0);
        for node in 0..run.cluster.size() {
            // Links that broke at random.
            run.everybody_else(node).for_each(|other| both(node, other, |from, to| run.net().mend(from, to)));
        }
    }

    fn try_begin(&mut self, number: usize, raised: &[usize], run: &mut Run<'_>) {
        let fault = self.plan[number].0.fault;
        let Some(node) = run.resolve(self.plan[number].0.aim, raised) else { return };
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

    fn mend(&mut self, number: usize, node: usize, run: &mut Run<'_>) {
        let fault = self.plan[number].0.fault;
        self.plan[number].1 = State::Over;
        run.note(format_args!("mended {}", fault.describe(node, run.cluster.size())));
        self.end(fault, node, run);
    }

    fn begin(&mut self, fault: Fault, node: usize, run: &mut Run<'_>) {
        let nodes = run.cluster.size();
        let other = |away: usize| (node + away) % nodes;
        let cut = |run: &Run<'_>, other| both(node, other, |from, to| run.net().cut(from, to));
        match fault {
            Fault::Kill => run.take_down(node, Down::Kill),
            Fault::PowerCut => run.take_down(node, Down::PowerCut),
            Fault::Rot { batches } => run.take_down(node, Down::Rot(batches)),
            Fault::Wipe => run.take_down(node, Down::Wipe),
            Fault::Blackout => (0..nodes).for_each(|node| run.take_down(node, Down::PowerCut)),
            Fault::Isolate => run.everybody_else(node).for_each(|other| cut(run, other)),
            Fault::Split => run.others(node).for_each(|other| cut(run, other)),
            Fault::OneWay { away } => run.net().cut(node, other(away)),
            Fault::Link { away } => cut(run, other(away)),
            Fault::Delay { ms } => delay(node, Duration::from_millis(ms), run),
            Fault::Hold => hold(node, true, run),
            Fault::Freeze => run.world.freeze(node, true),
            Fault::Lane { lane, away } => run.each_lane(node, away, |a, b| run.cluster.cuts.cut(a, b, lane)),
            Fault::AllLanes { lane } => run.all_lanes(lane, true),
            Fault::Mute => each_client_link(run, |from, to| run.net().cut(from, to)),
            Fault::ClockJump { ms } => run.cluster.clock(node).jump(ms),
            Fault::ClockRate { ahead_ppm } => run.world.set_clock_rate(node, ahead_ppm),
            Fault::DiskFails => run.cluster.fail_disk(node),
            Fault::SlowDisk { ms } => run.cluster.pace(node).slow_down(ms),
            Fault::Lie => run.cluster.disk(node).set_lying(true),
            Fault::OldData => self.copied = Some(run.cluster.disk(node).backup()),
        }
    }

    fn end(&mut self, fault: Fault, node: usize, run: &mut Run<'_>) {
        let nodes = run.cluster.size();
        let other = |away: usize| (node + away) % nodes;
        let mend = |run: &Run<'_>, other| both(node, other, |from, to| run.net().mend(from, to));
        match fault {
            Fault::Kill | Fault::PowerCut | Fault::Rot { .. } | Fault::Wipe => run.start(node),
            Fault::Blackout => (0..nodes).for_each(|node| run.start(node)),
            Fault::Isolate => run.everybody_else(node).for_each(|other| mend(run, other)),
            Fault::Split => run.others(node).for_each(|other| mend(run, other)),
            Fault::OneWay { away } => run.net().mend(node, other(away)),
            Fault::Link { away } => mend(run, other(away)),
            Fault::Delay { .. } => delay(node, Duration::ZERO, run),
            Fault::Hold => hold(node, false, run),
            Fault::Freeze => run.world.freeze(node, false),
            Fault::Lane { lane, away } => run.each_lane(node, away, |a, b| run.cluster.cuts.mend(a, b, lane)),
            Fault::AllLanes { lane } => run.all_lanes(lane, false),
            Fault::Mute => each_client_link(run, |from, to| run.net().mend(from, to)),
            Fault::ClockJump { ms } => run.cluster.clock(node).jump(-ms),
            Fault::ClockRate { .. } => run.world.set_clock_rate(node, self.clock_rates_ppm[node]),
            Fault::DiskFails => {
                run.check_stopped(node);
                run.take_down(node, Down::PowerCut);
                run.start(node);
            }
            Fault::SlowDisk { .. } => run.cluster.pace(node).slow_down(0),
            Fault::Lie => {
                run.take_down(node, Down::PowerCut);
                run.cluster.disk(node).set_lying(false);
                run.start(node);
            }
            Fault::OldData => {
                run.take_down(node, Down::Kill);
                if let Some(copy) = self.copied.take() {
                    run.put_back(node, &copy);
                }
                run.start(node);
            }
        }
    }
}

/// Both directions between two hosts.
fn both(one: HostId, other: HostId, mut each: impl FnMut(HostId, HostId)) {
    each(one, other);
    each(other, one);
}

/// Both directions between the clients and every node.
fn each_client_link(run: &Run<'_>, mut each: impl FnMut(HostId, HostId)) {
    let clients = run.cluster.size();
    (0..clients).for_each(|node| both(clients, node, &mut each));
}

fn delay(node: usize, most: Duration, run: &Run<'_>) {
    let delayed = |from, to| run.net().delay(from, to, most);
    run.everybody_else(node).for_each(|other| both(node, other, delayed));
}

fn hold(node: usize, held: bool, run: &Run<'_>) {
    let hold = |from, to| run.net().hold(from, to, held);
    run.everybody_else(node).for_each(|other| both(node, other, hold));
}

/// Whether the mending of one would undo the other, or both together be more than a cluster can bear.
fn disturbs((fault, node): (Fault, usize), (other, other_node): (Fault, usize)) -> bool {
    // What happens to all lanes, or to the clients, happens to no node of its own.
    let of_nodes = ![fault, other].iter().any(|fault| matches!(fault, Fault::AllLanes { .. } | Fault::Mute));
    of_nodes && node == other_node
        || fault.touches_links() && other.touches_links()
        || fault.touches_lanes() && other.touches_lanes()
        // Of three voters two would be the majority that everybody believes: ADR 0007.
        || fault.moves_a_wall_clock() && other.moves_a_wall_clock()
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
        // Whoever votes loses its power in the next moment: what it said must be on its disk.
        let aim = if fault == Fault::PowerCut && dice.below(VOTER_ONE_IN) == 0 { Aim::Voter } else { aim };
        Self { fault, aim, from, to }
    }
}
