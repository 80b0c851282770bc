//! Topics, routing and the state of the cluster.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;
use weir_consensus::Leadership;
use weir_metadata::{
    Addresses, COORDINATOR, Command, Feature, Level, NodeState, PolicyChange, Registry, Reply, Routing, Topic,
};
use weir_types::limits::name_is_valid;
use weir_types::{
    ClusterId, ErrorKind, GroupId, NodeId, ProducerEpoch, ProducerId, ReplicaId, RequestId, TopicId,
    TopicPolicy, WeirError,
};

use super::reshaping::Family;
use crate::broker::Broker;
use crate::remote::{Answer, PartitionView, Request};
use crate::replica::unexpected;

/// How long the state of one partition or node is waited for when a whole cluster is described.
pub(super) const VIEW_TIMEOUT: Duration = Duration::from_secs(2);

/// A topic to be made.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// Its settings.
    pub policy: TopicPolicy,
    /// How many partitions.
    pub partitions: u32,
    /// Replicas of each.
    pub replicas: u32,
    /// A retry with the same id gets the same answer.
    pub request: RequestId,
    /// How long to wait for leaders.
    pub patience: Duration,
}

/// Where a partition is, and, if its leader answered, how it is.
#[derive(Clone, Debug)]
pub struct PartitionState {
    /// Name of its topic; empty for the metadata group and the coordinator.
    pub topic: String,
    /// Its number.
    pub index: u32,
    /// Its Raft group.
    pub group: GroupId,
    /// Its keys, and where it stands between its parents and its children; none for the metadata group.
    pub family: Option<Family>,
    /// Those that vote.
    pub voters: BTreeMap<ReplicaId, NodeId>,
    /// Those that only follow.
    pub learners: BTreeMap<ReplicaId, NodeId>,
    /// Its replicas are not yet those that it shall have.
    pub reassigning: bool,
    /// Who leads, as far as this node knows.
    pub leader: Option<NodeId>,
    /// From the leader.
    pub view: Option<PartitionView>,
}

/// A node as this one sees it.
#[derive(Clone, Debug)]
pub struct NodeView {
    /// Its id.
    pub node: NodeId,
    /// What people call it.
    pub name: String,
    /// Where it listens.
    pub addresses: Addresses,
    /// Its build; none when it does not answer.
    pub version: Option<String>,
    /// The highest feature level that its build knows; none when it does not answer.
    pub knows: Option<Level>,
    /// Whether it is in use.
    pub state: NodeState,
    /// It was to be emptied, and is.
    pub drained: bool,
    /// What it shares power or network with.
    pub rack: Option<String>,
}

/// Who leads which group, as far as this node knows.
pub type Leaders = BTreeMap<GroupId, NodeId>;

impl Broker {
    /// Creates a topic and waits until its partitions have leaders, for a bounded time.
    pub async fn create_topic(&self, new: NewTopic) -> Result<Topic, WeirError> {
        if new.name.starts_with('_') {
            return Err(WeirError::new(
                ErrorKind::Invalid,
                "invalid-name",
                format!("topic name `{}` starts with `_`, which is reserved", new.name),
            ));
        }
        self.require_for_policy(&new.policy).await?;
        let command = Command::CreateTopic {
            request: new.request,
            name: new.name,
            policy: new.policy,
            partitions: new.partitions,
            replicas: new.replicas,
        };
        let topic = match self.metadata().propose(command).await? {
            Reply::TopicCreated { topic } => topic,
            other => return Err(unexpected(&other)),
        };
        self.metadata().wait_for(new.patience, |registry| registry.topic(topic).is_some()).await;
        let leaders = self.wait_for_leaders(topic);
        // The topic exists either way; without leaders yet, producers and consumers simply wait a little longer.
        let _ = timeout(new.patience, leaders).await;
        self.topic_by_id(topic)
    }

