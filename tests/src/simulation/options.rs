//! Everything that a run may vary, drawn from its seed.

use std::fmt;
use std::time::Duration;

use weir_broker::Timings;

use super::faults::{CLOCK_RATE_PPM_MAX, Kind};
use super::rules::Rules;
use crate::Dice;

/// One run in so many is long: ten minutes to an hour, with a moderate load.
const LONG_ONE_IN: u64 = 4;
/// In one run of so many, workers ack and append; in as many, owners commit and append.
const APPEND_ONE_IN: u64 = 3;
/// In one run of so many, tenants share the queue.
const SHARED_ONE_IN: u64 = 3;
/// Millionths in a hundredth.
const PPM_PER_PERCENT: u64 = 10_000;
/// Between two looks at who leads.
const LEADER_LOOK_MS: u64 = 10;

/// The options of one run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a choice of its own")]
pub struct Options {
    /// What all of this was drawn from.
    pub seed: u64,
    /// Nodes of the cluster.
    pub nodes: usize,
    /// Replicas of every topic.
    pub replicas: u32,
    /// The grain of time: messages take at least so long.
    pub tick: Duration,
    /// How long there are producers and faults.
    pub load: Duration,
    /// For how long producers are silent before everything heals.
    pub tail_off: Duration,
    /// Partitions of the queue.
    pub queue_partitions: u32,
    /// Partitions of the stream.
    pub stream_partitions: u32,
    /// Longest way of a message between two hosts.
    pub latency_max: Duration,
    /// How often a message breaks its link for a while, of a million.
    pub link_breaks_ppm: u32,
    /// Longest ordinary sync of a disk.
    pub sync_ms_max: u64,
    /// Of a thousand rounds of a log writer so many stall.
    pub sync_stalls_permille: u64,
    /// For how long messages are leased.
    pub lease_ms: u64,
    /// Longest pause of a producer between two batches.
    pub pace_ms_max: u64,
    /// Producers of each topic, which all send to every partition.
    pub producers: u32,
    /// Deliveries after which a message is parked.
    pub attempts_max: u32,
    /// Whether tenants share the queue, who take turns.
    pub shared: bool,
    /// What the queue's messages carry, and what it does with them.
    pub rules: Rules,
    /// Whether some acks append a record to the stream in the same step.
    pub ack_and_append: bool,
    /// Whether some commits append a record to the stream in the same step.
    pub commit_and_append: bool,
    /// Whether some dead letters are dropped.
    pub discards: bool,
    /// Entries that nodes keep for followers; the fewer, the more snapshots.
    pub log_entries_kept: u64,
    /// How far each node's wall clock is ahead, in milliseconds.
    pub wall_ahead_ms: Vec<u64>,
    /// By how many millionths each node's monotonic clock is too fast.
    pub clock_rates_ppm: Vec<i64>,
    /// The nodes' timers.
    pub timings: Timings,
    /// Whether an operator drains nodes and moves replicas all the time, and lost nodes are made up for.
    pub elastic: bool,
    /// The kinds of faults of this run.
    pub kinds: Vec<Kind>,
    /// How many faults there are.
    pub faults: u32,
    /// Steps between two looks at who leads.
    pub steps_per_leader: u64,
    /// Steps between two looks at logs and votes.
    pub steps_per_look: u64,
}

