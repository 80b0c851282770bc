//! Scripts of faults that attack one part of the design each: the election by a designated candidate, which passes over
//! the leader's lease when a majority of the voters does not hear the leader.

use std::time::Duration;

use super::faults::{Aim, Fault, Kind, Planned};
use super::network::Lane;
use super::options::Options;
use super::rules::Rules;

/// One script.
pub struct Scenario {
    /// What it is called on the command line.
    pub name: &'static str,
    /// What is to hold.
    pub sentence: &'static str,
    nodes: usize,
    load_s: u64,
    pace_ms_max: u64,
    /// What happens, to whom, from and to which millisecond of the load.
    faults: &'static [(Fault, Aim, u64, u64)],
    elections_max: u64,
    leaderless_max: Duration,
    gap_max: Duration,
    elastic: bool,
    reshaped: bool,
}

const LEADER: Aim = Aim::LeaderOf(1);
const BESIDE: Aim = Aim::BesideLeaderOf(1);
const EVERYBODY: Option<usize> = None;
const FIVE_SECONDS: Duration = Duration::from_secs(5);
const TEN_SECONDS: Duration = Duration::from_secs(10);
/// Where only safety and the recovery afterwards are asked for.
const NO_BOUND: Duration = Duration::MAX;

const fn lane(lane: Lane, away: Option<usize>) -> Fault {
    Fault::Lane { lane, away }
}

/// All scripts.
pub fn scenarios() -> &'static [Scenario] {
    SCENARIOS
}

const BASE: Scenario = Scenario {
    name: "",
    sentence: "",
    nodes: 3,
    load_s: 40,
    pace_ms_max: 600,
    faults: &[],
    elections_max: 20,
    leaderless_max: TEN_SECONDS,
    gap_max: TEN_SECONDS,
    elastic: false,
    reshaped: false,
};

