//! A node from its first start on: blank and looking for its place, then running.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::timeout;
use tracing::info;
use weir_consensus::{GroupSpec, Groups, Limits, PeerAddress, Timings};
use weir_metadata::Registry;
use weir_runtime::{Runtime, TaskGroup};
use weir_storage::{LogClass, Recovered, Store};
use weir_types::{ClusterId, ErrorKind, GroupId, Incarnation, LogIndex, NodeId, WeirError};

use crate::amnesia;
use crate::broker::{Broker, Inner};
use crate::directory::Directory;
use crate::founding::{NodeOptions, Place, Search, hand_round, storage};
use crate::metadata_group::MetadataGroup;
use crate::partition::Partition;
use crate::reconciler;
use crate::remote::{self, Answer, Founding, Hello, Member, Remote, Request};
use crate::replica::Replica;

/// How long the founders wait for the first of them to found before another one does.
const FOUNDER_PATIENCE: Duration = Duration::from_secs(2);
/// Pause before the list of founders is handed round again to those who did not answer.
const FOUNDER_PAUSE: Duration = Duration::from_millis(300);

/// Everything that a node needs.
pub struct Options {
    /// Its name, addresses and seeds.
    pub node: NodeOptions,
    /// `host:port` to listen on for peers.
    pub peer_listen: String,
    /// The open store.
    pub store: Store,
    /// What its opening found.
    pub recovered: Recovered,
    /// Timers of consensus.
    pub timings: Timings,
    /// Bounds of consensus.
    pub limits: Limits,
    /// The way to other nodes.
    pub remote: Arc<dyn Remote>,
    /// Clocks, randomness, sockets.
    pub runtime: Runtime,
}

/// A node. It answers other nodes from the start on, and clients once it runs.
pub struct Node {
    options: Options,
    incarnation: Incarnation,
    /// Held while a place is persisted, so that there is only ever one.
    settling: tokio::sync::Mutex<()>,
    /// The node's place, once it is persisted.
    place: Mutex<Option<Place>>,
    running: watch::Sender<Option<Broker>>,
}

impl Node {
    /// A node over an open store; a blank one draws its incarnation. Durable on return.
    pub async fn new(options: Options) -> Result<Arc<Self>, WeirError> {
        let place = Place::load(&options.recovered.node_info)?;
        let incarnation = if let Some(identity) = options.recovered.identity {
            identity.incarnation
        } else {
            let incarnation = Incarnation(options.runtime.random_u64() | 1);
            let blank = weir_storage::Identity { cluster: ClusterId(0), node: NodeId(0), incarnation };
            options.store.save_identity(blank).await.map_err(storage)?;
            incarnation
        };
        Ok(Arc::new(Self {
            options,
            incarnation,
            settling: tokio::sync::Mutex::new(()),
            place: Mutex::new(place),
            running: watch::Sender::new(None),
        }))
    }

    /// The broker, once the node runs.
    pub fn broker(&self) -> Result<Broker, WeirError> {
        self.running.borrow().clone().ok_or_else(|| {
            let message = "this node has no place in a cluster yet";
            WeirError::new(ErrorKind::Retry, "cluster-forming", message).after_ms(200)
        })
    }

    /// Answers another node.
    pub async fn handle(&self, request: Bytes) -> Result<Bytes, WeirError> {
        let answer = match remote::decode(&request)? {
            Request::Hello => Answer::Hello(self.hello()),
            Request::Found(founding) => {
                self.take_place(&founding).await?;
                Answer::Done
            }
            request => self.broker()?.answer(request).await?,
        };
        Ok(remote::encode(&answer))
    }

    /// Finds the node's place and starts it there.
    pub async fn start(&self) -> Result<Broker, WeirError> {
        let known = self.place.lock().clone();
        if let Some(place) = known {
            self.search().refuse_other_cluster(&place).await?;
        }
        let place = self.find_place().await?;
        info!(cluster = %place.cluster, node = %place.node, name = self.options.node.name, "node has its place");
        let place = if self.options.recovered.lost_writes {
            amnesia::start_over(&self.options, place, self.incarnation).await?
        } else {
            place
        };
        let broker = self.run(place).await?;
        self.running.send_replace(Some(broker.clone()));
        Ok(broker)
    }

    async fn find_place(&self) -> Result<Place, WeirError> {
        let place = self.search().run(|| self.place.lock().clone()).await?;
        // A founder may have handed its list over at the last moment: what is persisted first counts.
        self.settle(place).await
    }

    /// Persists the node's place, unless it has one; the one it has.
    async fn settle(&self, place: Place) -> Result<Place, WeirError> {
        let _only_one = self.settling.lock().await;
        let settled = self.place.lock().clone();
        if let Some(settled) = settled {
            return Ok(settled);
        }
        place.store(&self.options.store, self.incarnation).await?;
        *self.place.lock() = Some(place.clone());
        Ok(place)
    }

    /// Another founder's list, handed to this node.
    async fn take_place(&self, founding: &Founding) -> Result<(), WeirError> {
        let Some(place) = Place::of_founder(founding, self.incarnation) else {
            let message = format!("incarnation {} is not among the founders", self.incarnation);
            return Err(WeirError::new(ErrorKind::Invalid, "not-a-founder", message));
        };
        let settled = self.settle(place).await?;
        if settled.cluster == founding.cluster {
            return Ok(());
        }
        let message = format!("node belongs to cluster {}, not to {}", settled.cluster, founding.cluster);
        Err(WeirError::new(ErrorKind::Invalid, "other-cluster", message))
    }

