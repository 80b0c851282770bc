//! A running node: its place in the cluster, its partitions, and how it reaches the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::{Instant, sleep};
use weir_consensus::Groups;
use weir_metadata::{Level, Registry, Stage};
use weir_queue::Queue;
use weir_runtime::{Runtime, TaskGroup};
use weir_storage::Store;
use weir_stream::Stream;
use weir_types::{
    ErrorKind, GroupId, NodeId, RequestId, SessionId, TopicId, TopicKind, WallClock, WeirError,
};

use crate::api::admin::Leaders;
use crate::api::groups;
use crate::directory::Directory;
use crate::founding::Place;
use crate::hosted::{Hosted, Kind, metadata_view};
use crate::metadata_group::MetadataGroup;
use crate::partition::Partition;
use crate::remote::{self, Answer, Remote, Request};
use crate::transfers::{self, all_arrived};

/// How long a request is carried after a leader that moves.
const LEADER_PATIENCE: Duration = Duration::from_secs(5);
/// Pause before the leader is looked for again.
const LEADER_PAUSE: Duration = Duration::from_millis(50);
/// How long outputs may take to arrive before whoever asks whether they have is told to ask again.
const ARRIVED_WITHIN: Duration = Duration::from_secs(2);
/// What a partition answers that takes in nothing any more: its keys belong to its children.
pub(crate) const SEALED: &str = "partition-sealed";

/// A running node's broker. Cheap to clone.
#[derive(Clone)]
pub struct Broker {
    inner: Arc<Inner>,
}

/// The workers' sessions of one partition that have a connection to this node, each with the number of that
/// connection. Locked while a session is opened or declared lost, so that the two never pass each other.
pub(crate) type Connected = Arc<tokio::sync::Mutex<BTreeMap<SessionId, u64>>>;

/// Where new groups are open.
pub(crate) type Openings = BTreeMap<GroupId, BTreeSet<NodeId>>;

pub(crate) struct Inner {
    pub(crate) place: Place,
    /// Where a cluster begins that this node founds.
    pub(crate) founding_level: Level,
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
    pub(crate) groups: Groups,
    pub(crate) metadata: MetadataGroup,
    pub(crate) directory: Directory,
    pub(crate) remote: Arc<dyn Remote>,
    pub(crate) hosted: RwLock<BTreeMap<GroupId, Hosted>>,
    pub(crate) routing_version: watch::Sender<u64>,
    /// New groups that this node shall form, and the nodes on which they are open.
    pub(crate) openings: watch::Sender<Openings>,
    /// By partition, so that one that is slow to take a session in holds up no other.
    pub(crate) sessions: Mutex<BTreeMap<GroupId, Connected>>,
    /// A turn to compact a partition, or to write a queue's bodies anew.
    pub(crate) compactions: Semaphore,
    /// An image is in its place: its replica can be opened.
    pub(crate) seeded: Notify,
    pub(crate) tasks: Mutex<TaskGroup>,
}

