//! Everything that a run may vary, drawn from its seed.

use std::fmt;
use std::time::Duration;

use crate::Dice;

/// The options of one run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What all of this was drawn from.
    pub seed: u64,
    /// How long there are producers and faults.
    pub load: Duration,
    /// Partitions of the queue.
    pub queue_partitions: u32,
    /// Partitions of the stream.
    pub stream_partitions: u32,
    /// Longest way of a message between two hosts.
    pub latency_max: Duration,
    /// Longest ordinary sync of a disk.
    pub sync_ms_max: u64,
    /// For how long messages are leased.
    pub lease_ms: u64,
    /// Longest pause of a producer between two batches.
    pub pace_ms_max: u64,
    /// Entries that nodes keep for followers; the fewer, the more snapshots.
    pub log_entries_kept: u64,
    /// How far each node's wall clock is ahead.
    pub wall_ahead_ms: [u64; 3],
    /// How many faults there are.
    pub faults: u32,
}

impl Options {
    /// The options that belong to a seed.
    pub fn draw(seed: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x0051_u64.rotate_left(40));
        Self {
            seed,
            load: Duration::from_millis(12_000 + dice.below(12_000)),
            queue_partitions: 1 + dice.below(3) as u32,
            stream_partitions: 1 + dice.below(3) as u32,
            latency_max: Duration::from_millis(*dice.pick(&[1, 2, 5, 20])),
            sync_ms_max: *dice.pick(&[0, 1, 4, 12]),
            lease_ms: 1_500 + dice.below(4_000),
            pace_ms_max: *dice.pick(&[60, 150, 400]),
            log_entries_kept: *dice.pick(&[20, 100, 400, 10_000]),
            wall_ahead_ms: [dice.below(400), dice.below(400), dice.below(400)],
            faults: 2 + dice.below(6) as u32,
        }
    }
}

impl fmt::Display for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "seed={} load={:?} queue_partitions={} stream_partitions={} latency_max={:?} sync_ms_max={} lease_ms={} \
             pace_ms_max={} log_entries_kept={} wall_ahead_ms={:?} faults={}",
            self.seed,
            self.load,
            self.queue_partitions,
            self.stream_partitions,
            self.latency_max,
            self.sync_ms_max,
            self.lease_ms,
            self.pace_ms_max,
            self.log_entries_kept,
            self.wall_ahead_ms,
            self.faults,
        )
    }
}
