//! The link emulator: one thread that reads the packets of all hosts and writes each to the one it is for, as the link's
//! rule wants.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng as _};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::error::{Result, Tried as _};
use super::links::{Link, Links, Rule};
use super::packet;

/// Packets that are taken from one host before the next has its turn.
const BURST: usize = 64;
/// Packets under way at most; more are lost, as in any router.
const UNDER_WAY_MAX: usize = 65_536;
/// A link with a limit queues so much at most.
const BACKLOG_MAX: Duration = Duration::from_millis(500);
/// How late a packet is that is to be overtaken.
const OVERTAKEN_BY: Duration = Duration::from_millis(15);
/// How long it takes at most until the thread sees that it is to end.
const IDLE: Duration = Duration::from_millis(100);

/// How many packets there were.
#[derive(Debug, Default)]
pub struct Counts {
    /// Brought to where they went.
    pub carried: AtomicU64,
    /// Not brought.
    pub lost: AtomicU64,
    /// Resets that were made up.
    pub resets: AtomicU64,
}

/// A running emulator. Ends when it is dropped.
pub(crate) struct Switch {
    counts: Arc<Counts>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Switch {
    /// Starts one between hosts, each with its address and what carries its packets.
    pub(crate) fn start(hosts: Vec<(Ipv4Addr, OwnedFd)>, links: Arc<Links>, seed: u64) -> Result<Self> {
        let (counts, stop) = (Arc::<Counts>::default(), Arc::<AtomicBool>::default());
        let (ports, addresses): (Vec<OwnedFd>, _) = {
            let places = hosts.iter().enumerate().map(|(place, (address, _))| (*address, place)).collect();
            (hosts.into_iter().map(|(_, port)| port).collect(), places)
        };
        let mut emulator = Emulator {
            ports,
            addresses,
            links,
            version: u64::MAX,
            rules: BTreeMap::new(),
            states: BTreeMap::new(),
            under_way: BinaryHeap::new(),
            sequence: 0,
            random: SmallRng::seed_from_u64(seed),
            counts: Arc::clone(&counts),
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("link-emulator".to_owned());
        let thread = thread.spawn(move || emulator.run(&stopped)).tried(|| "a thread".to_owned())?;
        Ok(Self { counts, stop, thread: Some(thread) })
    }

    /// How many packets there were so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What a link remembers of the packets before.
#[derive(Clone, Copy)]
struct LinkState {
    /// Until when its limit is used up.
    busy_until: Instant,
    /// When the last packet arrives.
    last_arrival: Instant,
}

/// A packet under way: when it arrives, its turn among those of the same moment, where, and its bytes.
type Parcel = Reverse<(Instant, u64, usize, Vec<u8>)>;

struct Emulator {
    ports: Vec<OwnedFd>,
    addresses: BTreeMap<Ipv4Addr, usize>,
    links: Arc<Links>,
    version: u64,
    rules: BTreeMap<Link, Rule>,
    states: BTreeMap<Link, LinkState>,
    under_way: BinaryHeap<Parcel>,
    sequence: u64,
    random: SmallRng,
    counts: Arc<Counts>,
}

impl Emulator {
    fn run(&mut self, stop: &AtomicBool) {
        let mut buffer = vec![0; 65_536];
        while !stop.load(Ordering::Acquire) {
            self.deliver_due();
            let ready = self.wait();
            if self.links.version() != self.version {
                self.version = self.links.version();
                self.rules = self.links.effective();
            }
            for from in ready {
                self.take_from(from, &mut buffer);
            }
        }
    }

    fn wait(&self) -> Vec<usize> {
        let next =
            self.under_way.peek().map(|Reverse((at, ..))| at.saturating_duration_since(Instant::now()));
        let bound =
            Timespec::try_from(next.unwrap_or(IDLE).min(IDLE)).expect("a tenth of a second is in range");
        let mut polled: Vec<PollFd<'_>> =
            self.ports.iter().map(|port| PollFd::new(port, PollFlags::IN)).collect();
        // An interrupted wait is one without an event.
        if poll(&mut polled, Some(&bound)).is_err() {
            return Vec::new();
        }
        let ready = |(_, fd): &(usize, &PollFd<'_>)| fd.revents().contains(PollFlags::IN);
        polled.iter().enumerate().filter(ready).map(|(place, _)| place).collect()
    }

    fn take_from(&mut self, from: usize, buffer: &mut [u8]) {
        for _ in 0..BURST {
            let Ok(size) = rustix::io::read(&self.ports[from], &mut *buffer) else { return };
            let packet = &buffer[..size];
            let Some(to) = packet::destination(packet).and_then(|address| self.addresses.get(&address))
            else {
                continue;
            };
            self.pass((from, *to), packet);
        }
    }

    fn pass(&mut self, link: Link, packet: &[u8]) {
        let Some(rule) = self.rules.get(&link).copied() else {
            self.deliver(link.1, packet);
            return;
        };
        if rule.blocked || self.chance(rule.loss) {
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if rule.reset
            && let Some([forward, back]) = packet::resets(packet)
        {
            self.counts.resets.fetch_add(1, Ordering::Relaxed);
            self.deliver(link.1, &forward);
            self.deliver(link.0, &back);
            return;
        }
        let copies = if self.chance(rule.duplicate) { 2 } else { 1 };
        for _ in 0..copies {
            self.send(link, &rule, packet);
        }
    }

    /// Puts a packet under way, or brings it at once where the rule asks for no time.
    fn send(&mut self, link: Link, rule: &Rule, packet: &[u8]) {
        let now = Instant::now();
        let state = self.states.entry(link).or_insert(LinkState { busy_until: now, last_arrival: now });
        let mut leaves = now;
        if let Some(takes_ns) = (packet.len() as u64 * 1_000_000_000).checked_div(rule.bandwidth) {
            leaves = state.busy_until.max(now);
            if leaves - now > BACKLOG_MAX || self.under_way.len() >= UNDER_WAY_MAX {
                self.counts.lost.fetch_add(1, Ordering::Relaxed);
                return;
            }
            leaves += Duration::from_nanos(takes_ns);
            state.busy_until = leaves;
        }
        let mut arrives = leaves + rule.delay + rule.jitter.mul_f64(self.random.random::<f64>());
        if rule.reorder > 0.0 && self.random.random::<f64>() < rule.reorder {
            arrives += OVERTAKEN_BY;
        } else {
            arrives = arrives.max(state.last_arrival);
            state.last_arrival = arrives;
        }
        if arrives <= now {
            self.deliver(link.1, packet);
        } else if self.under_way.len() < UNDER_WAY_MAX {
            self.sequence += 1;
            self.under_way.push(Reverse((arrives, self.sequence, link.1, packet.to_vec())));
        }
    }

    fn deliver_due(&mut self) {
        let now = Instant::now();
        while self.under_way.peek().is_some_and(|Reverse((at, ..))| *at <= now) {
            if let Some(Reverse((_, _, to, packet))) = self.under_way.pop() {
                self.deliver(to, &packet);
            }
        }
    }

    /// A host that takes no more loses packets, like any other.
    fn deliver(&self, to: usize, packet: &[u8]) {
        let count = match rustix::io::write(&self.ports[to], packet) {
            Ok(_) => &self.counts.carried,
            Err(_) => &self.counts.lost,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.random.random::<f64>() < share
    }
}
