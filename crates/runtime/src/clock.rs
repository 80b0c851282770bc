//! The two clocks of a machine: monotonic, which leases run on, and wall, which people read.

#![expect(clippy::disallowed_types, reason = "this file is where the system's clocks come in")]

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;
use weir_types::WallClock;

/// A machine's clocks.
pub trait Clock: Send + Sync + 'static {
    /// Monotonic time: never falls, and no operator can set it.
    fn now(&self) -> Instant {
        Instant::now()
    }

    /// Wall time: may jump in either direction.
    fn wall(&self) -> WallClock;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn wall(&self) -> WallClock {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        WallClock(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}
