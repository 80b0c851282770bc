//! Faults: what kinds there are, and what makes them happen.
//!
//! A [`Step`] says what is to happen to whom; the [`Nemesis`] resolves its target on the cluster as it is, performs it on
//! a thread of its own, and tells the journal when it begins and ends. Each family of faults has a file.
//!
//! | family | kinds |
//! |---|---|
//! | `process` | kill, kill-all, snapshot, pause, rolling-restart |
//! | `network` | partition, one-way, single-link, net-chaos, reset, client-cut |
//! | `squeeze` | cpu, memory, fd-exhaustion |
//! | `clock` | clock, clock-strobe |
//! | `disk` | disk-full, eio, slow-fsync, hung-fsync, torn-write |
//! | `power` | power-cut, power-cut-all, lying-fsync |
//! | `data` | bit-rot, wipe, old-data |
//! | `cluster` | transfer, membership, moves |
//! | `splits` | splits |
//! | `garbage` | garbage |
//!
//! What may destroy data that was synced befalls the same minority of nodes for a whole run: what a majority has lost, no
//! cluster can give back.

#![expect(clippy::disallowed_types, reason = "faults last for real time")]

mod claims;
mod clock;
mod cluster;
mod data;
mod disk;
mod garbage;
mod health;
mod kind;
mod leaders;
mod network;
mod power;
mod process;
mod splits;
mod squeeze;
mod step;
mod target;
mod work;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use rand::SeedableRng as _;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom as _;
use weir_checker::Fault;

use crate::env::{Result, Site};
use claims::Claims;
use health::Sick;
use work::Work;

pub use kind::{Harm, Kind, UnknownKind};
pub use leaders::{Leaders, Led};
pub use step::{NoTarget, Step, Target};

/// How long a node with damaged data may take until it is ready or has ended.
const REFUSING: Duration = Duration::from_secs(20);

/// Where what the nemesis did is written: the fault, and why it failed if it did. Called from several threads.
pub type Journal = Arc<dyn Fn(Fault, Option<String>) + Send + Sync>;

/// Performs steps on a site.
pub struct Nemesis {
    shared: Arc<Shared>,
    working: Mutex<Vec<JoinHandle<()>>>,
}

/// What all steps under way share.
struct Shared {
    site: Arc<Site>,
    journal: Journal,
    /// Nodes that may lose synced data: a minority.
    fragile: Vec<String>,
    claims: Claims,
    sick: Sick,
    /// Nodes that have lost data since the last heal.
    damaged: Mutex<BTreeSet<String>>,
    /// Nodes that had damaged data at a heal: some of it may lie where nobody has looked yet.
    once_damaged: Mutex<BTreeSet<String>>,
    /// Set while everything is being healed: whoever rests stops resting.
    healing: Mutex<bool>,
    healed: Condvar,
    next: AtomicU64,
}

impl Nemesis {
    /// One for a site. The seed chooses the minority that may lose data.
    pub fn new(site: Arc<Site>, seed: u64, journal: Journal) -> Self {
        let founders = site.founders().len();
        let mut fragile: Vec<String> = site.founders().iter().map(|node| node.name().to_owned()).collect();
        fragile.shuffle(&mut SmallRng::seed_from_u64(seed));
        fragile.truncate((fragile.len() - 1) / 2);
        let shared = Shared {
            site,
            journal,
            fragile,
            claims: Claims::new(founders),
            sick: Sick::default(),
            damaged: Mutex::default(),
            once_damaged: Mutex::default(),
            healing: Mutex::new(false),
            healed: Condvar::new(),
            next: AtomicU64::new(1),
        };
        Self { shared: Arc::new(shared), working: Mutex::default() }
    }

    /// The nodes that may lose synced data in this run.
    pub fn fragile(&self) -> &[String] {
        &self.shared.fragile
    }

    /// Begins a step and returns at once. It ends by itself, or when everything is healed.
    pub fn perform(&self, step: Step, leaders: Leaders) {
        let shared = Arc::clone(&self.shared);
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let thread = std::thread::Builder::new().name(format!("fault-{id}"));
        let thread = thread.spawn(move || Work::new(&shared, &step, leaders, id).perform(perform));
        let mut working = self.working.lock();
        working.retain(|thread| !thread.is_finished());
        working.push(thread.expect("a thread can be started"));
    }

