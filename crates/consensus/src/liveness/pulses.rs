//! When each peer was last heard on its control lane, and what its wall clock said.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use weir_types::{NodeId, WallClock};

use crate::transport::LaneKind;

/// The pulse of every peer.
pub(crate) struct Pulses {
    suspect: Duration,
    peers: Mutex<BTreeMap<NodeId, Pulse>>,
    /// Rung when a control connection breaks: no need to wait for silence.
    pub(crate) alarm: Notify,
}

struct Pulse {
    heard: Option<Instant>,
    /// The last sign of life, whatever broke since; none once the silence after it was told.
    contact: Option<Instant>,
    /// Its wall clock, and when it said so.
    told: Option<(WallClock, Instant)>,
    /// Raised once per spell of silence; the peer's connections are then dropped.
    silences: watch::Sender<u64>,
}

/// Silence, in multiples of the suspect timeout, after which connections are given up and made anew: after a
/// partition heals, a fresh connection works at once, while TCP's own retries may be seconds away.
const SILENCE_SUSPECTS: u32 = 3;

impl Pulses {
    pub(crate) fn new(suspect: Duration) -> Self {
        Self { suspect, peers: Mutex::default(), alarm: Notify::new() }
    }

    pub(crate) fn add(&self, node: NodeId) {
        self.peers.lock().entry(node).or_insert_with(Pulse::new);
    }

    pub(crate) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        self.peers.lock().retain(|node, _| keep(*node));
    }

    /// Something came from `node`.
    pub(crate) fn heard(&self, node: NodeId) {
        // A node that is not in the address book yet is nobody's leader as far as we know.
        if let Some(pulse) = self.peers.lock().get_mut(&node) {
            pulse.heard = Some(Instant::now());
            pulse.contact = pulse.heard;
        }
    }

    /// `node` says what its wall clock shows.
    pub(crate) fn told_time(&self, node: NodeId, wall: WallClock) {
        if let Some(pulse) = self.peers.lock().get_mut(&node) {
            pulse.told = Some((wall, Instant::now()));
        }
    }

    /// What the wall clock of `node` shows now: what it last said, carried on by our monotonic clock. So a jump of
    /// our own wall clock moves nothing here.
    pub(crate) fn wall_of(&self, node: NodeId) -> Option<WallClock> {
        let (wall, at) = self.peers.lock().get(&node)?.told?;
        Some(wall + at.elapsed().as_millis() as u64)
    }

    /// A connection to or from `node` broke.
    pub(crate) fn cut(&self, node: NodeId, kind: LaneKind) {
        if kind != LaneKind::Control {
            return;
        }
        if let Some(pulse) = self.peers.lock().get_mut(&node) {
            pulse.heard = None;
        }
        self.alarm.notify_one();
    }

    /// Whether `node` gave a sign of life within the suspect timeout.
    pub(crate) fn hears(&self, node: NodeId) -> bool {
        let heard = self.peers.lock().get(&node).and_then(|pulse| pulse.heard);
        heard.is_some_and(|heard| heard.elapsed() < self.suspect)
    }

    /// The peers that are heard now.
    pub(crate) fn heard_now(&self) -> Vec<NodeId> {
        let peers = self.peers.lock();
        let heard = |pulse: &Pulse| pulse.heard.is_some_and(|heard| heard.elapsed() < self.suspect);
        peers.iter().filter(|(_, pulse)| heard(pulse)).map(|(node, _)| *node).collect()
    }

    /// Drops the connections of peers that have been silent for long.
    pub(crate) fn drop_silent(&self) {
        for pulse in self.peers.lock().values_mut() {
            if pulse.contact.is_some_and(|last| last.elapsed() >= self.suspect * SILENCE_SUSPECTS) {
                pulse.heard = None;
                pulse.contact = None;
                pulse.silences.send_modify(|count| *count += 1);
            }
        }
    }

    /// Resolves when `node` falls silent for long.
    pub(crate) fn silence(&self, node: NodeId) -> impl Future<Output = ()> + use<> {
        let mut silences = self.peers.lock().entry(node).or_insert_with(Pulse::new).silences.subscribe();
        async move {
            // A peer that left the address book has its lanes dropped anyway.
            let _ = silences.changed().await;
        }
    }
}

impl Pulse {
    fn new() -> Self {
        Self { heard: None, contact: None, told: None, silences: watch::Sender::new(0) }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn a_node_that_was_cut_off_and_does_not_come_back_is_told_silent_once() {
        let pulses = Pulses::new(Duration::ZERO);
        let node = NodeId(2);
        pulses.add(node);
        pulses.heard(node);
        let silence = pulses.silence(node);
        // Its control connection broke; a snapshot's may still seem to stand.
        pulses.cut(node, LaneKind::Control);
        pulses.drop_silent();
        assert!(silence.now_or_never().is_some());
        let again = pulses.silence(node);
        pulses.drop_silent();
        assert!(again.now_or_never().is_none(), "nothing came from it in between");
    }
}
