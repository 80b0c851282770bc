//! Simulated clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use weir_runtime::Clock;
use weir_types::WallClock;

use super::world;

/// Where wall clocks stand when a run begins: any date will do, as long as it is always the same.
const BEGIN_MS: u64 = 1_800_000_000_000;

/// A machine's clocks in the simulation. The monotonic one is that of its tokio runtime, which the world winds;
/// the wall clock is off, as clocks are, and may be set.
#[derive(Clone, Debug)]
pub(super) struct SimulatedClock {
    /// How far this machine's wall clock is ahead, in milliseconds.
    ahead_ms: Arc<AtomicI64>,
}

impl SimulatedClock {
    /// A clock that is so far ahead.
    pub(super) fn ahead(by: Duration) -> Self {
        Self { ahead_ms: Arc::new(AtomicI64::new(by.as_millis() as i64)) }
    }

    /// The wall clock jumps, in either direction.
    pub(super) fn jump(&self, by_ms: i64) {
        self.ahead_ms.fetch_add(by_ms, Ordering::Relaxed);
    }
}

impl Clock for SimulatedClock {
    fn wall(&self) -> WallClock {
        let elapsed = world::elapsed().as_millis() as u64;
        let now = (BEGIN_MS + elapsed).saturating_add_signed(self.ahead_ms.load(Ordering::Relaxed));
        WallClock(now)
    }
}