    /// Waits until every step that began has ended by itself.
    pub fn wait(&self) {
        let working = std::mem::take(&mut *self.working.lock());
        for thread in working {
            // A step that panicked has told its panic; the heal repairs what it left.
            let _ = thread.join();
        }
    }

    /// Ends every step, takes every fault away, starts what is down, and waits until all nodes are ready. What could not
    /// be repaired is returned in words.
    pub fn heal_all(&self) -> Vec<String> {
        *self.shared.healing.lock() = true;
        self.shared.healed.notify_all();
        self.wait();
        let damaged = self.shared.damaged.lock().clone();
        let replaced = self.shared.replace_refusing(&damaged);
        let mut problems = self.shared.site.restore();
        // A node may be ready before it reads what is damaged.
        if !problems.is_empty() && matches!(self.shared.replace_refusing(&damaged), Ok(true)) {
            problems = self.shared.site.restore();
        }
        problems.extend(replaced.err().map(|error| error.to_string()));
        self.shared.sick.clear();
        self.shared.damaged.lock().clear();
        self.shared.once_damaged.lock().extend(damaged);
        *self.shared.healing.lock() = false;
        problems
    }

    /// Starts nodes again that found damage of before a heal, and ended for it; whether there were any.
    pub fn replace_late(&self) -> Result<bool> {
        let damaged = self.shared.once_damaged.lock().clone();
        self.shared.replace_refusing(&damaged)
    }
}

impl Shared {
    fn is_healing(&self) -> bool {
        *self.healing.lock()
    }

    /// A node that found its data damaged, ended for it, and does so again, is wiped: what its operator would do. Whether
    /// one of these had ended.
    fn replace_refusing(&self, damaged: &BTreeSet<String>) -> Result<bool> {
        let ended = damaged.iter().filter_map(|name| self.site.node(name)).filter(|node| !node.is_running());
        let mut any = false;
        for node in ended {
            any = true;
            node.start()?;
            if node.ready(REFUSING, &|| false).is_err() {
                node.kill()?;
                node.wipe()?;
                node.start()?;
            }
        }
        Ok(any)
    }
}

/// Each kind to its family.
fn perform(work: &mut Work<'_>) -> Result<()> {
    if let Some(partition) = work.should_lead() {
        cluster::lead(work, &partition);
    }
    match work.kind() {
        Kind::Kill | Kind::KillAll | Kind::Snapshot => process::kill(work),
        Kind::Pause => process::pause(work),
        Kind::RollingRestart => process::rolling_restart(work),
        Kind::Partition => network::partition(work),
        Kind::OneWay => network::one_way(work),
        Kind::SingleLink => network::single_link(work),
        Kind::NetChaos => network::chaos(work),
        Kind::Reset => network::reset(work),
        Kind::ClientCut => network::client_cut(work),
        Kind::Cpu => squeeze::cpu(work),
        Kind::Memory => squeeze::memory(work),
        Kind::FdExhaustion => squeeze::files(work),
        Kind::Clock => clock::jump(work),
        Kind::ClockStrobe => clock::strobe(work),
        Kind::DiskFull => disk::full(work),
        Kind::Eio => disk::failing(work),
        Kind::SlowFsync => disk::slow(work),
        Kind::HungFsync => disk::hung(work),
        Kind::TornWrite => disk::torn(work),
        Kind::PowerCut | Kind::PowerCutAll => power::cut(work),
        Kind::LyingFsync => power::lying(work),
        Kind::BitRot => data::rot(work),
        Kind::Wipe => data::wipe(work),
        Kind::OldData => data::old(work),
        Kind::Transfer => cluster::transfer(work),
        Kind::Membership => cluster::membership(work),
        Kind::Moves => cluster::moves(work),
        Kind::Splits => splits::splits(work),
        Kind::Garbage => garbage::send(work),
    }
}
