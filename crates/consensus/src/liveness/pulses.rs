//! The signs of life of all peers, and what their wall clocks said.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use weir_types::{NodeId, WallClock};

use super::signs::{Signs, Way};
use super::told::{Reading, Told};
use crate::transport::LaneKind;

/// The pulse of every peer.
pub(crate) struct Pulses {
    suspect: Duration,
    peers: Mutex<BTreeMap<NodeId, Pulse>>,
    /// This node's own wall clock.
    own: Mutex<Option<Told>>,
    /// Rung when a connection breaks: no need to wait for silence.
    pub(crate) alarm: Notify,
    /// Rung when a replica misses its leader.
    pub(crate) doubt: Notify,
}

/// A peer that is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Heard {
    node: NodeId,
    mute_in: bool,
    mute_out: bool,
}

struct Pulse {
    signs: Signs,
    /// What its wall clock showed.
    told: Option<Told>,
    /// When the last roll was called that it answered.
    rolled: Option<Instant>,
    /// Raised once per spell of silence of the control lanes, which are then dropped.
    control_silences: watch::Sender<u64>,
    /// Raised once per spell in which the data lane that we dialed is mute; it is then dropped.
    data_silences: watch::Sender<u64>,
    /// Raised once per spell of silence of the whole node; all its connections are then dropped.
    silences: watch::Sender<u64>,
}

impl Pulses {
    pub(crate) fn new(suspect: Duration) -> Self {
        Self {
            suspect,
            peers: Mutex::default(),
            own: Mutex::default(),
            alarm: Notify::new(),
            doubt: Notify::new(),
        }
    }

    pub(crate) fn add(&self, node: NodeId) {
        self.peers.lock().entry(node).or_insert_with(|| Pulse::new(self.suspect));
    }

    pub(crate) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        self.peers.lock().retain(|node, _| keep(*node));
    }

    /// Something came from `node`.
    pub(crate) fn heard(&self, node: NodeId, way: Way) {
        // A node that is not in the address book yet is nobody's leader as far as we know.
        self.with(node, |pulse| pulse.signs.note(way, Instant::now()));
    }

    /// What `node` sends on its data lane has to wait for us.
    pub(crate) fn held(&self, node: NodeId) {
        self.with(node, |pulse| pulse.signs.note_held(Instant::now()));
    }

    /// `node` says what its wall clock shows.
    pub(crate) fn told_time(&self, node: NodeId, wall: WallClock) {
        self.with(node, |pulse| tell(&mut pulse.told, wall));
    }

    /// `node` answered the roll that was called at that moment.
    pub(crate) fn note_rolled(&self, node: NodeId, sent: Instant) {
        self.with(node, |pulse| pulse.rolled = pulse.rolled.max(Some(sent)));
    }

    /// When the last roll was called that `node` answered.
    pub(crate) fn rolled(&self, node: NodeId) -> Option<Instant> {
        self.with(node, |pulse| pulse.rolled)?
    }

    /// What the wall clock of `node` shows now. A jump of our own wall clock moves nothing here.
    pub(crate) fn wall_of(&self, node: NodeId) -> Option<Reading> {
        self.with(node, |pulse| Some(pulse.told.as_ref()?.reading(Instant::now())))?
    }

    /// Our own wall clock shows this: said with every ping, so that its readings are as many as those of the others, and
    /// whenever it is asked for.
    pub(crate) fn own_time(&self, wall: WallClock) -> Reading {
        tell(&mut self.own.lock(), wall)
    }

    /// A connection to or from `node` broke.
    pub(crate) fn cut(&self, node: NodeId, kind: LaneKind) {
        self.with(node, |pulse| match kind {
            LaneKind::Control => pulse.signs.cut_control(),
            LaneKind::Data => pulse.signs.cut_data(),
            LaneKind::Snapshot => {}
        });
        self.alarm.notify_one();
    }

    /// Whether `node` gave a sign of life within the suspect timeout.
    pub(crate) fn hears(&self, node: NodeId) -> bool {
        self.with(node, |pulse| pulse.signs.hears(Instant::now())).unwrap_or(false)
    }

    /// Whether `node` is heard, but only on its data lanes.
    pub(crate) fn hears_data_only(&self, node: NodeId) -> bool {
        let now = Instant::now();
        self.with(node, |pulse| pulse.signs.hears_data(now) && !pulse.signs.hears_control(now))
            .unwrap_or(false)
    }

    /// Whether a data lane carries nothing for long although `node` is heard on its control lane.
    pub(crate) fn is_mute(&self, node: NodeId, way: Way) -> bool {
        self.with(node, |pulse| pulse.signs.is_mute(way, Instant::now())).unwrap_or(false)
    }

    /// The peers that are heard now, and whether their data lanes carry something.
    pub(crate) fn heard_now(&self) -> Vec<Heard> {
        let now = Instant::now();
        let peers = self.peers.lock();
        let heard = peers.iter().filter(|(_, pulse)| pulse.signs.hears(now));
        heard
            .map(|(node, pulse)| Heard {
                node: *node,
                mute_in: pulse.signs.is_mute(Way::DataIn, now),
                mute_out: pulse.signs.is_mute(Way::DataOut, now),
            })
            .collect()
    }

    /// Drops the connections that have been silent for long.
    pub(crate) fn drop_silent(&self) {
        let now = Instant::now();
        for pulse in self.peers.lock().values_mut() {
            let silence = pulse.signs.take_silence(now);
            if silence.control || silence.node {
                pulse.control_silences.send_modify(|count| *count += 1);
            }
            if silence.data || silence.node {
                pulse.data_silences.send_modify(|count| *count += 1);
            }
            if silence.node {
                pulse.silences.send_modify(|count| *count += 1);
            }
        }
    }

    /// Resolves when a connection of this kind to `node` should be dropped, as nothing comes from it.
    pub(crate) fn silence(&self, node: NodeId, kind: LaneKind) -> impl Future<Output = ()> + use<> {
        let mut peers = self.peers.lock();
        let pulse = peers.entry(node).or_insert_with(|| Pulse::new(self.suspect));
        let mut silences = match kind {
            LaneKind::Control => pulse.control_silences.subscribe(),
            LaneKind::Data => pulse.data_silences.subscribe(),
            LaneKind::Snapshot => pulse.silences.subscribe(),
        };
        async move {
            // A peer that left the address book has its lanes dropped anyway.
            let _ = silences.changed().await;
        }
    }

    fn with<T>(&self, node: NodeId, look: impl FnOnce(&mut Pulse) -> T) -> Option<T> {
        self.peers.lock().get_mut(&node).map(look)
    }
}

fn tell(told: &mut Option<Told>, wall: WallClock) -> Reading {
    let now = Instant::now();
    let told = told.get_or_insert_with(|| Told::first(now, wall));
    told.tell(now, wall);
    told.reading(now)
}

impl Pulse {
    fn new(suspect: Duration) -> Self {
        Self {
            signs: Signs::new(suspect, Instant::now()),
            told: None,
            rolled: None,
            control_silences: watch::Sender::new(0),
            data_silences: watch::Sender::new(0),
            silences: watch::Sender::new(0),
        }
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
        pulses.heard(node, Way::Control);
        let silence = pulses.silence(node, LaneKind::Snapshot);
        // Its control connection broke; a snapshot's may still seem to stand.
        pulses.cut(node, LaneKind::Control);
        pulses.drop_silent();
        assert!(silence.now_or_never().is_some());
        let again = pulses.silence(node, LaneKind::Snapshot);
        pulses.drop_silent();
        assert!(again.now_or_never().is_none(), "nothing came from it in between");
    }
}