    /// Changes settings of a topic, and its number of replicas if one is given: all of that or nothing. The replicas come
    /// and go afterwards.
    pub async fn alter_topic(
        &self,
        name: &str,
        changed: TopicPolicy,
        replicas: Option<u32>,
    ) -> Result<Topic, WeirError> {
        let topic = self.find_topic(name).await?;
        let changes = changes(&topic.policy, &changed)?;
        self.require_for_changes(&changes).await?;
        if replicas.is_some() {
            self.require(Feature::ReplicaCounts).await?;
        }
        let command = match replicas {
            // This copy of the registry may be old: whether there is anything to do, the registry knows.
            Some(replicas) => {
                let down = self.unheard();
                Command::SetReplicas { topic: topic.id, replicas, changes, down }
            }
            None if changes.is_empty() => return self.topic_by_id(topic.id),
            None => Command::AlterTopic { topic: topic.id, changes },
        };
        self.metadata().propose(command).await?;
        let altered =
            |topic: &Topic| topic.policy == changed && replicas.is_none_or(|wanted| topic.replicas == wanted);
        self.metadata().wait_for(VIEW_TIMEOUT, |registry| registry.topic(topic.id).is_none_or(altered)).await;
        self.topic_by_id(topic.id)
    }

    /// Deletes a topic and everything in it.
    pub async fn delete_topic(&self, name: &str) -> Result<(), WeirError> {
        let topic = self.find_topic(name).await?;
        self.metadata().propose(Command::DeleteTopic { topic: topic.id }).await?;
        self.metadata().wait_for(VIEW_TIMEOUT, |registry| registry.topic(topic.id).is_none()).await;
        Ok(())
    }

    /// All topics, by name.
    pub fn topics(&self) -> Vec<Topic> {
        self.registry(|registry| registry.topics().cloned().collect())
    }

    /// A topic by name.
    pub fn topic(&self, name: &str) -> Result<Topic, WeirError> {
        if !name_is_valid(name) {
            let shown: String = name.chars().take(60).collect();
            let message = format!(
                "topic name `{shown}` is not 1 to 200 of `a-z A-Z 0-9 . _ -`, not starting with a dot or a dash"
            );
            return Err(WeirError::new(ErrorKind::Invalid, "invalid-name", message));
        }
        let shown = |registry: &Registry| {
            registry.topic_named(name).filter(|topic| !registry.is_restoring(topic.id)).cloned()
        };
        self.registry(shown).ok_or_else(|| {
            WeirError::new(ErrorKind::NotFound, "topic-not-found", format!("topic `{name}` does not exist"))
        })
    }

    /// A topic by name, also one that was created on another node just now: whoever knows that it exists is not told that
    /// it does not.
    pub async fn find_topic(&self, name: &str) -> Result<Topic, WeirError> {
        match self.topic(name) {
            Err(error) if error.kind == ErrorKind::NotFound => {
                self.freshen().await?;
                self.topic(name)
            }
            known => known,
        }
    }

    /// The state of a topic's partitions, in order of index: those that own its keys, and those that do not yet or not any
    /// more.
    pub async fn topic_state(&self, topic: &Topic) -> Vec<PartitionState> {
        let groups: Vec<_> =
            self.registry(|registry| registry.all_partitions(topic.id).map(|p| (p.index, p.group)).collect());
        let states = groups.into_iter().map(|(index, group)| self.partition_state(&topic.name, index, group));
        futures::future::join_all(states).await
    }

    /// The state of the coordinator's shards, in order.
    pub async fn coordinator_state(&self) -> Vec<PartitionState> {
        let shards = self.partitions_of(COORDINATOR).into_iter();
        futures::future::join_all(shards.map(|(index, group)| self.partition_state("", index, group))).await
    }

    /// The state of the metadata group.
    pub async fn metadata_state(&self) -> PartitionState {
        self.partition_state("", 0, GroupId::METADATA).await
    }

    /// The nodes, each asked for a sign of life.
    pub async fn nodes(&self) -> Vec<NodeView> {
        let members: Vec<_> = self.registry(|registry| {
            registry.members().map(|node| (node.clone(), registry.is_drained(node.id))).collect()
        });
        let views = members.into_iter().map(|(node, drained)| async move {
            let weir_metadata::Node { id: node, name, addresses, state, rack, .. } = node;
            let asked =
                futures::future::join(self.version_of(node, &addresses), self.known_on(node, &addresses));
            let (version, knows) = asked.await;
            NodeView { node, name, addresses, version, knows, state, drained, rack }
        });
        futures::future::join_all(views).await
    }

    /// The cluster's id.
    pub fn cluster(&self) -> ClusterId {
        self.place().cluster
    }

