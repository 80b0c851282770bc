//! The network: packets under way, links that carry them or do not, and sockets' buffers.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use super::link::Link;
use super::{HostId, time};
use crate::Dice;

/// Of a million attempts to send over a link that broke at random so many mend it.
const LINK_MENDS_PPM: u64 = 50_000;
/// Of the connections with packets that a cut kept back, one in so many has died of it, unnoticed by its ends.
const DEAD_ONE_IN: u64 = 4;
/// Connections that wait to be accepted.
const BACKLOG: usize = 1_024;
/// Bytes that a sender has under way to a receiver that does not read them.
const WINDOW_BYTES: usize = 1 << 20;

/// One end of a connection.
pub(super) type EndId = u64;

/// What is under way.
pub(super) struct Packet {
    from: HostId,
    to: HostId,
    sender: EndId,
    kind: PacketKind,
}

enum PacketKind {
    /// Asks for a connection to a port.
    Connect(u16),
    /// There is one: its other end.
    Accept {
        connecting: EndId,
    },
    /// Nobody listens.
    Refuse {
        connecting: EndId,
    },
    Data {
        receiver: EndId,
        bytes: Bytes,
    },
    /// Nothing more comes.
    Finish {
        receiver: EndId,
    },
    /// The connection is broken.
    Reset {
        receiver: EndId,
    },
}

impl PacketKind {
    fn receiver(&self) -> Option<EndId> {
        match self {
            Self::Connect(_) => None,
            Self::Accept { connecting: end } | Self::Refuse { connecting: end } => Some(*end),
            Self::Data { receiver, .. } | Self::Finish { receiver } | Self::Reset { receiver } => {
                Some(*receiver)
            }
        }
    }
}

/// One end of a connection, and its buffers.
#[expect(clippy::struct_excessive_bools, reason = "any of them may be true with any other")]
pub(super) struct End {
    pub(super) host: HostId,
    pub(super) peer_host: HostId,
    /// The other end, once it is known.
    pub(super) peer: Option<EndId>,
    pub(super) refused: bool,
    /// What has arrived and was not read.
    pub(super) inbox: VecDeque<Bytes>,
    /// The other end sends nothing more.
    pub(super) finished: bool,
    /// The connection is broken.
    pub(super) reset: bool,
    /// This end sends nothing more.
    pub(super) closed: bool,
    /// Bytes that this end sent and the other one has not read.
    pub(super) unread: usize,
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
    /// Nothing arrives any more, and nobody knows.
    deaf: bool,
    /// When the last packet for this end arrives: packets do not pass each other.
    arrives: Duration,
}

impl End {
    fn new(host: HostId, peer_host: HostId, peer: Option<EndId>) -> Self {
        Self {
            host,
            peer_host,
            peer,
            refused: false,
            inbox: VecDeque::new(),
            finished: false,
            reset: false,
            closed: false,
            unread: 0,
            reader: None,
            writer: None,
            deaf: false,
            arrives: Duration::ZERO,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.unread < WINDOW_BYTES
    }
}

/// Who listens on a port.
#[derive(Default)]
pub(super) struct Port {
    pub(super) queue: VecDeque<EndId>,
    pub(super) listener: Option<Waker>,
}

/// The network. Clones are the same one.
#[derive(Clone)]
pub(in super::super) struct Net(Arc<Mutex<State>>);

pub(super) struct State {
    names: Vec<String>,
    links: Vec<Link>,
    dark: BTreeSet<HostId>,
    /// How often a packet breaks its link, of a million.
    breaks_ppm: u64,
    pub(super) ports: BTreeMap<(HostId, u16), Port>,
    pub(super) ends: BTreeMap<EndId, End>,
    ends_made: EndId,
    flights: BTreeMap<(Duration, u64), Packet>,
    flights_made: u64,
    latency_max: Duration,
    dice: Dice,
    /// Tasks to wake when the lock is open again: a waker may drop what locks it.
    woken: Vec<Waker>,
}

impl Net {
    pub(super) fn new(names: &[String], seed: u64, latency_max: Duration) -> Self {
        let links = (0..names.len() * names.len()).map(|_| Link::new(latency_max)).collect();
        Self(Arc::new(Mutex::new(State {
            names: names.to_vec(),
            links,
            dark: BTreeSet::new(),
            breaks_ppm: 0,
            ports: BTreeMap::new(),
            ends: BTreeMap::new(),
            ends_made: 0,
            flights: BTreeMap::new(),
            flights_made: 0,
            latency_max,
            dice: Dice::new(seed ^ 0x6e65_7400),
            woken: Vec::new(),
        })))
    }

    /// Reads or changes the state, and wakes whom that concerns.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.0.lock();
        let result = change(&mut state);
        let woken = mem::take(&mut state.woken);
        drop(state);
        woken.into_iter().for_each(Waker::wake);
        result
    }