impl Options {
    /// The options that belong to a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x0051_u64.rotate_left(40));
        let nodes = *dice.pick(&[3, 3, 3, 3, 4, 5, 5, 5, 6, 7]);
        let replicas = if nodes >= 5 { *dice.pick(&[3, 5]) } else { 3 };
        let long = dice.below(LONG_ONE_IN) == 0;
        let load_ms = if long { 600_000 + dice.below(3_000_000) } else { 20_000 + dice.below(70_000) };
        let tick_ms = *dice.pick(if long { &[5, 10, 10, 20] } else { &[1, 2, 5, 5, 10] });
        let pace_ms_max =
            *dice.pick(if long { &[4_000, 8_000, 16_000] } else { &[150, 400, 1_000, 2_000, 4_000] });
        let seconds_per_fault = *dice.pick(if long { &[8, 15, 30] } else { &[2, 4, 8] });
        let look_ms = *dice.pick(if long { &[1_000, 3_000] } else { &[100, 300, 1_000] });
        Self {
            seed,
            nodes,
            replicas,
            tick: Duration::from_millis(tick_ms),
            load: Duration::from_millis(load_ms),
            tail_off: Duration::from_millis(if dice.below(4) == 0 { 2_000 + dice.below(6_000) } else { 0 }),
            queue_partitions: 1 + dice.below(4) as u32,
            stream_partitions: 1 + dice.below(4) as u32,
            latency_max: Duration::from_millis(*dice.pick(&[1, 2, 5, 20, 50])),
            link_breaks_ppm: *dice.pick(&[0, 0, 0, 20, 200]),
            sync_ms_max: *dice.pick(&[0, 1, 4, 12, 40]),
            sync_stalls_permille: *dice.pick(&[0, 5, 20]),
            lease_ms: 1_500 + dice.below(4_000),
            pace_ms_max,
            producers: *dice.pick(&[1, 1, 2, 3]),
            attempts_max: *dice.pick(&[2, 3, 6, 10_000, 10_000]),
            // Dice of its own: what else a seed stands for is what it was before there was this.
            ack_and_append: Dice::new(seed ^ 0x0a0a_u64.rotate_left(40)).below(APPEND_ONE_IN) == 0,
            shared: Dice::new(seed ^ 0x7e0a_u64.rotate_left(40)).below(SHARED_ONE_IN) == 0,
            commit_and_append: Dice::new(seed ^ 0x0c0a_u64.rotate_left(40)).below(APPEND_ONE_IN) == 0,
            rules: Rules::draw(seed),
            discards: dice.below(2) == 0,
            log_entries_kept: *dice.pick(&[1, 20, 100, 400, 10_000, 10_000, 50_000, 50_000, 50_000, 50_000]),
            wall_ahead_ms: (0..nodes).map(|_| dice.below(400)).collect(),
            clock_rates_ppm: clock_rates(&mut dice, nodes),
            timings: timings(&mut dice),
            elastic: false,
            kinds: kinds(&mut dice),
            faults: 1 + (load_ms / 1_000 / seconds_per_fault) as u32,
            steps_per_leader: LEADER_LOOK_MS.div_ceil(tick_ms),
            steps_per_look: look_ms / tick_ms,
        }
    }
}

impl Options {
    /// By how many percent a node's clock may be too fast, scripts included.
    pub(super) fn clock_rate_percent(&self) -> u64 {
        let usual = self.clock_rates_ppm.iter().copied().max().unwrap_or_default();
        let changes = self.kinds.is_empty() || self.kinds.contains(&Kind::ClockRate);
        let most = if changes { CLOCK_RATE_PPM_MAX } else { usual.max(0) };
        1 + most.unsigned_abs().div_ceil(PPM_PER_PERCENT)
    }

    /// The same with another time of load and faults, if one is given.
    #[must_use]
    pub fn shortened_to(self, load: Option<Duration>) -> Self {
        let load = load.unwrap_or(self.load);
        Self {
            load,
            tail_off: self.tail_off.min(load / 4),
            faults: self.faults.min(1 + load.as_secs() as u32 / 2),
            ..self
        }
    }
}

/// Clocks are never equally fast. In most runs nobody notices.
fn clock_rates(dice: &mut Dice, nodes: usize) -> Vec<i64> {
    let most: i64 = *dice.pick(&[100, 100, 5_000, 20_000]);
    (0..nodes).map(|_| dice.below(2 * most.unsigned_abs() + 1).cast_signed() - most).collect()
}

fn timings(dice: &mut Dice) -> Timings {
    let ms = Duration::from_millis;
    let heartbeat = *dice.pick(&[400, 1_000, 2_000, 2_000]);
    let election_min = heartbeat * 2 + heartbeat / 4 + dice.below(heartbeat);
    let ping = *dice.pick(&[50, 100, 100, 200]);
    Timings {
        heartbeat: ms(heartbeat),
        election_min: ms(election_min),
        election_max: ms(election_min + heartbeat / 2 + dice.below(heartbeat)),
        ping: ms(ping),
        suspect: ms(ping * (3 + dice.below(3))),
        candidate_patience: ms(500 + dice.below(1_000)),
        stall: ms(4_000 + dice.below(6_000)),
        reconnect: ms(20 + dice.below(100)),
    }
}

/// A part of the kinds, so that runs differ in what they are about: some have few kinds, and so much of each.
fn kinds(dice: &mut Dice) -> Vec<Kind> {
    let among = 2 + dice.below(4);
    let drawn: Vec<Kind> = Kind::ALL.into_iter().filter(|_| dice.below(among) == 0).collect();
    if drawn.is_empty() { Kind::ALL.to_vec() } else { drawn }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}