    fn search(&self) -> Search<'_> {
        Search {
            options: &self.options.node,
            incarnation: self.incarnation,
            remote: &*self.options.remote,
            runtime: &self.options.runtime,
        }
    }

    /// Names the cluster as soon as there is a place: a blank node must not count this one among the blank.
    fn hello(&self) -> Hello {
        let mut hello = self.search().hello();
        let Some(place) = self.place.lock().clone() else { return hello };
        hello.cluster = place.cluster;
        hello.members = place.members;
        if let Some(broker) = &*self.running.borrow() {
            let members: Vec<Member> = broker.registry(|registry| registry.members().map(member).collect());
            if !members.is_empty() {
                hello.members = members;
            }
        }
        hello
    }

    async fn run(&self, place: Place) -> Result<Broker, WeirError> {
        let Options { store, runtime, remote, .. } = &self.options;
        let groups = Groups::start(weir_consensus::Options {
            cluster: place.cluster,
            node: place.node,
            incarnation: self.incarnation,
            listen: self.options.peer_listen.clone(),
            timings: self.options.timings,
            limits: self.options.limits,
            runtime: runtime.clone(),
            store: store.clone(),
        })
        .await
        .map_err(consensus)?;
        groups.set_peers(place.members.iter().map(peer).collect());
        let directory = Directory::new(place.node);
        directory.replace(place.members.iter().map(|m| (m.node, m.addresses.clone())).collect());

        let applied = watch::Sender::new(LogIndex(0));
        let seen = applied.subscribe();
        let spec = GroupSpec { group: GroupId::METADATA, replica: place.replica, class: LogClass::Queue };
        let group = groups
            .open(spec, move |rows| Replica::from_rows(rows, Registry::default, applied.clone()))
            .await
            .map_err(consensus)?;
        let partition = Partition::start(group, seen, directory.clone(), runtime.clone());
        let metadata = MetadataGroup::new(partition, Arc::clone(remote), runtime.clone());
        let broker = Broker::new(Inner {
            place: place.clone(),
            founding_level: self.options.node.founding_level,
            runtime: runtime.clone(),
            store: store.clone(),
            groups,
            metadata,
            directory,
            remote: Arc::clone(remote),
            hosted: RwLock::new(BTreeMap::new()),
            routing_version: watch::Sender::new(0),
            openings: watch::Sender::default(),
            sessions: Mutex::default(),
            compactions: Semaphore::new(1),
            seeded: Notify::new(),
            tasks: Mutex::new(TaskGroup::new()),
        });
        self.found_if_founder(&broker).await?;
        reconciler::start(&broker, &self.options.node, self.incarnation);
        Ok(broker)
    }

    /// The first founder starts the metadata group; the others do if nobody leads it after a while. Until the
    /// cluster is formed, each founder keeps handing the list to those that have not got it.
    async fn found_if_founder(&self, broker: &Broker) -> Result<(), WeirError> {
        let place = broker.place().clone();
        let Some(founding) = place.founding.clone() else { return Ok(()) };
        if broker.registry(|registry| registry.cluster_id().is_some()) {
            return Ok(());
        }
        let first = founding.founders.first().is_some_and(|founder| founder.node == place.node);
        let voters: BTreeMap<_, _> =
            founding.founders.iter().map(|founder| (founder.replica, founder.node)).collect();
        broker.inner().tasks.lock().spawn(keep_handing_round(broker.clone(), founding));
        let partition = broker.metadata().partition().clone();
        if !first {
            let mut leadership = partition.leadership();
            let led = timeout(FOUNDER_PATIENCE, leadership.wait_for(|l| l.leader.is_some())).await;
            if led.is_ok() {
                return Ok(());
            }
        }
        partition.group().initialize(voters).await.map_err(consensus)
    }
}

async fn keep_handing_round(broker: Broker, founding: Founding) {
    let inner = broker.inner();
    let mut missing: BTreeSet<NodeId> = founding.founders.iter().map(|founder| founder.node).collect();
    missing.remove(&broker.node());
    while !missing.is_empty() && broker.registry(|registry| registry.cluster_id().is_none()) {
        for node in hand_round(&*inner.remote, &founding, &missing).await {
            missing.remove(&node);
        }
        // Nothing tells us when a node comes up that has never heard of us.
        tokio::time::sleep(inner.runtime.jittered(FOUNDER_PAUSE)).await;
    }
}

fn member(node: &weir_metadata::Node) -> Member {
    Member { node: node.id, incarnation: node.incarnation, addresses: node.addresses.clone() }
}

pub(crate) fn peer(member: &Member) -> (NodeId, PeerAddress) {
    let address = member.addresses.peer.clone();
    (member.node, PeerAddress { address, incarnation: Some(member.incarnation) })
}

#[expect(clippy::needless_pass_by_value, reason = "`map_err` hands errors over")]
pub(crate) fn consensus(error: weir_consensus::Error) -> WeirError {
    WeirError::new(ErrorKind::Internal, "consensus-failed", error.to_string())
}
