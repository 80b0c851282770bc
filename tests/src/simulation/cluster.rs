//! The hosts, each running the shipped broker over a disk in memory that outlives its crashes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use turmoil::Sim;
use weir_broker::{Broker, Limits, Node, NodeOptions, Timings};
use weir_metadata::Addresses;
use weir_runtime::{Network, Random, Runtime, SeededRandom, Threads};
use weir_storage::{MemoryDisk, Store, WriterMode};

use super::clock::SimulatedClock;
use super::disk::{self, Pace};
use super::network::{Cuts, SimulatedNetwork};
use super::options::Options;
use super::remote::SimulatedRemote;
use super::{door, trace::Trace};

/// Where nodes listen, each on its own host.
pub(super) const PEER_PORT: u16 = 7001;
const CLIENT_PORT: u16 = 7002;
const HTTP_PORT: u16 = 7003;

/// The host name of a node.
pub(super) fn name(node: usize) -> String {
    format!("n{}", node + 1)
}

/// The node of a host name.
pub(super) fn node_named(host: &str) -> Option<usize> {
    host.strip_prefix('n')?.parse::<usize>().ok()?.checked_sub(1)
}

/// The address of a node's client port.
pub(super) fn client_address(node: usize) -> String {
    format!("{}:{CLIENT_PORT}", name(node))
}

/// How a node goes down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Down {
    /// The process is killed: the system has all that it wrote.
    Kill,
    /// The power goes: what was not synced is lost, or not.
    PowerCut,
    /// The power goes, and a bit flips in the journal: up to so many synced batches are lost.
    Rot(usize),
    /// Its disk is replaced by an empty one.
    Wipe,
}

/// The nodes.
pub(super) struct Cluster {
    machines: Vec<Machine>,
    pub(super) cuts: Cuts,
}

/// What stays of a node over its crashes, and its broker while it runs.
#[derive(Clone)]
struct Machine {
    number: usize,
    founders: usize,
    replicas: u32,
    disk: MemoryDisk,
    random: Arc<SeededRandom>,
    clock: SimulatedClock,
    pace: Pace,
    timings: Timings,
    limits: Limits,
    cuts: Cuts,
    trace: Trace,
    life: Arc<Mutex<Life>>,
}

/// How a node stands.
#[derive(Default)]
struct Life {
    broker: Option<Broker>,
    /// Its disk failed, and so it stopped by itself.
    stopped: bool,
    /// Its disk was told to fail.
    may_stop: bool,
}

impl Cluster {
    /// Registers the hosts; they start with the first step of the simulation.
    pub(super) fn new(sim: &mut Sim<'_>, options: &Options, trace: &Trace) -> Self {
        let cuts = Cuts::default();
        let machine = |number| Machine::new(number, options, &cuts, trace);
        let machines: Vec<Machine> = (0..options.nodes).map(machine).collect();
        for machine in &machines {
            let machine = machine.clone();
            sim.host(name(machine.number), move || machine.clone().run());
        }
        Self { machines, cuts }
    }

    /// How many nodes there are.
    pub(super) fn size(&self) -> usize {
        self.machines.len()
    }

    /// The node's broker, once it has its place and until it crashes.
    pub(super) fn broker(&self, node: usize) -> Option<Broker> {
        self.machines[node].life.lock().broker.clone()
    }

    /// The node's disk.
    pub(super) fn disk(&self, node: usize) -> &MemoryDisk {
        &self.machines[node].disk
    }

    /// The node's clocks.
    pub(super) fn clock(&self, node: usize) -> &SimulatedClock {
        &self.machines[node].clock
    }

    /// How fast the node's disk is.
    pub(super) fn pace(&self, node: usize) -> &Pace {
        &self.machines[node].pace
    }

    /// The node's next write fails.
    pub(super) fn fail_disk(&self, node: usize) {
        self.machines[node].life.lock().may_stop = true;
        self.machines[node].disk.fail_next_write();
    }

    /// Nodes that stopped since the last call, because their disks failed.
    pub(super) fn take_stopped(&self) -> Vec<usize> {
        let stopped = |machine: &&Machine| std::mem::take(&mut machine.life.lock().stopped);
        self.machines.iter().filter(stopped).map(|machine| machine.number).collect()
    }