    /// Delivers what has arrived until now.
    pub(super) fn deliver(&self, now: Duration) {
        self.with(|state| {
            while let Some(first) = state.flights.first_entry().filter(|first| first.key().0 <= now) {
                let packet = first.remove();
                state.arrive(packet);
            }
        });
    }

    /// A host without power neither sends nor receives.
    pub(super) fn set_dark(&self, host: HostId, dark: bool) {
        self.with(|state| {
            if dark {
                state.dark.insert(host);
                (0..state.names.len()).for_each(|other| state.recall(other, host));
            } else if state.dark.remove(&host) {
                for other in 0..state.names.len() {
                    // What it had to say is gone with its power.
                    state.link(host, other).waiting.clear();
                    state.flush(other, host);
                }
            }
        });
    }

    /// Nothing gets from one host to the other.
    pub(in super::super) fn cut(&self, from: HostId, to: HostId) {
        self.with(|state| {
            state.link(from, to).cut = true;
            state.recall(from, to);
        });
    }

    /// It does again, also where the link broke at random. Some connections did not survive it.
    pub(in super::super) fn mend(&self, from: HostId, to: HostId) {
        self.with(|state| {
            let link = state.link(from, to);
            let was_cut = mem::take(&mut link.cut) | mem::take(&mut link.broken);
            if was_cut {
                state.bury(from, to);
            }
            state.flush(from, to);
        });
    }

    /// Packets are kept back, or released.
    pub(in super::super) fn hold(&self, from: HostId, to: HostId, held: bool) {
        self.with(|state| {
            state.link(from, to).held = held;
            if held {
                state.recall(from, to);
            }
            state.flush(from, to);
        });
    }

    /// Packets take at least the usual time, and up to `most`.
    pub(in super::super) fn delay(&self, from: HostId, to: HostId, most: Duration) {
        self.with(|state| state.link(from, to).latency_max = most.max(state.latency_max));
    }

    /// Of a million packets so many break their link for a while.
    pub(in super::super) fn break_links(&self, ppm: u64) {
        self.with(|state| state.breaks_ppm = ppm);
    }
}

impl State {
    fn link(&mut self, from: HostId, to: HostId) -> &mut Link {
        let hosts = self.names.len();
        &mut self.links[from * hosts + to]
    }

    /// The number of a host.
    pub(super) fn host_named(&self, name: &str) -> Option<HostId> {
        self.names.iter().position(|known| known == name)
    }

    pub(super) fn name(&self, host: HostId) -> &str {
        &self.names[host]
    }

    /// Asks for a connection.
    pub(super) fn connect(&mut self, from: HostId, to: HostId, port: u16) -> EndId {
        let sender = self.open(from, to, None);
        self.send(Packet { from, to, sender, kind: PacketKind::Connect(port) });
        sender
    }

    /// Sends bytes to the other end.
    pub(super) fn send_bytes(&mut self, end: EndId, bytes: &[u8]) {
        let Some(sending) = self.ends.get_mut(&end) else { return };
        let Some(receiver) = sending.peer else { return };
        sending.unread += bytes.len();
        let (from, to) = (sending.host, sending.peer_host);
        let bytes = Bytes::copy_from_slice(bytes);
        self.send(Packet { from, to, sender: end, kind: PacketKind::Data { receiver, bytes } });
    }

    /// Tells the other end that nothing more comes.
    pub(super) fn finish(&mut self, end: EndId) {
        let Some(sending) = self.ends.get_mut(&end) else { return };
        if mem::replace(&mut sending.closed, true) {
            return;
        }
        let (from, to, peer) = (sending.host, sending.peer_host, sending.peer);
        if let Some(receiver) = peer {
            self.send(Packet { from, to, sender: end, kind: PacketKind::Finish { receiver } });
        }
    }

    /// The end's owner is gone.
    pub(super) fn close(&mut self, end: EndId) {
        let unread = self.ends.get(&end).is_some_and(|end| !end.inbox.is_empty());
        if unread {
            // As a system does: who leaves without reading breaks the connection.
            let Some(gone) = self.ends.remove(&end) else { return };
            if let Some(receiver) = gone.peer {
                let (from, to) = (gone.host, gone.peer_host);
                self.send(Packet { from, to, sender: end, kind: PacketKind::Reset { receiver } });
            }
        } else {
            self.finish(end);
            self.ends.remove(&end);
        }
    }

    /// The owner of an end has read so many bytes.
    pub(super) fn has_read(&mut self, end: EndId, bytes: usize) {
        let peer = self.ends.get(&end).and_then(|end| end.peer);
        if let Some(peer) = peer.and_then(|peer| self.ends.get_mut(&peer)) {
            peer.unread = peer.unread.saturating_sub(bytes);
            self.woken.extend(peer.writer.take());
        }
    }

