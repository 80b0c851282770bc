//! One direction between two hosts.

use std::collections::VecDeque;
use std::time::Duration;

use super::net::Packet;

/// What can be wrong with a direction, and what waits for it to be right again: senders send again what is not
/// acknowledged, so nothing is lost by itself.
pub(super) struct Link {
    /// Nothing gets through, and some connections do not survive that.
    pub(super) cut: bool,
    /// The same, until a packet happens to mend it.
    pub(super) broken: bool,
    /// Nothing gets through, and all of it arrives later.
    pub(super) held: bool,
    /// Longest way of a packet.
    pub(super) latency_max: Duration,
    /// What could not be delivered.
    pub(super) waiting: VecDeque<Packet>,
}

impl Link {
    pub(super) fn new(latency_max: Duration) -> Self {
        Self { cut: false, broken: false, held: false, latency_max, waiting: VecDeque::new() }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.cut && !self.broken && !self.held
    }
}