    /// The node goes down. Returns how many write batches are lost.
    pub(super) fn take_down(&self, sim: &mut Sim<'_>, node: usize, down: Down) -> usize {
        let machine = &self.machines[node];
        sim.crash(name(node));
        *machine.life.lock() = Life::default();
        let mut below = |bound: u64| machine.random.next_u64() % bound;
        match down {
            Down::Kill => {
                machine.disk.crash_keeping(usize::MAX);
                0
            }
            Down::PowerCut => machine.disk.crash_drawing(&mut below),
            Down::Rot(most) => machine.disk.crash_losing(most),
            Down::Wipe => {
                machine.disk.wipe();
                0
            }
        }
    }

    /// The node starts again, with what its disk has.
    pub(super) fn start(sim: &mut Sim<'_>, node: usize) {
        sim.bounce(name(node));
    }
}

impl Machine {
    fn new(number: usize, options: &Options, cuts: &Cuts, trace: &Trace) -> Self {
        let seed = options.seed.rotate_left(16) ^ (number as u64 + 1);
        Self {
            number,
            founders: if options.nodes >= 5 { 5 } else { 3 },
            replicas: options.replicas,
            disk: MemoryDisk::new(),
            random: Arc::new(SeededRandom::new(seed)),
            clock: SimulatedClock::ahead(Duration::from_millis(options.wall_ahead_ms[number])),
            pace: Pace::new(options.sync_ms_max, options.sync_stalls_permille),
            timings: options.timings,
            limits: Limits { log_entries_kept: options.log_entries_kept, ..Limits::default() },
            cuts: cuts.clone(),
            trace: trace.clone(),
            life: Arc::default(),
        }
    }

    /// One life of the node. It ends with a crash, with a failed disk, or with an error that fails the run.
    async fn run(self) -> turmoil::Result {
        let mut storage = weir_storage::Options::memory(self.disk.clone());
        storage.writer = WriterMode::Task(disk::slow(Arc::clone(&self.random) as _, self.pace.clone()));
        let (store, recovered) = Store::start(storage).await?;
        if recovered.lost_writes {
            self.trace.note(format_args!("{} sees that its disk lost writes", name(self.number)));
        }
        let failed = store.on_fatal();
        tokio::select! {
            biased;
            error = failed => self.stop(&error),
            ended = self.serve(store, recovered) => ended,
        }
    }

    /// A node whose disk fails stops; whether it was to fail is the run's to know.
    fn stop(&self, error: &weir_storage::Error) -> turmoil::Result {
        self.trace.note(format_args!("{} stops: {error}", name(self.number)));
        let mut life = self.life.lock();
        life.broker = None;
        life.stopped = true;
        if life.may_stop { Ok(()) } else { Err(error.to_string().into()) }
    }

    async fn serve(&self, store: Store, recovered: weir_storage::Recovered) -> turmoil::Result {
        let network = SimulatedNetwork { node: Some(self.number), cuts: self.cuts.clone() };
        let options = weir_broker::Options {
            node: self.node_options(),
            peer_listen: format!("0.0.0.0:{PEER_PORT}"),
            store,
            recovered,
            timings: self.timings,
            limits: self.limits,
            remote: Arc::new(SimulatedRemote),
            runtime: Runtime::new(
                Arc::new(self.clock.clone()),
                Arc::clone(&self.random) as _,
                Arc::new(network.clone()),
                Threads::Tasks,
            ),
        };
        let node = match Node::new(options).await {
            Ok(node) => node,
            Err(error) => return self.failed(&error).await,
        };
        let listener = network.bind(&format!("0.0.0.0:{CLIENT_PORT}")).await?;
        tokio::spawn(door::serve(listener, Arc::clone(&node), self.replicas));
        let broker = match node.start().await {
            Ok(broker) => broker,
            Err(error) => return self.failed(&error).await,
        };
        self.life.lock().broker = Some(broker.clone());
        let group = broker.dead_group().await;
        self.failed(&format_args!("group {group} could not be kept alive")).await
    }

    /// What fails together with the disk is the disk's failure: it is told of next.
    async fn failed(&self, what: &dyn std::fmt::Display) -> turmoil::Result {
        if self.life.lock().may_stop {
            std::future::pending::<()>().await;
        }
        Err(format!("{}: {what}", name(self.number)).into())
    }

    fn node_options(&self) -> NodeOptions {
        let name = name(self.number);
        NodeOptions {
            addresses: Addresses {
                peer: format!("{name}:{PEER_PORT}"),
                client: client_address(self.number),
                // Nobody listens there, but a node without one is refused.
                http: format!("{name}:{HTTP_PORT}"),
            },
            name,
            rack: None,
            seeds: (0..self.founders).map(client_address).collect::<BTreeSet<_>>(),
            bootstrap_expect: self.founders as u32,
        }
    }
}