    fn open(&mut self, host: HostId, peer_host: HostId, peer: Option<EndId>) -> EndId {
        self.ends_made += 1;
        self.ends.insert(self.ends_made, End::new(host, peer_host, peer));
        self.ends_made
    }

    fn is_open(&mut self, from: HostId, to: HostId) -> bool {
        let lit = !self.dark.contains(&from) && !self.dark.contains(&to);
        lit && (from == to || self.link(from, to).is_open())
    }

    fn send(&mut self, packet: Packet) {
        if self.dark.contains(&packet.from) {
            return;
        }
        self.roll_link(packet.from, packet.to);
        if !self.is_open(packet.from, packet.to) {
            self.link(packet.from, packet.to).waiting.push_back(packet);
            return;
        }
        let most = self.link(packet.from, packet.to).latency_max.as_micros() as u64;
        let mut arrives = time::elapsed() + Duration::from_micros(self.dice.below(most + 1));
        if let Some(receiver) = packet.kind.receiver().and_then(|end| self.ends.get_mut(&end)) {
            arrives = arrives.max(receiver.arrives);
            receiver.arrives = arrives;
        }
        self.flights_made += 1;
        self.flights.insert((arrives, self.flights_made), packet);
    }

    /// A packet may break its link, or mend one that is broken.
    fn roll_link(&mut self, from: HostId, to: HostId) {
        if from == to || self.breaks_ppm == 0 {
            return;
        }
        let dice = self.dice.below(1_000_000);
        if self.link(from, to).broken {
            if dice < LINK_MENDS_PPM {
                for (from, to) in [(from, to), (to, from)] {
                    self.link(from, to).broken = false;
                    self.bury(from, to);
                    self.flush(from, to);
                }
            }
        } else if dice < self.breaks_ppm {
            for (from, to) in [(from, to), (to, from)] {
                self.link(from, to).broken = true;
                self.recall(from, to);
            }
        }
    }

    /// What is under way on a link that closes is lost, and waits to be sent again.
    fn recall(&mut self, from: HostId, to: HostId) {
        let lost = self.flights.extract_if(.., |_, packet| (packet.from, packet.to) == (from, to));
        let lost: Vec<Packet> = lost.map(|(_, packet)| packet).collect();
        self.link(from, to).waiting.extend(lost);
    }

    /// Sends again what waited, if the way is free.
    fn flush(&mut self, from: HostId, to: HostId) {
        if self.is_open(from, to) {
            let waiting = mem::take(&mut self.link(from, to).waiting);
            for packet in waiting {
                self.send(packet);
            }
        }
    }

    /// Some of the connections that have something waiting die, and nobody is told.
    fn bury(&mut self, from: HostId, to: HostId) {
        let waiting: BTreeSet<EndId> =
            self.link(from, to).waiting.iter().filter_map(|packet| packet.kind.receiver()).collect();
        for end in waiting {
            let dies = self.dice.below(DEAD_ONE_IN) == 0;
            if let Some(end) = self.ends.get_mut(&end) {
                end.deaf |= dies;
            }
        }
    }

    fn arrive(&mut self, packet: Packet) {
        let Packet { from, to, sender, kind } = packet;
        let Some(receiver) = kind.receiver() else {
            if let PacketKind::Connect(port) = kind {
                self.connection_asked(from, to, sender, port);
            }
            return;
        };
        let Some(end) = self.ends.get_mut(&receiver) else {
            if !matches!(kind, PacketKind::Reset { .. } | PacketKind::Refuse { .. }) {
                // Nobody is there any more.
                let kind = PacketKind::Reset { receiver: sender };
                self.send(Packet { from: to, to: from, sender: receiver, kind });
            }
            return;
        };
        if end.deaf {
            return;
        }
        match kind {
            PacketKind::Connect(_) => {}
            PacketKind::Accept { .. } => end.peer = Some(sender),
            PacketKind::Refuse { .. } => end.refused = true,
            PacketKind::Data { bytes, .. } => end.inbox.push_back(bytes),
            PacketKind::Finish { .. } => end.finished = true,
            PacketKind::Reset { .. } => {
                end.reset = true;
                self.woken.extend(end.writer.take());
            }
        }
        self.woken.extend(end.reader.take());
    }

    /// A system answers for its listeners, whether they look or not.
    fn connection_asked(&mut self, from: HostId, to: HostId, connecting: EndId, port: u16) {
        let room = self.ports.get(&(to, port)).is_some_and(|port| port.queue.len() < BACKLOG);
        if !room {
            self.send(Packet { from: to, to: from, sender: 0, kind: PacketKind::Refuse { connecting } });
            return;
        }
        let accepted = self.open(to, from, Some(connecting));
        if let Some(port) = self.ports.get_mut(&(to, port)) {
            port.queue.push_back(accepted);
            self.woken.extend(port.listener.take());
        }
        self.send(Packet { from: to, to: from, sender: accepted, kind: PacketKind::Accept { connecting } });
    }
}
