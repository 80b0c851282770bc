//! Three hosts, each running the shipped broker over a disk in memory that outlives its crashes.

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
use super::network::SimulatedNetwork;
use super::options::Options;
use super::remote::SimulatedRemote;
use super::{disk, door};

/// How many nodes there are.
pub(super) const NODES: usize = 3;
/// The name of each node.
pub(super) const NAMES: [&str; NODES] = ["n1", "n2", "n3"];
/// Where nodes listen, each on its own host.
const PEER_PORT: u16 = 7001;
const CLIENT_PORT: u16 = 7002;
const HTTP_PORT: u16 = 7003;

/// The address of a node's client port.
pub(super) fn client_address(node: usize) -> String {
    format!("{}:{CLIENT_PORT}", NAMES[node])
}

/// The nodes.
pub(super) struct Cluster {
    machines: Vec<Machine>,
}

/// What stays of a node over its crashes, and its broker while it runs.
#[derive(Clone)]
struct Machine {
    number: usize,
    disk: MemoryDisk,
    random: Arc<SeededRandom>,
    clock: SimulatedClock,
    sync_ms_max: u64,
    limits: Limits,
    broker: Arc<Mutex<Option<Broker>>>,
}

impl Cluster {
    /// Registers the hosts; they start with the first step of the simulation.
    pub(super) fn new(sim: &mut Sim<'_>, options: &Options) -> Self {
        let machines: Vec<Machine> = (0..NODES).map(|number| Machine::new(number, options)).collect();
        for machine in &machines {
            let machine = machine.clone();
            sim.host(NAMES[machine.number], move || machine.clone().run());
        }
        Self { machines }
    }

    /// The node's broker, once it has its place and until it crashes.
    pub(super) fn broker(&self, node: usize) -> Option<Broker> {
        self.machines[node].broker.lock().clone()
    }

    /// The node loses its power: of the writes that were not synced, a drawn number happens to survive.
    pub(super) fn crash(&self, sim: &mut Sim<'_>, node: usize) -> usize {
        let machine = &self.machines[node];
        sim.crash(NAMES[node]);
        machine.broker.lock().take();
        let unsynced = machine.disk.unsynced_batches();
        let kept = (machine.random.next_u64() % (unsynced as u64 + 1)) as usize;
        machine.disk.crash_keeping(kept);
        unsynced - kept
    }
}

impl Machine {
    fn new(number: usize, options: &Options) -> Self {
        let seed = options.seed.rotate_left(16) ^ (number as u64 + 1);
        Self {
            number,
            disk: MemoryDisk::new(),
            random: Arc::new(SeededRandom::new(seed)),
            clock: SimulatedClock { ahead: Duration::from_millis(options.wall_ahead_ms[number]) },
            sync_ms_max: options.sync_ms_max,
            limits: Limits { log_entries_kept: options.log_entries_kept, ..Limits::default() },
            broker: Arc::default(),
        }
    }

    /// One life of the node. It ends with a crash, or with an error that fails the run.
    async fn run(self) -> turmoil::Result {
        let mut storage = weir_storage::Options::memory(self.disk.clone());
        storage.writer = WriterMode::Task(disk::slow(Arc::clone(&self.random) as _, self.sync_ms_max));
        let (store, recovered) = Store::start(storage).await?;
        let failed = store.on_fatal();
        let node = Node::new(weir_broker::Options {
            node: self.node_options(),
            peer_listen: format!("0.0.0.0:{PEER_PORT}"),
            store,
            recovered,
            timings: Timings::default(),
            limits: self.limits,
            remote: Arc::new(SimulatedRemote),
            runtime: Runtime::new(
                Arc::new(self.clock),
                Arc::clone(&self.random) as _,
                Arc::new(SimulatedNetwork),
                Threads::Tasks,
            ),
        })
        .await?;
        let listener = SimulatedNetwork.bind(&format!("0.0.0.0:{CLIENT_PORT}")).await?;
        tokio::spawn(door::serve(listener, Arc::clone(&node)));
        let broker = node.start().await?;
        *self.broker.lock() = Some(broker.clone());
        tokio::select! {
            biased;
            error = failed => Err(error.into()),
            group = broker.dead_group() => Err(format!("group {group} could not be kept alive").into()),
        }
    }

    fn node_options(&self) -> NodeOptions {
        let name = NAMES[self.number];
        NodeOptions {
            name: name.to_owned(),
            addresses: Addresses {
                peer: format!("{name}:{PEER_PORT}"),
                client: client_address(self.number),
                // Nobody listens there, but a node without one is refused.
                http: format!("{name}:{HTTP_PORT}"),
            },
            rack: None,
            seeds: (0..NODES).map(client_address).collect::<BTreeSet<_>>(),
            bootstrap_expect: NODES as u32,
        }
    }
}
