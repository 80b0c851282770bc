//! What is to happen when: drawn from the seed before a run begins.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use weir_checker::Fault;

use crate::dice::Dice;
use crate::nemesis::{Harm, Kind, Step, Target};

/// The mix of faults is drawn anew this often.
const WINDOW: Duration = Duration::from_secs(30);
/// From so many windows on, a quarter of them is quiet.
const WINDOWS_UNTIL_QUIET: u64 = 4;
const QUIET_PERCENT: u64 = 25;
/// Of a hundred runs, so many end with a while without writes, faults going on.
const TAIL_OFF_PERCENT: u64 = 25;
/// Between two faults of one lane.
const GAP: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(4));
/// Faults at once, at most.
const LANES_MAX: u64 = 2;
/// How often each kind should come, so that a run says something about it.
const TIMES_PER_KIND: u32 = 3;
/// The longest warm-up.
const WARM_MAX: Duration = Duration::from_secs(10);
/// Load after the heal.
const RECOVERY: Duration = Duration::from_secs(30);

/// The course of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Schedule {
    /// Load without faults comes first, for so many milliseconds.
    pub warm_ms: u64,
    /// Then load with faults.
    pub main_ms: u64,
    /// Then no writes, faults going on. Often 0.
    pub quiet_ms: u64,
    /// After the heal, load again.
    pub recovery_ms: u64,
    /// The faults, by time from the beginning of the run.
    pub steps: Vec<Step>,
}

/// What a schedule is drawn for.
#[derive(Clone, Debug)]
pub struct Course<'a> {
    /// The seed.
    pub seed: u64,
    /// Warm-up and faults together.
    pub length: Duration,
    /// The kinds of faults, each of which gets its turns.
    pub kinds: &'a [Kind],
    /// Partitions of all topics.
    pub partitions: u32,
}

impl Schedule {
    /// Draws one.
    pub fn draw(course: &Course<'_>) -> Self {
        let mut dice = Dice::new(course.seed, 0);
        let warm = WARM_MAX.min(course.length / 5);
        let main = course.length.saturating_sub(warm);
        let quiet = if dice.percent(TAIL_OFF_PERCENT) {
            dice.duration(Duration::from_secs(2), Duration::from_secs(8))
        } else {
            Duration::ZERO
        };
        let faulty = !course.kinds.is_empty();
        Self {
            warm_ms: milliseconds(warm),
            main_ms: milliseconds(main),
            quiet_ms: if faulty { milliseconds(quiet) } else { 0 },
            recovery_ms: milliseconds(RECOVERY),
            steps: if faulty { Draw::new(course, dice).steps(warm, main) } else { Vec::new() },
        }
    }
}

impl Schedule {
    /// The steps that were performed, each aimed at the nodes that it befell. Steps are numbered from 1 in their order, and
    /// those that never got their nodes are left out.
    #[must_use]
    pub fn to_the_same_nodes(mut self, faults: &[Fault]) -> Self {
        let befell = |id: u64| faults.iter().find(|fault| fault.id == id);
        let steps = std::mem::take(&mut self.steps).into_iter().zip(1..);
        self.steps = steps
            .filter_map(|(step, id)| {
                befell(id).map(|fault| Step { target: Target::Nodes(fault.nodes.clone()), ..step })
            })
            .collect();
        self
    }
}

/// A draw under way.
struct Draw<'a> {
    course: &'a Course<'a>,
    dice: Dice,
    /// The kinds in the order of their next turns.
    turns: Vec<Kind>,
    /// How often each kind has come.
    times: Vec<(Kind, u32)>,
}

impl<'a> Draw<'a> {
    fn new(course: &'a Course<'a>, dice: Dice) -> Self {
        let times = course.kinds.iter().map(|kind| (*kind, 0)).collect();
        Self { course, dice, turns: Vec::new(), times }
    }

    fn steps(mut self, from: Duration, length: Duration) -> Vec<Step> {
        let windows = (length.as_millis() / WINDOW.as_millis()).max(1) as u64;
        let mut steps = Vec::new();
        let mut begin = from;
        let end = from + length;
        while begin < end {
            let until = if begin + WINDOW * 3 / 2 > end { end } else { begin + WINDOW };
            let quiet = windows >= WINDOWS_UNTIL_QUIET && begin > from && self.dice.percent(QUIET_PERCENT);
            if !quiet {
                let lanes = self.lanes();
                for _ in 0..lanes {
                    self.lane(begin, until, lanes, &mut steps);
                }
            }
            begin = until;
        }
        steps.sort_by_key(|step| step.at);
        steps
    }

    /// One kind alone never overlaps with itself: what it does could not be told apart.
    fn lanes(&mut self) -> u32 {
        let most = LANES_MAX.min(self.course.kinds.len() as u64);
        self.dice.between(1, most.max(1)) as u32
    }