const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "control-lanes-of-the-leader",
        sentence: "a leader that is heard on its data lanes alone goes on leading",
        faults: &[(lane(Lane::Control, EVERYBODY), LEADER, 5_000, 30_000)],
        elections_max: 4,
        gap_max: FIVE_SECONDS,
        ..BASE
    },
    Scenario {
        name: "control-lane-to-one",
        sentence: "one witness that does not hear the leader deposes nobody",
        faults: &[(lane(Lane::Control, Some(1)), LEADER, 5_000, 30_000)],
        elections_max: 4,
        ..BASE
    },
    Scenario {
        name: "all-control-lanes",
        sentence: "where no control lane works, the data lanes do their work, and all leaders go on",
        faults: &[(Fault::AllLanes { lane: Lane::Control }, Aim::Node(0), 5_000, 30_000)],
        elections_max: 4,
        gap_max: FIVE_SECONDS,
        ..BASE
    },
    Scenario {
        name: "survivors-without-control-lanes",
        sentence: "two survivors that hear each other on their data lanes alone elect at once",
        faults: &[
            (lane(Lane::Control, Some(1)), BESIDE, 5_000, 30_000),
            (Fault::PowerCut, LEADER, 8_000, 30_000),
        ],
        elections_max: 4,
        leaderless_max: Duration::from_secs(3),
        gap_max: FIVE_SECONDS,
        ..BASE
    },
    Scenario {
        name: "data-lanes-of-the-leader",
        sentence: "a leader that is heard but replicates nothing is replaced",
        faults: &[(lane(Lane::Data, EVERYBODY), LEADER, 5_000, 35_000)],
        elections_max: 4,
        ..BASE
    },
    Scenario {
        name: "data-lane-to-one",
        sentence: "one witness that gets nothing from the leader deposes nobody",
        faults: &[(lane(Lane::Data, Some(1)), LEADER, 5_000, 30_000)],
        elections_max: 4,
        gap_max: FIVE_SECONDS,
        ..BASE
    },
    Scenario {
        name: "all-data-lanes",
        sentence: "where no data flow at all, nothing is acknowledged, and all goes on afterwards",
        faults: &[(Fault::AllLanes { lane: Lane::Data }, Aim::Node(0), 5_000, 30_000)],
        // Whoever could not replicate either does not ask to lead.
        elections_max: 4,
        gap_max: NO_BOUND,
        ..BASE
    },
    Scenario {
        name: "one-way-from-the-leader",
        sentence: "a leader that one follower does not hear stays, with few elections in ten minutes",
        load_s: 600,
        pace_ms_max: 2_000,
        faults: &[(Fault::OneWay { away: 1 }, LEADER, 1_000, 599_000)],
        elections_max: 100,
        ..BASE
    },
    Scenario {
        name: "one-way-to-the-leader",
        sentence: "a leader that does not hear one follower stays, with few elections in ten minutes",
        load_s: 600,
        pace_ms_max: 2_000,
        faults: &[(Fault::OneWay { away: 2 }, BESIDE, 1_000, 599_000)],
        elections_max: 100,
        ..BASE
    },
    Scenario {
        name: "one-way-among-five",
        sentence: "one-way loss among five nodes causes few elections in ten minutes",
        nodes: 5,
        load_s: 600,
        pace_ms_max: 2_000,
        faults: &[(Fault::OneWay { away: 2 }, LEADER, 1_000, 599_000)],
        elections_max: 100,
        ..BASE
    },
    Scenario {
        name: "shorter-log",
        sentence: "a follower that was left behind does not win against one that was not",
        faults: &[
            (lane(Lane::Data, Some(1)), LEADER, 5_000, 20_000),
            (Fault::PowerCut, LEADER, 20_000, 30_000),
            (lane(Lane::Data, Some(2)), LEADER, 31_000, 36_000),
            (Fault::Kill, LEADER, 36_000, 39_000),
        ],
        ..BASE
    },
    Scenario {
        name: "two-coordinators",
        sentence: "two candidates that do not see each other bring one leader per term",
        nodes: 5,
        faults: &[
            (lane(Lane::Control, Some(1)), BESIDE, 5_000, 14_000),
            (Fault::PowerCut, LEADER, 6_000, 14_000),
            // A shard of the coordinator has three replicas, which can be the three that are dead or parted: then nobody
            // can lead it until one of the two is mended.
            (Fault::Link { away: 1 }, BESIDE, 16_000, 23_000),
            (Fault::Kill, LEADER, 17_000, 23_000),
        ],
        ..BASE
    },
    Scenario {
        name: "old-leader-wakes",
        sentence: "a leader whose messages were held while another was elected serves nothing stale afterwards",
        faults: &[
            (Fault::Hold, LEADER, 5_000, 9_000),
            (Fault::Hold, LEADER, 14_000, 15_000),
            (Fault::Hold, LEADER, 20_000, 27_000),
            (Fault::Hold, LEADER, 32_000, 34_000),
        ],
        ..BASE
    },
    Scenario {
        name: "resting-timers",
        sentence: "followers of an idle leader, whose timers rest, elect when it is gone",
        pace_ms_max: 8_000,
        load_s: 60,
        faults: &[
            (Fault::Isolate, LEADER, 10_000, 20_000),
            (lane(Lane::Control, EVERYBODY), BESIDE, 25_000, 35_000),
            (Fault::Split, LEADER, 40_000, 55_000),
        ],
        gap_max: Duration::from_secs(20),
        ..BASE
    },
    Scenario {
        name: "slow-disk-of-the-leader",
        sentence: "a leader whose disk takes two seconds for a sync loses nothing and comes back",
        faults: &[(Fault::SlowDisk { ms: 2_000 }, LEADER, 5_000, 30_000)],
        gap_max: Duration::from_secs(30),
        ..BASE
    },
    Scenario {
        name: "slow-disk-of-a-follower",
        sentence: "a follower whose disk takes four seconds for a sync makes nobody doubt the leader",
        faults: &[(Fault::SlowDisk { ms: 4_000 }, BESIDE, 5_000, 30_000)],
        elections_max: 4,
        gap_max: FIVE_SECONDS,
        ..BASE
    },
    Scenario {
        name: "forgetful-then-blackout",
        sentence: "a node that lost synced writes votes for nobody, through a power cut of all",
        faults: &[
            (Fault::Rot { batches: 12 }, LEADER, 5_000, 8_000),
            (Fault::Blackout, Aim::Node(0), 14_000, 16_000),
            (Fault::Isolate, LEADER, 24_000, 30_000),
        ],
        leaderless_max: NO_BOUND,
        gap_max: Duration::from_secs(20),
        ..BASE
    },
    Scenario {
        name: "lying-disk-then-blackout",
        sentence: "a node whose disk lied is noticed after its power cut, and nothing is lost",
        faults: &[
            (Fault::Lie, LEADER, 5_000, 12_000),
            (Fault::Blackout, Aim::Node(0), 20_000, 22_000),
            (Fault::Kill, LEADER, 28_000, 34_000),
        ],
        leaderless_max: NO_BOUND,
        gap_max: Duration::from_secs(20),
        ..BASE
    },
    Scenario {
        name: "wiped-disk",
        sentence: "a node that comes back with an empty disk is a new one, and its partitions get their copies back",
        faults: &[(Fault::Wipe, LEADER, 5_000, 8_000), (Fault::Kill, LEADER, 22_000, 30_000)],
        ..BASE
    },
    Scenario {
        name: "old-database",
        sentence: "a node that comes back with the database of some seconds ago notices, and nothing is lost",
        faults: &[(Fault::OldData, LEADER, 5_000, 10_000), (Fault::Kill, LEADER, 22_000, 30_000)],
        ..BASE
    },
    Scenario {
        name: "frozen-leader",
        sentence: "a leader that stood still while another was elected serves nothing stale when it goes on",
        faults: &[
            (Fault::Freeze, LEADER, 5_000, 9_000),
            (Fault::Freeze, LEADER, 14_000, 15_000),
            (Fault::Freeze, LEADER, 20_000, 27_000),
            (Fault::Freeze, LEADER, 32_000, 34_000),
        ],
        ..BASE
    },
    Scenario {
        name: "old-leader-in-reach",
        sentence: "a leader that clients reach and voters do not answers nothing that is out of date",
        pace_ms_max: 200,
        faults: &[
            (Fault::Split, LEADER, 5_000, 12_000),
            (Fault::Split, LEADER, 16_000, 21_000),
            (Fault::Split, LEADER, 26_000, 34_000),
        ],
        ..BASE
    },
    Scenario {
        name: "voter-loses-power",
        sentence: "whoever loses its power just after it voted has its vote on its disk",
        faults: &[
            (Fault::Isolate, LEADER, 5_000, 9_000),
            (Fault::PowerCut, Aim::Voter, 5_000, 7_000),
            (Fault::Kill, LEADER, 13_000, 17_000),
            (Fault::PowerCut, Aim::Voter, 13_000, 15_000),
            (Fault::Isolate, LEADER, 21_000, 25_000),
            (Fault::PowerCut, Aim::Voter, 21_000, 23_000),
            (Fault::Kill, LEADER, 29_000, 33_000),
            (Fault::PowerCut, Aim::Voter, 29_000, 31_000),
        ],
        leaderless_max: NO_BOUND,
        gap_max: NO_BOUND,
        ..BASE
    },
    Scenario {
        name: "late-timers-shorter-log",
        sentence: "where only late timers elect, a follower that was left behind does not win against one that was not",
        load_s: 60,
        pace_ms_max: 200,
        faults: &[
            (lane(Lane::Data, Some(1)), LEADER, 5_000, 10_000),
            (Fault::Kill, LEADER, 9_000, 28_000),
            (Fault::AllLanes { lane: Lane::Control }, Aim::Node(0), 10_000, 24_000),
            (lane(Lane::Data, Some(2)), LEADER, 32_000, 37_000),
            (Fault::Kill, LEADER, 36_000, 55_000),
            (Fault::AllLanes { lane: Lane::Control }, Aim::Node(0), 37_000, 51_000),
        ],
        leaderless_max: NO_BOUND,
        gap_max: NO_BOUND,
        ..BASE
    },
    Scenario {
        name: "failed-write",
        sentence: "a node whose disk fails a write stops, and nothing is lost",
        faults: &[(Fault::DiskFails, LEADER, 5_000, 8_000), (Fault::DiskFails, LEADER, 14_000, 18_000)],
        ..BASE
    },
    Scenario {
        name: "leader-with-a-fast-clock",
        sentence: "a leader whose clock is a fifth too fast or too slow keeps its leases apart",
        faults: &[
            (Fault::ClockRate { ahead_ppm: 200_000 }, LEADER, 4_000, 18_000),
            (Fault::ClockRate { ahead_ppm: -200_000 }, LEADER, 20_000, 36_000),
        ],
        ..BASE
    },
    Scenario {
        name: "overwritten-suffix",
        sentence: "entries that another leader overwrote do not come back after a power cut",
        pace_ms_max: 100,
        faults: &[
            // The old leader gathers entries that nobody else gets, and the new one has nothing to put in their place but
            // the beginning of its term.
            (Fault::Split, LEADER, 5_000, 7_000),
            (Fault::Mute, Aim::Node(0), 5_300, 8_000),
            (Fault::Blackout, Aim::Node(0), 8_000, 9_000),
            (Fault::Split, LEADER, 18_000, 20_000),
            (Fault::Mute, Aim::Node(0), 18_300, 21_000),
            (Fault::Blackout, Aim::Node(0), 21_000, 22_000),
        ],
        leaderless_max: NO_BOUND,
        gap_max: NO_BOUND,
        ..BASE
    },
    Scenario {
        name: "replicas-on-the-move",
        sentence: "nodes are drained and used again, and replicas move, while others are killed: nothing is lost",
        nodes: 4,
        load_s: 90,
        faults: &[
            (Fault::Kill, LEADER, 5_000, 7_000),
            (Fault::PowerCut, BESIDE, 10_000, 14_000),
            (Fault::Isolate, LEADER, 18_000, 26_000),
            (Fault::Kill, Aim::Node(0), 30_000, 31_000),
            (Fault::Kill, Aim::Node(3), 33_000, 34_000),
            (lane(Lane::Data, Some(1)), LEADER, 38_000, 44_000),
            (Fault::Blackout, Aim::Node(0), 48_000, 49_000),
            (Fault::Rot { batches: 12 }, BESIDE, 55_000, 57_000),
            (Fault::Wipe, LEADER, 64_000, 67_000),
            (Fault::PowerCut, LEADER, 76_000, 80_000),
        ],
        elections_max: 1_000,
        leaderless_max: NO_BOUND,
        gap_max: NO_BOUND,
        elastic: true,
        ..BASE
    },
    Scenario {
        name: "splits-and-merges",
        sentence: "partitions are split and merged while leaders are killed and cut off: nothing is lost, doubled or overtaken",
        load_s: 60,
        pace_ms_max: 300,
        faults: &[
            (Fault::Kill, LEADER, 5_000, 7_000),
            (Fault::PowerCut, BESIDE, 10_000, 14_000),
            (Fault::Isolate, LEADER, 18_000, 26_000),
            (Fault::Kill, Aim::Node(0), 30_000, 31_000),
            (lane(Lane::Data, Some(1)), LEADER, 34_000, 40_000),
            (Fault::Blackout, Aim::Node(0), 44_000, 45_000),
            (Fault::PowerCut, LEADER, 50_000, 54_000),
        ],
        elections_max: 1_000,
        leaderless_max: NO_BOUND,
        gap_max: NO_BOUND,
        reshaped: true,
        ..BASE
    },
];

