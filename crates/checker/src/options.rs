//! What no history tells.

use std::collections::BTreeMap;

use crate::{CoverageOptions, GroupOptions, LivenessOptions, Micros, StreamOptions};

/// What the checks have to know beside the history. The defaults are the contract's own.
#[derive(Clone, Debug)]
pub struct Options {
    /// By how many percent a node's clock may run faster than the history's: a lease surely lasts its length less
    /// this share. Default 1.
    pub clock_rate_percent: u64,
    /// What rounding may take off a lease, in microseconds. Default 2,000: a millisecond at each end.
    pub clock_grain: Micros,
    /// How far the wall clock that delays and TTLs run on may be from the history's, in microseconds. Default
    /// 1,000,000: 500 ms that the cluster confirms at most, and as much to catch up after a failover.
    pub clock_offset: Micros,
    /// How many states the search for an order may visit per message before it gives up. Default 50,000.
    pub states_max: usize,
    /// Of queues that `queues` does not name.
    pub queue: QueueOptions,
    /// Of single queues, by topic.
    pub queues: BTreeMap<String, QueueOptions>,
    /// Of streams.
    pub stream: StreamOptions,
    /// Of consumer groups.
    pub groups: GroupOptions,
    /// How long things may take.
    pub liveness: LivenessOptions,
    /// What a run must have covered.
    pub coverage: CoverageOptions,
}

/// How a queue was configured.
#[derive(Clone, Debug)]
pub struct QueueOptions {
    /// Deliveries until a message is parked. None: unknown. Default 16.
    pub attempts_max: Option<u32>,
    /// TTL of messages that carry none, in microseconds. None, the default: they never expire.
    pub ttl: Option<Micros>,
    /// Messages of one FIFO key that may be leased at once. Default 1.
    pub inflight_per_key_max: usize,
    /// Whether a parked message keeps its key waiting behind it until somebody takes it out. Default no.
    pub parked_hold_key: bool,
    /// Priority of messages that carry none. Default 0.
    pub priority: u8,
    /// After how many microseconds beyond its time, or beyond the heal if that is later, a delayed message counts as
    /// late. None, the default: never, since how long it takes depends on what else there is to do.
    pub late_after: Option<Micros>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock_rate_percent: 1,
            clock_grain: 2_000,
            clock_offset: 1_000_000,
            states_max: 50_000,
            queue: QueueOptions::default(),
            queues: BTreeMap::new(),
            stream: StreamOptions::default(),
            groups: GroupOptions::default(),
            liveness: LivenessOptions::default(),
            coverage: CoverageOptions::default(),
        }
    }
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            attempts_max: Some(16),
            ttl: None,
            inflight_per_key_max: 1,
            parked_hold_key: false,
            priority: 0,
            late_after: None,
        }
    }
}

impl Options {
    /// How a queue was configured.
    pub fn queue(&self, topic: &str) -> &QueueOptions {
        self.queues.get(topic).unwrap_or(&self.queue)
    }

    /// How much of a lease of this length surely passes on the history's clock.
    pub fn surely(&self, lease: Micros) -> Micros {
        let share = lease.div_ceil(100).saturating_mul(self.clock_rate_percent);
        lease.saturating_sub(share).saturating_sub(self.clock_grain)
    }
}