    /// Faults one after the other.
    fn lane(&mut self, from: Duration, until: Duration, lanes: u32, steps: &mut Vec<Step>) {
        let mut at = from + self.dice.duration(Duration::ZERO, GAP.0);
        while at + GAP.0 < until {
            let kind = self.turn();
            let lasts = self.lasts(kind, lanes).min(until.saturating_sub(at));
            let step = Step { at, lasts, kind, target: self.target(kind), seed: self.dice.number() };
            steps.push(step);
            at += lasts + self.dice.duration(GAP.0, GAP.1);
        }
    }

    /// The next kind: all of them in a drawn order, then in another one.
    fn turn(&mut self) -> Kind {
        if self.turns.is_empty() {
            let mut left = self.course.kinds.to_vec();
            while !left.is_empty() {
                let place = self.dice.below(left.len() as u64) as usize;
                self.turns.push(left.swap_remove(place));
            }
        }
        self.turns.pop().expect("at least one kind was asked for")
    }

    /// As the kind usually lasts, but no longer than leaves every kind its turns.
    fn lasts(&mut self, kind: Kind, lanes: u32) -> Duration {
        let (least, most) = kind.lasts().into_inner();
        let turns = TIMES_PER_KIND * self.course.kinds.len() as u32;
        let share = (self.course.length * lanes / turns.max(1)).saturating_sub(GAP.1);
        self.dice.duration(least, most.min(share).max(least))
    }

    /// Each kind comes to a leader and to a follower before anything else is drawn.
    fn target(&mut self, kind: Kind) -> Target {
        let time = self.times.iter_mut().find(|(known, _)| *known == kind).map_or(0, |(_, times)| {
            *times += 1;
            *times - 1
        });
        let partition = self.dice.below(u64::from(self.course.partitions.max(1))) as u32;
        match (kind, time) {
            (Kind::KillAll | Kind::PowerCutAll | Kind::RollingRestart, _) => Target::All,
            (_, 0) => Target::Leader(partition),
            (_, 1) => Target::Follower(partition),
            _ if kind.harm() == Harm::Lasting => Target::Random,
            _ => match self.dice.below(100) {
                0..40 => Target::Leader(partition),
                40..55 => Target::Follower(partition),
                55..75 => Target::Random,
                75..85 => Target::Minority,
                85..95 => Target::Majority,
                _ => Target::All,
            },
        }
    }
}

fn milliseconds(duration: Duration) -> u64 {
    duration.as_millis() as u64
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::*;

    fn draw(seed: u64, seconds: u64, kinds: &[Kind]) -> Schedule {
        Schedule::draw(&Course { seed, length: Duration::from_secs(seconds), kinds, partitions: 6 })
    }

    #[test]
    fn a_seed_draws_the_same_schedule_again_and_another_seed_another() {
        let kinds = [Kind::Kill, Kind::Partition];
        assert_eq!(draw(7, 300, &kinds), draw(7, 300, &kinds));
        assert_ne!(draw(7, 300, &kinds), draw(8, 300, &kinds));
        let text = serde_json::to_string(&draw(7, 300, &kinds)).unwrap();
        assert_eq!(serde_json::from_str::<Schedule>(&text).unwrap(), draw(7, 300, &kinds));
    }

    #[test]
    fn faults_lie_within_the_main_part_in_order() {
        for seed in 0..50 {
            let schedule = draw(seed, 120, &[Kind::Kill, Kind::Pause, Kind::Partition]);
            let end = schedule.warm_ms + schedule.main_ms;
            assert!(schedule.steps.is_sorted_by_key(|step| step.at));
            for step in &schedule.steps {
                let at = milliseconds(step.at);
                assert!(schedule.warm_ms <= at && at + milliseconds(step.lasts) <= end, "{step:?}");
            }
        }
    }

    #[test]
    fn even_a_short_run_gives_every_kind_its_turns() {
        for seed in 0..50 {
            let kinds = [Kind::Kill, Kind::Pause];
            let schedule = draw(seed, 60, &kinds);
            for kind in kinds {
                let times = schedule.steps.iter().filter(|step| step.kind == kind).count();
                assert!(times >= 2, "seed {seed}: {kind} comes {times} times");
            }
        }
    }

    #[test]
    fn a_replay_to_the_same_nodes_leaves_out_what_never_happened() {
        let drawn = draw(7, 120, &[Kind::Kill]);
        let first = &drawn.steps[0];
        let fault = Fault {
            kind: first.kind.to_string(),
            id: 1,
            phase: weir_checker::FaultPhase::Begin,
            nodes: vec!["n2".to_owned()],
            links: Vec::new(),
            led: 1,
            followed: 0,
            majority: true,
            detail: String::new(),
        };
        let aimed = Step { target: Target::Nodes(vec!["n2".to_owned()]), ..first.clone() };
        assert_eq!(drawn.to_the_same_nodes(&[fault]).steps, [aimed]);
    }
}