impl Broker {
    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.inner
    }

    pub(crate) fn place(&self) -> &Place {
        &self.inner.place
    }

    /// This node's id.
    pub fn node(&self) -> NodeId {
        self.inner.place.node
    }

    /// Whether this node serves: it knows the cluster's registry and who leads it, and its replicas are open. Who
    /// restarts nodes one after the other waits for this, so that no partition is without its majority.
    pub fn is_ready(&self) -> bool {
        let own = self
            .registry(|registry| registry.cluster_id().is_some().then(|| registry.replicas_on(self.node())));
        let hosted = self.inner.hosted.read();
        self.registry_has_reissue()
            && own.is_some_and(|own| {
                own.iter().all(|replica| replica.restoring || hosted.contains_key(&replica.partition.group))
            })
            && self.registry_is_led()
    }

    /// Whether this node knows a leader of the registry.
    pub fn registry_is_led(&self) -> bool {
        self.inner.metadata.partition().leader().is_some()
    }

    /// Whether the registry knows of the last time when this node's replicas were given fresh ids. One that is
    /// learned anew goes through everything that ever was, also through the time before: what it says of this
    /// node's replicas then must not be followed, or one that is retired would vote again, with nothing on disk.
    pub(crate) fn registry_has_reissue(&self) -> bool {
        let known = self.registry(|registry| registry.node(self.node()).map(|node| node.replicas_from));
        known.unwrap_or_default() >= self.inner.place.replicas_from
    }

    pub(crate) fn metadata(&self) -> &MetadataGroup {
        &self.inner.metadata
    }

    /// Reads this node's copy of the registry.
    pub(crate) fn registry<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        self.inner.metadata.read(look)
    }

    pub(crate) fn wall(&self) -> WallClock {
        self.inner.runtime.clock().wall()
    }

    pub(crate) fn random_u64(&self) -> u64 {
        self.inner.runtime.random_u64()
    }

    /// Refuses what adds data while the disk is full.
    pub(crate) fn check_room(&self) -> Result<(), WeirError> {
        self.inner.store.refuse_if_full().map_err(|error| {
            WeirError::new(ErrorKind::OutOfSpace, "disk-full", error.to_string()).after_ms(1_000)
        })
    }

    /// The queue partition of this id on this node.
    pub(crate) fn queue(&self, group: GroupId) -> Result<Partition<Queue>, WeirError> {
        match self.serving(group)?.partition {
            Kind::Queue(partition) => Ok(partition),
            _ => Err(wrong_kind(group, TopicKind::Queue)),
        }
    }

    /// The stream partition of this id on this node.
    pub(crate) fn stream(&self, group: GroupId) -> Result<Partition<Stream>, WeirError> {
        match self.serving(group)?.partition {
            Kind::Stream(partition) => Ok(partition),
            _ => Err(wrong_kind(group, TopicKind::Stream)),
        }
    }

    /// A partition on this node that is not being restored.
    pub(crate) fn serving(&self, group: GroupId) -> Result<Hosted, WeirError> {
        let hosted = self.hosted(group)?;
        if hosted.restoring {
            let message = format!("partition {group} is being restored from a backup");
            return Err(WeirError::new(ErrorKind::Retry, "partition-restoring", message).after_ms(1_000));
        }
        Ok(hosted)
    }

    /// A partition on this node; a redirect when it is elsewhere.
    pub(crate) fn hosted(&self, group: GroupId) -> Result<Hosted, WeirError> {
        if let Some(hosted) = self.inner.hosted.read().get(&group) {
            return Ok(hosted.clone());
        }
        let voters = self.registry(|registry| {
            registry.membership(group).map(|membership| membership.current.voters.clone())
        });
        let Some(voters) = voters else {
            let message = format!("partition {group} does not exist");
            return Err(WeirError::new(ErrorKind::NotFound, "partition-not-found", message));
        };
        if voters.values().any(|node| *node == self.node()) {
            let message = format!("partition {group} is starting on this node");
            return Err(WeirError::new(ErrorKind::Retry, "partition-starting", message).after_ms(50));
        }
        let address = voters.values().find_map(|node| self.inner.directory.client_address(*node));
        let message = format!("partition {group} is on other nodes");
        Err(WeirError::new(ErrorKind::Redirect, "not-leader", message).at_leader(address))
    }

    /// Who leads which group, as far as this node knows.
    pub(crate) fn leaders(&self) -> Leaders {
        let hosted = self.inner.hosted.read();
        hosted.iter().filter_map(|(group, hosted)| Some((*group, hosted.leader()?))).collect()
    }

    pub(crate) fn leader_of(&self, group: GroupId) -> Option<NodeId> {
        if group == GroupId::METADATA {
            return self.inner.metadata.partition().leader().map(|(_, node)| node);
        }
        self.inner.hosted.read().get(&group)?.leader()
    }

    pub(crate) fn routing_version(&self) -> watch::Receiver<u64> {
        self.inner.routing_version.subscribe()
    }

    /// The sessions of a partition that are connected here.
    pub(crate) fn connected(&self, group: GroupId) -> Connected {
        Arc::clone(self.inner.sessions.lock().entry(group).or_default())
    }

    /// The partitions of a topic that own its keys, in order of range.
    pub(crate) fn partitions_of(&self, topic: TopicId) -> Vec<(u32, GroupId)> {
        self.registry(|registry| registry.partitions(topic).map(|p| (p.index, p.group)).collect())
    }

    /// The partitions of a topic that may hold something, by index: also those that are sealed.
    pub(crate) fn partitions_with_sealed(&self, topic: TopicId) -> Vec<(u32, GroupId)> {
        self.registry(|registry| {
            let all = registry.all_partitions(topic);
            let held = all.filter(|partition| registry.stage(partition.group) != Stage::Coming);
            held.map(|partition| (partition.index, partition.group)).collect()
        })
    }

    /// A stream topic by name.
    pub(crate) fn stream_topic(&self, name: &str) -> Result<weir_metadata::Topic, WeirError> {
        let topic = self.topic(name)?;
        if topic.policy.kind() == TopicKind::Stream {
            return Ok(topic);
        }
        let message = format!("topic `{name}` is a {}, not a stream", topic.policy.kind());
        Err(WeirError::new(ErrorKind::Invalid, "wrong-topic-kind", message))
    }

    pub(crate) async fn ask(&self, address: &str, request: &Request) -> Result<Answer, WeirError> {
        remote::ask(&*self.inner.remote, address, request).await
    }

    /// Brings a request to a group's leader, wherever it is and while it moves, for a bounded time.
    pub(crate) async fn at_leader(&self, group: GroupId, request: Request) -> Result<Answer, WeirError> {
        let deadline = Instant::now() + LEADER_PATIENCE;
        loop {
            let error = match self.try_at_leader(group, &request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            // Every request between nodes may be repeated, so an unknown outcome is tried again.
            let again =
                matches!(error.kind, ErrorKind::Retry | ErrorKind::Redirect | ErrorKind::OutcomeUnknown);
            // A sealed partition says so for good: its caller has to ask others.
            if !again || error.code == SEALED || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(self.inner.runtime.jittered(LEADER_PAUSE)).await;
        }
    }

    async fn try_at_leader(&self, group: GroupId, request: &Request) -> Result<Answer, WeirError> {
        let error = match self.answer(request.clone()).await {
            Err(error) if error.kind == ErrorKind::Redirect => error,
            outcome => return outcome,
        };
        let Some(address) = error.leader.clone() else { return Err(error) };
        match self.ask(&address, request).await {
            Err(error) if error.kind == ErrorKind::Redirect => {
                let other = error.leader.clone().filter(|other| *other != address);
                let Some(other) = other else { return Err(error) };
                tracing::trace!(%group, other, "following the leader");
                self.ask(&other, request).await
            }
            outcome => outcome,
        }
    }

    /// Answers what another node (or this one) asks of this node.
    pub(crate) async fn answer(&self, request: Request) -> Result<Answer, WeirError> {
        match request {
            Request::Hello | Request::Found(_) => {
                let message = "this node is a member of a cluster";
                Err(WeirError::new(ErrorKind::AlreadyExists, "already-a-member", message))
            }
            Request::Metadata(command) => {
                self.inner.metadata.partition().propose(command).await.map(Answer::Metadata)
            }
            Request::Coordinator { shard, command } => {
                let shard = self.coordinator(shard)?;
                groups::coordinate_here(self, &shard, command).await.map(Answer::Coordinator)
            }
            Request::CoordinatorView { shard, group } => {
                groups::view_here(&self.coordinator(shard)?, group).await.map(Answer::CoordinatorView)
            }
            Request::NextAssignment { shard, hold } => {
                groups::next_here(&self.coordinator(shard)?, hold).await.map(Answer::Assignment)
            }
            Request::PartitionView(GroupId::METADATA) => {
                let partition = self.inner.metadata.partition();
                partition.check_leads()?;
                Ok(Answer::PartitionView(metadata_view(partition)))
            }
            Request::PartitionView(group) => {
                let hosted = self.hosted(group)?;
                hosted.check_leads()?;
                Ok(Answer::PartitionView(hosted.view()))
            }
            Request::Position { group, consumer_group } => {
                self.position(group, &consumer_group).await.map(Answer::Position)
            }
            Request::Locate { group, place } => self.locate(group, place).await.map(Answer::Located),
            Request::ResetPosition { group, consumer_group, to } => {
                self.reset_position(group, consumer_group, to).await.map(Answer::Position)
            }
            Request::Opened { node, groups } => {
                self.note_open(node, &groups);
                Ok(Answer::Done)
            }
            Request::Transfer { destination, source, after, batches } => {
                let through = self.accept_transfer(destination, source, after, batches).await?;
                Ok(Answer::Transferred { through })
            }
            Request::RegistryVersion => {
                self.inner.metadata.partition().barrier().await?;
                Ok(Answer::RegistryVersion(self.registry(Registry::version)))
            }
            Request::Features => Ok(Answer::Features { active: self.level(), knows: Level::KNOWN }),
            Request::NodeView => Ok(Answer::NodeView { version: env!("CARGO_PKG_VERSION").to_owned() }),
            Request::Inherit { child, inherit } => {
                self.queue(child)?.propose(weir_queue::Command::Inherit(inherit)).await.map(|_| Answer::Done)
            }
            Request::Drained { child, parent, keys } => {
                let command = weir_queue::Command::Drained { parent, keys };
                self.queue(child)?.propose(command).await.map(|_| Answer::Done)
            }
            Request::Awaits { group, destination } => {
                transfers::check_nothing_waits(self, group, destination).await.map(|()| Answer::Done)
            }
            Request::Arrived(group) => {
                let arrived = all_arrived(self, &self.stream(group)?, ARRIVED_WITHIN).await;
                arrived.map(|()| Answer::Done)
            }
        }
    }

    /// Notes that new groups are open on a node.
    pub(crate) fn note_open(&self, node: NodeId, groups: &[GroupId]) {
        self.inner.openings.send_modify(|openings| {
            for group in groups {
                openings.entry(*group).or_default().insert(node);
            }
        });
    }

    fn coordinator(&self, shard: GroupId) -> Result<Partition<weir_groups::Coordinator>, WeirError> {
        if let Kind::Coordinator(partition) = self.hosted(shard)?.partition {
            return Ok(partition);
        }
        let message = format!("group {shard} is not a shard of the coordinator");
        Err(WeirError::new(ErrorKind::Invalid, "wrong-partition-kind", message))
    }

    /// An id for a request whose caller gave none.
    pub fn fresh_request(&self) -> RequestId {
        RequestId(self.random_u64() | 1)
    }

    /// Waits until this node serves.
    pub async fn wait_until_ready(&self) {
        let partition = self.inner.metadata.partition();
        let (mut applied, mut leadership) = (partition.applied(), partition.leadership());
        // Changes when the reconciler has opened replicas.
        let mut routing = self.routing_version();
        loop {
            applied.borrow_and_update();
            leadership.borrow_and_update();
            routing.borrow_and_update();
            if self.is_ready() {
                return;
            }
            let changed = tokio::select! {
                changed = applied.changed() => changed.is_ok(),
                changed = leadership.changed() => changed.is_ok(),
                changed = routing.changed() => changed.is_ok(),
            };
            if !changed {
                return;
            }
        }
    }

    /// Resolves with a group that could not be kept alive: the node must stop.
    pub async fn dead_group(&self) -> GroupId {
        let mut dead = self.inner.groups.dead();
        let found = dead.wait_for(Option::is_some).await.ok().and_then(|group| *group);
        match found {
            Some(group) => group,
            None => std::future::pending().await,
        }
    }

    /// Hands every leadership over, so that retrying clients see no error.
    pub async fn hand_over(&self, patience: Duration) {
        self.inner.groups.hand_over(patience).await;
    }

    /// Stops this node's replicas; what they have stays on disk.
    pub async fn stop(&self) {
        let tasks = std::mem::take(&mut *self.inner.tasks.lock());
        tasks.abort().await;
        self.inner.hosted.write().clear();
        self.inner.groups.stop().await;
    }
}

fn wrong_kind(group: GroupId, wanted: TopicKind) -> WeirError {
    let message = format!("partition {group} is not a {wanted} partition");
    WeirError::new(ErrorKind::Invalid, "wrong-topic-kind", message)
}
