//! The two replicated clocks (`semantics` §1). A machine never reads a clock: both come in with every entry.

use std::fmt;
use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

macro_rules! clock {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        pub struct $name(pub u64);

        impl Add<u64> for $name {
            type Output = Self;
            fn add(self, ms: u64) -> Self {
                Self(self.0.saturating_add(ms))
            }
        }

        impl Sub for $name {
            type Output = u64;
            /// Milliseconds since `earlier`; 0 when `earlier` is later.
            fn sub(self, earlier: Self) -> u64 {
                self.0.saturating_sub(earlier.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}ms", self.0)
            }
        }
    };
}

clock!(
    /// Milliseconds of the leaders' monotonic time, summed up over the life of a partition. It stands still
    /// while the partition has no working leader, so that no lease runs out while nobody could have extended
    /// it. Leases, sessions and dedup windows run on it.
    LeaseClock
);
clock!(
    /// Milliseconds since the Unix epoch, as replicated: it never falls. Delays, TTL, retention and record
    /// timestamps run on it.
    WallClock
);
