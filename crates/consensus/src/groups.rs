//! The node's registry of groups: opens and closes replicas, and runs what they share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt;
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use weir_runtime::{TaskGroup, Threads};
use weir_types::{Corrupt, GroupId, NodeId, Row};

use crate::context::Context;
use crate::handler::Inbound;
use crate::liveness::{Detector, Pulses};
use crate::raft::{AnyMachine, ConsensusRows, TypedMachine};
use crate::registry::Registry;
use crate::replica::Replica;
use crate::snapshot::SnapshotSlots;
use crate::supervisor::supervise;
use crate::transport::{Acceptor, Identity, Peers};
use crate::{Error, Group, GroupSpec, Machine, Options, PeerAddress, Seed, transfer};

/// Deaths waiting for the supervisor.
const DEATHS_MAX: usize = 1_024;
/// Leaderships handed over at once.
const HANDOVERS_MAX: usize = 32;
/// Locks that order opening, closing and destroying of one group.
const DOORS: usize = 64;

/// All groups of a node. Cheap to clone; clones are the same registry.
#[derive(Clone)]
pub struct Groups(Arc<Inner>);

struct Inner {
    context: Arc<Context>,
    registry: Arc<Registry>,
    address: String,
    dead: watch::Sender<Option<GroupId>>,
    doors: Vec<tokio::sync::Mutex<()>>,
    tasks: Mutex<TaskGroup>,
    /// The small runtime of control lanes and detector, in the real world.
    liveness: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Groups {
    /// Opens the peer port and starts the failure detector and the supervisor. No group is open yet, and no peer
    /// known.
    pub async fn start(options: Options) -> Result<Self, Error> {
        let data = Handle::current();
        let liveness = liveness_runtime(options.runtime.threads())?;
        let control = liveness.as_ref().map_or_else(|| data.clone(), |runtime| runtime.handle().clone());
        let us = Identity { cluster: options.cluster, node: options.node, incarnation: options.incarnation };
        let pulses = Arc::new(Pulses::new(options.timings.suspect));
        let peers = Arc::new(Peers::new(
            us,
            (options.timings, options.limits),
            options.runtime.clone(),
            Arc::clone(&pulses),
            (control.clone(), data.clone()),
        ));
        let (deaths, deaths_queue) = mpsc::channel(DEATHS_MAX);
        let dead = watch::Sender::new(None);
        let registry = Arc::new(Registry::default());
        let context = Arc::new(Context {
            node: options.node,
            timings: options.timings,
            limits: options.limits,
            runtime: options.runtime.clone(),
            store: options.store,
            peers: Arc::clone(&peers),
            pulses,
            slots: Arc::new(SnapshotSlots::new(&options.limits)),
            data: data.clone(),
            dead: deaths,
            may_rest: AtomicBool::new(false),
        });
        // Bound where it is served: a socket belongs to the reactor of the runtime that opened it.
        let listen = options.listen.clone();
        let bound = control.spawn(options.runtime.network().bind(&listen)).await;
        let refused = |source| Error::Listen { address: listen.clone(), source };
        let listener = bound.map_err(|error| refused(std::io::Error::other(error)))?.map_err(refused)?;
        let address = listener.local_address().map_err(refused)?;
        let handler = Arc::new(Inbound { context: Arc::clone(&context), registry: Arc::clone(&registry) });
        let acceptor = Arc::new(Acceptor { us, peers, handler, data });
        let mut tasks = TaskGroup::new();
        tasks.spawn(supervise(Arc::clone(&registry), deaths_queue, dead.clone()));
        {
            let _there = control.enter();
            tasks.spawn(acceptor.run(listener));
            tasks.spawn(Detector::new(Arc::clone(&context), Arc::clone(&registry)).run());
        }
        Ok(Self(Arc::new(Inner {
            context,
            registry,
            address,
            dead,
            doors: (0..DOORS).map(|_| tokio::sync::Mutex::new(())).collect(),
            tasks: Mutex::new(tasks),
            liveness: Mutex::new(liveness),
        })))
    }

    /// The address that peers reach this node at, with the port that was chosen.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// Replaces the address book. This node's own entry is ignored.
    pub fn set_peers(&self, peers: BTreeMap<NodeId, PeerAddress>) {
        self.0.context.peers.set(peers);
    }

    /// Groups where nothing happens fall quiet from here on: every peer's build understands the rolls that then stand for
    /// their heartbeats. One that does not would close the connection at the first.
    pub fn let_rest(&self) {
        self.0.context.may_rest.store(true, Ordering::Relaxed);
    }

    /// Whether a peer has given a sign of life within the suspect timeout.
    pub fn hears(&self, node: NodeId) -> bool {
        node == self.0.context.node || self.0.context.pulses.hears(node)
    }

    /// Opens this node's replica of a group: makes its machine from the stored rows and joins the group. `make`
    /// is kept, for rebuilding after a crash of the core and for installing snapshots. Opening what is open
    /// already gives the same group again.
    pub async fn open<M: Machine>(
        &self,
        spec: GroupSpec,
        make: impl Fn(Vec<Row>) -> Result<M, Corrupt> + Send + Sync + 'static,
    ) -> Result<Group<M>, Error> {
        let _door = self.door(spec.group).lock().await;
        if let Some(open) = self.0.registry.get(spec.group) {
            return Group::of(open, spec);
        }
        let opened = self.open_stored(spec, make).await;
        if let Err(error) = opened.as_ref().map(drop)
            && error.is_damage()
        {
            let group = spec.group;
            tracing::error!(%group, %error, "the data of a replica are damaged: the node must stop");
            self.0.dead.send_replace(Some(group));
        }
        opened
    }

    async fn open_stored<M: Machine>(
        &self,
        spec: GroupSpec,
        make: impl Fn(Vec<Row>) -> Result<M, Corrupt> + Send + Sync + 'static,
    ) -> Result<Group<M>, Error> {
        let store = self.0.context.store.group(spec.group, spec.class);
        let rows = store.rows().await?;
        let (stored, rows) = ConsensusRows::split(rows).map_err(|error| Corrupt(error.to_string()))?;
        let machine = TypedMachine::new(make(rows)?, Box::new(make));
        let machine: Arc<dyn AnyMachine> = Arc::new(machine);
        let replica = Replica::start(Arc::clone(&self.0.context), spec, machine, stored).await?;
        self.0.registry.insert(Arc::clone(&replica));
        Group::of(replica, spec)
    }

    /// Begins to put a group's [`Image`](crate::Image) in place of nothing: the first replica of a group that goes on from
    /// there. The replica must not be open; open it once it is seeded.
    pub async fn seed(&self, spec: GroupSpec) -> Result<Seed, Error> {
        self.check_closed(spec)?;
        Seed::begin(self.clone(), spec, self.0.context.store.group(spec.group, spec.class)).await
    }

    /// Installs what was seeded, while nobody opens the group.
    pub(crate) async fn install<T>(
        &self,
        spec: GroupSpec,
        install: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let _door = self.door(spec.group).lock().await;
        self.check_closed(spec)?;
        install.await
    }

    fn check_closed(&self, spec: GroupSpec) -> Result<(), Error> {
        match self.0.registry.get(spec.group) {
            Some(_) => Err(Error::AlreadyOpen { group: spec.group }),
            None => Ok(()),
        }
    }

    /// Stops this node's replica of a group and keeps its data.
    pub async fn close(&self, group: GroupId) {
        let _door = self.door(group).lock().await;
        if let Some(replica) = self.0.registry.remove(group) {
            replica.close().await;
        }
    }

    /// Stops this node's replica of a group and deletes its data.
    pub async fn destroy(&self, spec: GroupSpec) -> Result<(), Error> {
        let _door = self.door(spec.group).lock().await;
        if let Some(replica) = self.0.registry.remove(spec.group) {
            replica.close().await;
        }
        self.0.context.store.group(spec.group, spec.class).destroy().await?;
        Ok(())
    }

    /// Names a group that could not be rebuilt after its core died again and again, or opened because its data are damaged:
    /// the node must stop.
    pub fn dead(&self) -> watch::Receiver<Option<GroupId>> {
        self.0.dead.subscribe()
    }

    /// Hands every leadership to another voter that takes it, trying one after the other until `patience` is over:
    /// the first step of stopping a node.
    pub async fn hand_over(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let handing = self.0.registry.all().into_iter().map(|replica| transfer::hand_over(replica, deadline));
        futures::stream::iter(handing).buffer_unordered(HANDOVERS_MAX).collect::<Vec<()>>().await;
    }

    /// Closes every group, the connections and the port.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.0.tasks.lock());
        tasks.abort().await;
        for replica in self.0.registry.all() {
            self.close(replica.spec.group).await;
        }
        self.0.context.peers.close();
        if let Some(runtime) = self.0.liveness.lock().take() {
            runtime.shutdown_background();
        }
    }

    fn door(&self, group: GroupId) -> &tokio::sync::Mutex<()> {
        &self.0.doors[group.0 as usize % DOORS]
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // A runtime must not be dropped on an async worker in the ordinary way: that would block it.
        if let Some(runtime) = self.liveness.lock().take() {
            runtime.shutdown_background();
        }
    }
}

fn liveness_runtime(threads: Threads) -> Result<Option<tokio::runtime::Runtime>, Error> {
    if threads == Threads::Tasks {
        return Ok(None);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(1)
        .thread_name("weir-liveness")
        .enable_all()
        .build()
        .map_err(|error| Error::Unfinished { reason: format!("no thread for liveness: {error}") })?;
    Ok(Some(runtime))
}
