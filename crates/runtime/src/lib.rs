//! The one seam to the outside world: clocks, randomness, spawning, threads and sockets.
//!
//! `consensus`, `broker` and `client` reach the world through a [`Runtime`] and nothing else, so that the
//! simulator runs the very crates that ship. [`Runtime::real`] is the machine we run on; a simulator builds its
//! own from a [`Clock`], a [`Random`] and a [`Network`].
//!
//! Timers are tokio's in both worlds (a simulator pauses and steers tokio's clock), so `tokio::time` may be
//! used directly; `tokio::net`, `std::thread`, `SystemTime` and `rand`'s global generator may not.

#![forbid(unsafe_code)]

mod clock;
mod network;
mod random;
mod tasks;

use std::sync::Arc;

pub use clock::{Clock, SystemClock};
pub use network::{BoxFuture, BoxListener, BoxStream, Listener, Network, Stream, TcpNetwork};
pub use random::{OsRandom, Random, SeededRandom};
pub use tasks::{TaskGroup, Threads};

/// Everything nondeterministic that a component may touch. Cheap to clone.
#[derive(Clone)]
pub struct Runtime {
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    network: Arc<dyn Network>,
    threads: Threads,
}

impl Runtime {
    /// The real world: system clocks, the operating system's randomness, TCP and threads.
    pub fn real() -> Self {
        Self::new(Arc::new(SystemClock), Arc::new(OsRandom), Arc::new(TcpNetwork), Threads::Real)
    }

    /// A world made of the given parts.
    pub fn new(
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        network: Arc<dyn Network>,
        threads: Threads,
    ) -> Self {
        Self { clock, random, network, threads }
    }

    /// The clocks.
    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The sockets.
    pub fn network(&self) -> &dyn Network {
        &*self.network
    }

    /// The sockets, to keep.
    pub fn network_shared(&self) -> Arc<dyn Network> {
        Arc::clone(&self.network)
    }

    /// Whether blocking work may have threads of its own, or must run as tasks.
    pub fn threads(&self) -> Threads {
        self.threads
    }

    /// 64 random bits.
    pub fn random_u64(&self) -> u64 {
        self.random.next_u64()
    }

    /// `base` lengthened by up to a half, so that many waiters do not come back at the same moment.
    pub fn jittered(&self, base: std::time::Duration) -> std::time::Duration {
        let permille = (self.random_u64() % 500) as u32;
        base + base / 1000 * permille
    }
}

impl std::fmt::Debug for Runtime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runtime").field("threads", &self.threads).finish_non_exhaustive()
    }
}