    /// Allots an idempotent producer.
    pub async fn init_producer(
        &self,
        name: Option<String>,
        request: RequestId,
    ) -> Result<(ProducerId, ProducerEpoch), WeirError> {
        match self.metadata().propose(Command::InitProducer { name, request }).await? {
            Reply::ProducerReady { producer, epoch } => Ok((producer, epoch)),
            other => Err(unexpected(&other)),
        }
    }

    /// The routing table, and who leads what, as this node knows it.
    pub fn routing(&self) -> (Routing, Leaders) {
        (self.registry(Registry::routing), self.leaders())
    }

    /// Rises whenever the routing table or a leader that this node knows of changes.
    pub fn routing_changes(&self) -> watch::Receiver<u64> {
        self.routing_version()
    }

    /// Who leads each group that is open on this node, the metadata group among them, as this node knows it.
    pub fn leaderships(&self) -> BTreeMap<GroupId, Leadership> {
        let metadata = *self.metadata().partition().leadership().borrow();
        let hosted = self.inner().hosted.read();
        let others = hosted.iter().map(|(group, hosted)| (*group, *hosted.leadership().borrow()));
        others.chain([(GroupId::METADATA, metadata)]).collect()
    }

    /// Hands the leadership of a partition that this node leads to the voter on another node.
    pub async fn transfer_leadership(&self, group: GroupId, to: NodeId) -> Result<(), WeirError> {
        let hosted = self.hosted(group)?;
        hosted.check_leads()?;
        let voters = hosted.status().voters;
        let Some((replica, _)) = voters.iter().find(|(_, node)| **node == to) else {
            let message = format!("node {to} has no voter of partition {group}");
            return Err(WeirError::new(ErrorKind::Invalid, "not-a-voter", message));
        };
        hosted.transfer_leader(*replica).await.map_err(|error| {
            let message = format!("partition {group} was not handed over to node {to}: {error}");
            WeirError::new(ErrorKind::Retry, "leadership-not-moved", message)
        })
    }

    async fn version_of(&self, node: NodeId, addresses: &Addresses) -> Option<String> {
        if node == self.place().node {
            return Some(env!("CARGO_PKG_VERSION").to_owned());
        }
        let asked = timeout(VIEW_TIMEOUT, self.ask(&addresses.client, &Request::NodeView)).await;
        match asked {
            Ok(Ok(Answer::NodeView { version })) => Some(version),
            _ => None,
        }
    }

    async fn partition_state(&self, topic: &str, index: u32, group: GroupId) -> PartitionState {
        let (members, reassigning) = self
            .registry(|registry| {
                let membership = registry.membership(group)?;
                Some((membership.current.clone(), membership.current != membership.target))
            })
            .unwrap_or_default();
        let known = group == GroupId::METADATA || self.inner().hosted.read().contains_key(&group);
        let (leader, view) = if known {
            let asked = timeout(VIEW_TIMEOUT, self.at_leader(group, Request::PartitionView(group))).await;
            let view = match asked {
                Ok(Ok(Answer::PartitionView(view))) => Some(view),
                _ => None,
            };
            (self.leader_of(group), view)
        } else {
            let asked = timeout(VIEW_TIMEOUT, self.ask_voters(group, &members.voters)).await;
            asked.ok().flatten().map_or((None, None), |(leader, view)| (Some(leader), Some(view)))
        };
        PartitionState {
            topic: topic.to_owned(),
            index,
            group,
            family: self.registry(|registry| Family::of(registry, group)),
            voters: members.voters,
            learners: members.learners,
            reassigning,
            leader,
            view,
        }
    }

    /// The leader of a partition that has no replica here is the voter that answers for it.
    async fn ask_voters(
        &self,
        group: GroupId,
        voters: &BTreeMap<ReplicaId, NodeId>,
    ) -> Option<(NodeId, PartitionView)> {
        let request = Request::PartitionView(group);
        let asked = voters.values().map(|node| {
            let request = &request;
            async move {
                let address = self.inner().directory.client_address(*node)?;
                match self.ask(&address, request).await {
                    Ok(Answer::PartitionView(view)) => Some((*node, view)),
                    _ => None,
                }
            }
        });
        let mut asked: futures::stream::FuturesUnordered<_> = asked.collect();
        while let Some(answer) = futures::StreamExt::next(&mut asked).await {
            if answer.is_some() {
                return answer;
            }
        }
        None
    }