impl Scenario {
    /// The options of a run of it.
    pub fn options(&self, seed: u64) -> Options {
        let drawn = Options::draw(seed);
        Options {
            nodes: self.nodes,
            replicas: if self.nodes >= 5 { 5 } else { 3 },
            load: Duration::from_secs(self.load_s),
            tail_off: Duration::ZERO,
            queue_partitions: 2,
            stream_partitions: 2,
            latency_max: drawn.latency_max.min(Duration::from_millis(5)),
            link_breaks_ppm: 0,
            pace_ms_max: self.pace_ms_max,
            wall_ahead_ms: vec![0; self.nodes],
            clock_rates_ppm: vec![0; self.nodes],
            tick: drawn.tick.min(Duration::from_millis(5)),
            timings: weir_broker::Timings::default(),
            elastic: self.elastic,
            rules: self.rules(seed),
            kinds: Vec::<Kind>::new(),
            faults: self.faults.len() as u32,
            ..drawn
        }
    }

    /// The time between two acknowledgements is that of the partitions that are attacked, so there are no links.
    fn rules(&self, seed: u64) -> Rules {
        let rules = Rules { linked: false, ..Rules::unreshaped(seed) };
        if self.reshaped { rules.reshaped() } else { rules }
    }

    pub(super) fn plan(&self) -> Vec<Planned> {
        let planned = |(fault, aim, from, to): &(Fault, Aim, u64, u64)| Planned {
            fault: *fault,
            aim: *aim,
            from: Duration::from_millis(*from),
            to: Duration::from_millis(*to),
        };
        self.faults.iter().map(planned).collect()
    }

    /// Which of its bounds a run broke.
    pub(super) fn judge(&self, elections: u64, leaderless: Duration, gap: Duration) -> Vec<String> {
        let mut broken = Vec::new();
        if elections > self.elections_max {
            broken
                .push(format!("{elections} elections of one group, at most {} are fine", self.elections_max));
        }
        if leaderless > self.leaderless_max {
            broken.push(format!(
                "nobody led a group for {leaderless:?}, at most {:?} are fine",
                self.leaderless_max
            ));
        }
        if gap > self.gap_max {
            broken.push(format!("{gap:?} between two acknowledgements, at most {:?} are fine", self.gap_max));
        }
        broken
    }
}
