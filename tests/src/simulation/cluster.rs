//! The hosts, each running the shipped broker over a disk in memory that outlives its crashes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use weir_broker::{Broker, Level, Limits, Node, NodeOptions, Timings};
use weir_metadata::Addresses;
use weir_runtime::{Network, Random, Runtime, SeededRandom, Threads};
use weir_storage::{Backup, MemoryDisk, Store, WriterMode};

use super::clock::SimulatedClock;
use super::disk::{self, Pace};
use super::network::{Cuts, SimulatedNetwork};
use super::operator::Operator;
use super::options::Options;
use super::remote::SimulatedRemote;
use super::world::{Ended, Fall, Net, World};
use super::{door, trace::Trace};

/// Where nodes listen, each on its own host.
pub(super) const PEER_PORT: u16 = 7001;
const CLIENT_PORT: u16 = 7002;
const HTTP_PORT: u16 = 7003;

/// What nodes keep of a log in bytes, per entry that they keep: about what an entry of a run takes. So where few are kept, the
/// logs of queues become sparse, and are written anew.
const LOG_BYTES_PER_ENTRY: u64 = 200;

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
    /// Until when an operator is at work, if there is one.
    operated: Option<Duration>,
    network: SimulatedNetwork,
    trace: Trace,
    life: Arc<Mutex<Life>>,
}

/// How a node stands.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
struct Life {
    broker: Option<Broker>,
    /// Its disk failed, and so it stopped by itself.
    stopped: bool,
    /// Its disk was told to fail.
    may_stop: bool,
    /// It stopped because its disk failed.
    has_stopped: bool,
    /// Its disk lost synced writes, and it has not started since.
    must_notice: bool,
}

impl Cluster {
    /// Registers the hosts; they start with the first step of the simulation.
    pub(super) fn new(world: &mut World, options: &Options, trace: &Trace) -> Self {
        let cuts = Cuts::default();
        let net = world.net().clone();
        let machine = |number| Machine::new(number, options, (&net, &cuts), trace);
        let machines: Vec<Machine> = (0..options.nodes).map(machine).collect();
        for machine in &machines {
            let machine = machine.clone();
            world.install(machine.number, move || machine.clone().run());
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

    /// Whether the node's disk failed a write and the node went on.
    pub(super) fn went_on_after_failure(&self, node: usize) -> bool {
        let machine = &self.machines[node];
        machine.disk.has_failed() && !machine.life.lock().has_stopped
    }

    /// Nodes that stopped since the last call, because their disks failed.
    pub(super) fn take_stopped(&self) -> Vec<usize> {
        let stopped = |machine: &&Machine| std::mem::take(&mut machine.life.lock().stopped);
        self.machines.iter().filter(stopped).map(|machine| machine.number).collect()
    }

    /// The node's database becomes an older one. Returns whether that lacks what was synced.
    pub(super) fn put_back(&self, node: usize, copy: &Backup) -> bool {
        let machine = &self.machines[node];
        let loses = machine.disk.restore_database(copy);
        machine.life.lock().must_notice |= loses;
        loses
    }

    /// The node goes down. Returns how many write batches are lost.
    pub(super) fn take_down(&self, world: &mut World, node: usize, down: Down) -> usize {
        let machine = &self.machines[node];
        world.crash(node, if down == Down::PowerCut { Fall::Power } else { Fall::Process });
        let must_notice = machine.life.lock().must_notice;
        *machine.life.lock() = Life { must_notice, ..Life::default() };
        let mut below = |bound: u64| machine.random.next_u64() % bound;
        match down {
            Down::Kill => {
                machine.disk.crash_keeping(usize::MAX);
                0
            }
            Down::PowerCut => machine.disk.crash_drawing(&mut below),
            Down::Rot(most) => {
                let lost = machine.disk.crash_losing(most);
                machine.life.lock().must_notice |= lost > 0;
                lost
            }
            Down::Wipe => {
                machine.life.lock().must_notice = false;
                machine.disk.wipe();
                0
            }
        }
    }
}

impl Machine {
    fn new(number: usize, options: &Options, (net, cuts): (&Net, &Cuts), trace: &Trace) -> Self {
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
            operated: options.elastic.then_some(options.load),
            limits: Limits {
                log_entries_kept: options.log_entries_kept,
                log_bytes_kept: options.log_entries_kept * LOG_BYTES_PER_ENTRY,
                ..Limits::default()
            },
            network: SimulatedNetwork { net: net.clone(), host: number, cuts: cuts.clone() },
            trace: trace.clone(),
            life: Arc::default(),
        }
    }

    /// One life of the node. It ends with a crash, with a failed disk, or with an error that fails the run.
    async fn run(self) -> Ended {
        let mut storage = weir_storage::Options::memory(self.disk.clone());
        storage.writer = WriterMode::Task(disk::slow(Arc::clone(&self.random) as _, self.pace.clone()));
        let (store, recovered) = Store::start(storage).await?;
        let must_notice = std::mem::take(&mut self.life.lock().must_notice);
        if recovered.lost_writes {
            self.trace.note(format_args!("{} sees that its disk lost writes", name(self.number)));
        } else if must_notice {
            let node = name(self.number);
            return Err(
                format!("amnesia: the disk of {node} lost synced writes, and it did not notice").into()
            );
        }
        let failed = store.on_fatal();
        tokio::select! {
            biased;
            error = failed => self.stop(&error),
            ended = self.serve(store, recovered) => ended,
        }
    }

    /// A node whose disk fails stops; whether it was to fail is the run's to know.
    fn stop(&self, error: &weir_storage::Error) -> Ended {
        self.trace.note(format_args!("{} stops: {error}", name(self.number)));
        let mut life = self.life.lock();
        life.broker = None;
        life.stopped = true;
        life.has_stopped = true;
        if life.may_stop { Ok(()) } else { Err(error.to_string().into()) }
    }

    async fn serve(&self, store: Store, recovered: weir_storage::Recovered) -> Ended {
        let network = self.network.clone();
        let options = weir_broker::Options {
            node: self.node_options(),
            peer_listen: format!("0.0.0.0:{PEER_PORT}"),
            store,
            recovered,
            timings: self.timings,
            limits: self.limits,
            remote: Arc::new(SimulatedRemote(network.clone())),
            runtime: Runtime::new(
                Arc::new(self.clock.clone()),
                Arc::clone(&self.random) as _,
                Arc::new(network.clone()),
                Threads::Tasks,
            ),
        };
        let node = match Node::new(options).await {
            Ok(node) => node,
            Err(error) => return self.failed(error.to_string()).await,
        };
        let listener = network.bind(&format!("0.0.0.0:{CLIENT_PORT}")).await?;
        tokio::spawn(door::serve(listener, Arc::clone(&node), self.replicas));
        let broker = match node.start().await {
            Ok(broker) => broker,
            Err(error) => return self.failed(error.to_string()).await,
        };
        self.life.lock().broker = Some(broker.clone());
        if let Some(until) = self.operated {
            let (random, trace) = (Arc::clone(&self.random), self.trace.clone());
            let (broker, replicas) = (broker.clone(), self.replicas);
            tokio::spawn(Operator { broker, random, trace, replicas, until }.run());
        }
        let group = broker.dead_group().await;
        self.failed(format!("group {group} could not be kept alive")).await
    }

    /// What fails together with the disk is the disk's failure: it is told of next.
    async fn failed(&self, what: String) -> Ended {
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
            recover_after: self.operated.map(|_| Duration::from_secs(3)),
            founding_level: Level::KNOWN,
        }
    }
}
