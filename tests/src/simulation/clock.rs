//! Simulated clocks.

use std::time::Duration;

use weir_runtime::Clock;
use weir_types::WallClock;

/// Where wall clocks stand when a run begins: any date will do, as long as it is always the same.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// A machine's clocks in the simulation. The monotonic one is that of its tokio runtime, which the simulation steers;
/// the wall clock is off by a constant, as clocks are.
#[derive(Clone, Copy, Debug)]
pub(super) struct SimulatedClock {
    /// How far this machine's wall clock is ahead of the slowest one's.
    pub(super) ahead: Duration,
}

impl Clock for SimulatedClock {
    fn wall(&self) -> WallClock {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default() + self.ahead;
        WallClock(BEGIN_MS + elapsed.as_millis() as u64)
    }
}
