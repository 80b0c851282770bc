//! Hosts with clocks of their own and the network between them, one step of time after the other.
//!
//! ```text
//!  World ──step──► Net: what has arrived goes into the sockets' buffers
//!    └────────────► Host (in an order that is drawn): its tokio runtime runs until its clock shows the step's end
//! ```
//!
//! Each host has a paused tokio runtime: time passes for it only while it is run, and at its own rate. A host that is
//! frozen is not run: its clock goes on, as it does for a stopped process, and finds all its timers due when it wakes;
//! the network goes on filling its buffers. What is below reads these clocks too, because the binary puts tokio's clock
//! in the place of the system's (`mad_turmoil`).
//!
//! The crate `turmoil` did this before. It steps every host always, at one rate, and the segments that a partition eats
//! are lost to their connection for ever.

mod host;
mod link;
mod net;
mod socket;
mod time;

use std::error::Error;
use std::future::Future;
use std::time::Duration;

pub(super) use net::Net;
pub(super) use socket::{TcpListener, TcpStream};
pub use time::elapsed;

use crate::Dice;
use host::Host;

/// How a host's software ends.
pub(super) type Ended<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The number of a host, in the order in which they were made.
pub(super) type HostId = usize;

/// How a host goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fall {
    /// Its process ends, and its system closes the connections.
    Process,
    /// Its power is gone: it says nothing, and what is sent to it is sent again until it is back.
    Power,
}

/// All hosts.
pub(super) struct World {
    hosts: Vec<Host>,
    net: Net,
    now: Duration,
    tick: Duration,
    dice: Dice,
}

impl World {
    /// Hosts with these names and no software yet.
    pub(super) fn new(names: &[String], seed: u64, tick: Duration, latency_max: Duration) -> Self {
        time::set(Duration::ZERO);
        let hosts = names.iter().map(|name| Host::new(name)).collect();
        let net = Net::new(names, seed, latency_max);
        Self { hosts, net, now: Duration::ZERO, tick, dice: Dice::new(seed ^ 0x0057_0712) }
    }

    /// The network, to make sockets and to break links.
    pub(super) fn net(&self) -> &Net {
        &self.net
    }

    /// What a host runs each time that it starts. It starts now.
    pub(super) fn install<F>(&mut self, host: HostId, software: impl Fn() -> F + 'static)
    where
        F: Future<Output = Ended> + Send + 'static,
    {
        self.hosts[host].install(Box::new(move || Box::pin(software())));
        self.start(host);
    }

    /// How much time has passed.
    pub(super) fn elapsed(&self) -> Duration {
        self.now
    }

    /// One step of time for everybody. An error of a host's software ends the run.
    pub(super) fn step(&mut self) -> Ended {
        time::set(self.now);
        self.net.deliver(self.now);
        let mut order: Vec<HostId> = (0..self.hosts.len()).collect();
        for place in (1..order.len()).rev() {
            order.swap(place, self.dice.below(place as u64 + 1) as usize);
        }
        for host in order {
            self.hosts[host].run(self.now, self.tick)?;
        }
        self.now += self.tick;
        time::set(self.now);
        Ok(())
    }

    /// Whether a host's software ended by itself, without an error.
    pub(super) fn has_ended(&self, host: HostId) -> bool {
        !self.hosts[host].is_up()
    }

    /// The host goes down, and all of its tasks with it.
    pub(super) fn crash(&mut self, host: HostId, fall: Fall) {
        if fall == Fall::Power {
            self.net.set_dark(host, true);
        }
        self.hosts[host].stop();
    }

    /// The host starts, if it is not up.
    pub(super) fn start(&mut self, host: HostId) {
        self.net.set_dark(host, false);
        self.hosts[host].start();
    }

    /// The host stands still, or goes on.
    pub(super) fn freeze(&mut self, host: HostId, frozen: bool) {
        self.hosts[host].freeze(frozen);
    }

    /// Whether the host stands still.
    pub(super) fn is_frozen(&self, host: HostId) -> bool {
        self.hosts[host].is_frozen()
    }

    /// By how much the host's monotonic clock is too fast, in millionths; negative when it is slow.
    pub(super) fn set_clock_rate(&mut self, host: HostId, ahead_ppm: i64) {
        self.hosts[host].set_clock_rate(ahead_ppm);
    }
}