    fn topic_by_id(&self, id: TopicId) -> Result<Topic, WeirError> {
        self.registry(|registry| registry.topic(id).cloned()).ok_or_else(|| {
            WeirError::new(
                ErrorKind::NotFound,
                "topic-not-found",
                format!("topic {id} does not exist any more"),
            )
        })
    }

    /// Until every partition of the topic that this node holds a replica of has a leader, and every other one
    /// answers.
    async fn wait_for_leaders(&self, topic: TopicId) {
        let mut changes = self.routing_changes();
        loop {
            changes.borrow_and_update();
            let missing = self.partitions_of(topic).into_iter().find(|(_, group)| {
                let here = self.registry(|registry| {
                    let me = self.place().node;
                    registry.membership(*group).is_some_and(|membership| membership.uses(me))
                });
                here && self.leader_of(*group).is_none()
            });
            if missing.is_none() || changes.changed().await.is_err() {
                return;
            }
        }
    }
}

/// The differences between two policies of one kind.
fn changes(old: &TopicPolicy, new: &TopicPolicy) -> Result<Vec<PolicyChange>, WeirError> {
    let mut changes = Vec::new();
    match (old, new) {
        (TopicPolicy::Queue(old), TopicPolicy::Queue(new)) => {
            if old.fifo != new.fifo {
                let message = "`fifo` cannot be changed after a queue was created";
                return Err(WeirError::new(ErrorKind::Invalid, "fifo-is-fixed", message));
            }
            let pairs = [
                (
                    old.max_inflight_per_key != new.max_inflight_per_key,
                    PolicyChange::MaxInflightPerKey(new.max_inflight_per_key),
                ),
                (old.lease_ms != new.lease_ms, PolicyChange::LeaseMs(new.lease_ms)),
                (old.attempts_max != new.attempts_max, PolicyChange::AttemptsMax(new.attempts_max)),
                (old.backoff != new.backoff, PolicyChange::Backoff(new.backoff)),
                (old.ttl_ms != new.ttl_ms, PolicyChange::TtlMs(new.ttl_ms)),
                (old.park != new.park, PolicyChange::Park(new.park)),
                (old.bytes_max != new.bytes_max, PolicyChange::BytesMax(new.bytes_max)),
                (old.messages_max != new.messages_max, PolicyChange::MessagesMax(new.messages_max)),
                (old.max_inflight != new.max_inflight, PolicyChange::MaxInflight(new.max_inflight)),
                (
                    old.max_inflight_per_session != new.max_inflight_per_session,
                    PolicyChange::MaxInflightPerSession(new.max_inflight_per_session),
                ),
                (old.keep_ms != new.keep_ms, PolicyChange::KeepMs(new.keep_ms)),
                (old.keep_bytes_max != new.keep_bytes_max, PolicyChange::KeepBytesMax(new.keep_bytes_max)),
                (old.fair_by != new.fair_by, PolicyChange::FairBy(new.fair_by.clone())),
            ];
            changes.extend(pairs.into_iter().filter(|(differs, _)| *differs).map(|(_, change)| change));
        }
        (TopicPolicy::Stream(old), TopicPolicy::Stream(new)) => {
            if old.retention.age_ms != new.retention.age_ms {
                changes.push(PolicyChange::RetentionAgeMs(new.retention.age_ms));
            }
            if old.retention.bytes != new.retention.bytes {
                changes.push(PolicyChange::RetentionBytes(new.retention.bytes));
            }
            if old.retention.groups != new.retention.groups {
                changes.push(PolicyChange::RetentionGroups(new.retention.groups.clone()));
            }
            let (old, new) = (old.compaction, new.compaction);
            let pairs = [
                (old.enabled != new.enabled, PolicyChange::Compact(new.enabled)),
                (old.after_ms != new.after_ms, PolicyChange::CompactAfterMs(new.after_ms)),
                (old.tombstone_ms != new.tombstone_ms, PolicyChange::TombstoneMs(new.tombstone_ms)),
            ];
            changes.extend(pairs.into_iter().filter(|(differs, _)| *differs).map(|(_, change)| change));
        }
        (old, _) => {
            let message = format!("the topic is a {}, the settings are of the other kind", old.kind());
            return Err(WeirError::new(ErrorKind::Invalid, "wrong-topic-kind", message));
        }
    }
    Ok(changes)
}
