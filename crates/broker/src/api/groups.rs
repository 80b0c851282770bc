//! Consumer groups: members and their partitions, through the coordinator's shards; positions, through the
//! partitions themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;
use weir_groups::{
    Assignment, Command, Coordinator, Epoch, GroupDescription, MemberDescription, MemberId, Reply,
};
use weir_metadata::{Registry, Stage, Topic};
use weir_types::limits::name_is_valid;
use weir_types::{ErrorKind, GroupId, RequestId, TopicId, TopicKind, WallClock, WeirError};

use super::nodes::SHOWN_WITHIN;
use crate::broker::Broker;
use crate::partition::Partition;
use crate::remote::{Answer, PositionView, Request, ResetTo};
use crate::replica::unexpected;

/// No heartbeat is held for longer: a third of the longest session timeout.
const HOLD_MAX: Duration = Duration::from_secs(100);

/// A member's sign of life.
#[derive(Clone, Debug)]
pub struct Heartbeat {
    /// The consumer group.
    pub group: String,
    /// What the member calls itself.
    pub member: String,
    /// Names of the topics that it subscribes to.
    pub topics: Vec<String>,
    /// How long it may be silent.
    pub session_timeout_ms: u64,
    /// What it still works on.
    pub owned: BTreeSet<Grant>,
    /// Those of them that are sealed and that the group has read to their ends: it gets what comes after them.
    pub finished: BTreeSet<Grant>,
}

/// What a member has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// What it may read.
    pub assigned: Vec<AssignedPartition>,
    /// When its group was first joined.
    pub group_created: WallClock,
}

/// A partition, and the epoch under which a member has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// The partition.
    pub group: GroupId,
    /// From its [`AssignedPartition`].
    pub epoch: u64,
}

/// A member that waits for another assignment than it has.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    pub(crate) group: String,
    pub(crate) member: MemberId,
    pub(crate) assignment: Assignment,
    pub(crate) bound: Duration,
}

/// A partition that a member may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssignedPartition {
    /// Name of its topic.
    pub topic: String,
    /// Its number in the topic.
    pub index: u32,
    /// The partition.
    pub group: GroupId,
    /// Fence the partition with this before reading.
    pub epoch: u64,
}

/// A consumer group as its coordinator knows it.
pub type GroupView = GroupDescription;

/// A consumer group's position in one partition of a topic.
#[derive(Clone, Debug)]
pub struct GroupPosition {
    /// Name of the topic.
    pub topic: String,
    /// Number of the partition.
    pub index: u32,
    /// The position.
    pub position: PositionView,
    /// Member that owns it.
    pub owner: Option<String>,
}

impl Broker {
    /// Joins a group, or keeps membership alive. Any node may be asked. A member that has already what it is assigned
    /// is answered when that changes, or after a third of its session timeout.
    pub async fn heartbeat(&self, heartbeat: Heartbeat) -> Result<Membership, WeirError> {
        let shard = self.shard_of(&heartbeat.group)?;
        let topics = self.topic_ids(&heartbeat.topics)?;
        let view = self.coordinator_view(shard, Some(heartbeat.group.clone())).await?.into_iter().next();
        let member = MemberId(heartbeat.member.clone());
        let known = view.as_ref().and_then(|group| group.members.iter().find(|known| known.id == member));
        let assigned = match known {
            Some(known) if known.topics == topics => self.keep_alive(shard, heartbeat.clone(), known).await?,
            _ => self.join(shard, heartbeat.clone(), topics).await?,
        };
        let group_created = match view {
            Some(group) => group.created,
            // It was made just now.
            None => self.group(&heartbeat.group).await?.map_or_else(|| self.wall(), |group| group.created),
        };
        Ok(Membership { assigned, group_created })
    }

    async fn join(
        &self,
        shard: GroupId,
        heartbeat: Heartbeat,
        topics: BTreeSet<TopicId>,
    ) -> Result<Vec<AssignedPartition>, WeirError> {
        let command = Command::Join {
            group: heartbeat.group,
            member: MemberId(heartbeat.member),
            topics,
            session_timeout_ms: heartbeat.session_timeout_ms,
            request: RequestId(self.random_u64()),
        };
        match self.coordinate(shard, command).await? {
            Reply::Joined { assignment, .. } => Ok(self.named(&assignment)),
            other => Err(unexpected(&other)),
        }
    }

    async fn keep_alive(
        &self,
        shard: GroupId,
        heartbeat: Heartbeat,
        known: &MemberDescription,
    ) -> Result<Vec<AssignedPartition>, WeirError> {
        let finished = self.finish(shard, &heartbeat, known).await;
        let owned: BTreeSet<Grant> = heartbeat.owned.difference(&finished).copied().collect();
        let command = Command::Heartbeat {
            group: heartbeat.group.clone(),
            member: known.id.clone(),
            epoch: known.epoch,
            owned: owned.iter().map(|grant| grant.group).collect(),
        };
        match self.coordinate(shard, command).await? {
            // `owned` holds what is revoked, until it is given up: then the two differ, too. Who has finished something
            // waits for what comes after it.
            Reply::Alive { assignment } if finished.is_empty() && grants(&assignment) == owned => {
                let bound = Duration::from_millis(known.session_timeout_ms / 3);
                let hold = Hold { group: heartbeat.group, member: known.id.clone(), assignment, bound };
                Ok(self.named(&self.held(shard, hold).await))
            }
            Reply::Alive { assignment } => Ok(self.named(&assignment)),
            other => Err(unexpected(&other)),
        }
    }

    /// Tells the coordinator which partitions the group has read to their ends for good, as far as that is so; those that it
    /// has taken from the member. What fails is not lost: the member says it again.
    async fn finish(
        &self,
        shard: GroupId,
        heartbeat: &Heartbeat,
        known: &MemberDescription,
    ) -> BTreeSet<Grant> {
        let held = grants(&known.assignment);
        let asked = heartbeat.finished.intersection(&held).map(|grant| async {
            let finished = self.finish_one(shard, &heartbeat.group, &known.id, *grant).await;
            match finished {
                Ok(true) => Some(*grant),
                Ok(false) => None,
                Err(error) => {
                    debug!(group = heartbeat.group, partition = %grant.group, %error, "not finished yet");
                    None
                }
            }
        });
        // The member has to be heard in time.
        let bound = Duration::from_millis(known.session_timeout_ms / 3);
        let finished = timeout(bound, futures::future::join_all(asked)).await.unwrap_or_default();
        finished.into_iter().flatten().collect()
    }

    /// Whether a partition is finished now: it is sealed, the group has committed its end, what its commits have appended has
    /// arrived, and the member still has it.
    async fn finish_one(
        &self,
        shard: GroupId,
        group: &str,
        member: &MemberId,
        grant: Grant,
    ) -> Result<bool, WeirError> {
        let partition = grant.group;
        // The member may have heard of the seal before the registry.
        let is_sealed = |registry: &Registry| registry.stage(partition) == Stage::Sealed;
        if !self.metadata().wait_for(SHOWN_WITHIN, is_sealed).await {
            return Ok(false);
        }
        let request = Request::Position { group: partition, consumer_group: group.to_owned() };
        let position = match self.at_leader(partition, request).await? {
            Answer::Position(position) => position,
            other => return Err(crate::remote::unexpected(&other)),
        };
        // Where the group has committed nothing, there may be nothing to read.
        let reached = position.committed.unwrap_or(position.start).max(position.start);
        if reached < position.end {
            return Ok(false);
        }
        match self.at_leader(partition, Request::Arrived(partition)).await? {
            Answer::Done => {}
            other => return Err(crate::remote::unexpected(&other)),
        }
        let (group, member, epoch) = (group.to_owned(), member.clone(), Epoch(grant.epoch));
        self.coordinate(shard, Command::Finish { group, member, partition, epoch }).await.map(|_| true)
    }

    /// The member's next assignment, or the one that it has when nothing changes in time. The waiting is a courtesy:
    /// what cuts it short (a leader that dies) is no error, for the member asks again at once.
    async fn held(&self, shard: GroupId, hold: Hold) -> Assignment {
        let (assignment, bound) = (hold.assignment.clone(), hold.bound);
        match timeout(bound, self.at_leader(shard, Request::NextAssignment { shard, hold })).await {
            Ok(Ok(Answer::Assignment(next))) => next,
            _ => assignment,
        }
    }

    /// Leaves a group. A member that is not there has left already.
    pub async fn leave(&self, group: String, member: String) -> Result<(), WeirError> {
        let shard = self.shard_of(&group)?;
        let member = MemberId(member);
        let view = self.coordinator_view(shard, Some(group.clone())).await?;
        let known = view.first().and_then(|group| group.members.iter().find(|known| known.id == member));
        let Some(known) = known else { return Ok(()) };
        let epoch = known.epoch;
        match self.coordinate(shard, Command::Leave { group, member, epoch }).await {
            // The first of several tries has succeeded, but its answer was lost.
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            left => left.map(|_| ()),
        }
    }

    /// All groups that have had members, by name.
    pub async fn groups(&self) -> Result<Vec<GroupView>, WeirError> {
        let shards: Vec<GroupId> = self
            .registry(|registry| registry.partitions(weir_metadata::COORDINATOR).map(|p| p.group).collect());
        let mut groups = Vec::new();
        for shard in shards {
            groups.extend(self.coordinator_view(shard, None).await?);
        }
        groups.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(groups)
    }

    /// One group's members; none when it never had any.
    pub async fn group(&self, name: &str) -> Result<Option<GroupView>, WeirError> {
        let shard = self.shard_of(name)?;
        Ok(self.coordinator_view(shard, Some(name.to_owned())).await?.into_iter().next())
    }

    /// A group's positions in every partition of every stream where it has one, or that its members subscribe to.
    pub async fn group_positions(&self, name: &str) -> Result<Vec<GroupPosition>, WeirError> {
        let view = self.group(name).await?;
        let owners = view.as_ref().map(owners).unwrap_or_default();
        let subscribed: BTreeSet<TopicId> =
            view.iter().flat_map(|group| &group.members).flat_map(|member| member.topics.clone()).collect();
        let streams: Vec<Topic> = self.registry(|registry| {
            registry.topics().filter(|topic| topic.policy.kind() == TopicKind::Stream).cloned().collect()
        });
        let mut positions = Vec::new();
        for topic in streams {
            let found = self.positions_in(name, &topic, &owners).await?;
            let committed = found.iter().any(|position| position.position.committed.is_some());
            if committed || subscribed.contains(&topic.id) {
                positions.extend(found);
            }
        }
        Ok(positions)
    }

    /// Moves a group's positions in a topic. The group must have no members, or they would move on from theirs.
    pub async fn reset_group(
        &self,
        name: &str,
        topic: &str,
        to: ResetTo,
    ) -> Result<Vec<GroupPosition>, WeirError> {
        check_group_name(name)?;
        let members = self.group(name).await?.map_or(0, |group| group.members.len());
        if members > 0 {
            return Err(invalid(
                "group-in-use",
                format!("group `{name}` has {members} members; stop them first"),
            ));
        }
        let topic = self.stream_topic(topic)?;
        let mut positions = Vec::new();
        for (index, group) in self.partitions_with_sealed(topic.id) {
            let request = Request::ResetPosition { group, consumer_group: name.to_owned(), to };
            let position = match self.at_leader(group, request).await? {
                Answer::Position(position) => position,
                other => return Err(crate::remote::unexpected(&other)),
            };
            positions.push(GroupPosition { topic: topic.name.clone(), index, position, owner: None });
        }
        Ok(positions)
    }

    async fn positions_in(
        &self,
        name: &str,
        topic: &Topic,
        owners: &BTreeMap<GroupId, String>,
    ) -> Result<Vec<GroupPosition>, WeirError> {
        let mut positions = Vec::new();
        for (index, group) in self.partitions_with_sealed(topic.id) {
            let request = Request::Position { group, consumer_group: name.to_owned() };
            if let Answer::Position(position) = self.at_leader(group, request).await? {
                let owner = owners.get(&group).cloned();
                positions.push(GroupPosition { topic: topic.name.clone(), index, position, owner });
            }
        }
        Ok(positions)
    }

    fn shard_of(&self, group: &str) -> Result<GroupId, WeirError> {
        check_group_name(group)?;
        self.registry(|registry| registry.coordinator_for(group).map(|shard| shard.group)).ok_or_else(|| {
            WeirError::new(ErrorKind::Retry, "cluster-forming", "the cluster is not formed yet").after_ms(100)
        })
    }

    fn topic_ids(&self, names: &[String]) -> Result<BTreeSet<TopicId>, WeirError> {
        names.iter().map(|name| self.stream_topic(name).map(|topic| topic.id)).collect()
    }

    /// An assignment with the names of topics.
    pub fn named(&self, assignment: &Assignment) -> Vec<AssignedPartition> {
        self.registry(|registry| {
            let partitions = assignment.partitions.iter().filter_map(|assigned| {
                let topic = registry.topic(assigned.topic)?.name.clone();
                let index = registry.partition(assigned.partition)?.index;
                Some(AssignedPartition { topic, index, group: assigned.partition, epoch: assigned.epoch.0 })
            });
            partitions.collect()
        })
    }

    /// Names of topics that still exist.
    pub fn topic_names(&self, topics: &BTreeSet<TopicId>) -> Vec<String> {
        self.registry(|registry| {
            topics.iter().filter_map(|id| Some(registry.topic(*id)?.name.clone())).collect()
        })
    }

    /// Names of the topics that a group's members subscribe to.
    pub fn group_topics(&self, group: &GroupView) -> Vec<String> {
        let topics = group.members.iter().flat_map(|member| member.topics.iter().copied()).collect();
        self.topic_names(&topics)
    }

    async fn coordinate(&self, shard: GroupId, command: Command) -> Result<Reply, WeirError> {
        match self.at_leader(shard, Request::Coordinator { shard, command }).await? {
            Answer::Coordinator(reply) => Ok(reply),
            other => Err(crate::remote::unexpected(&other)),
        }
    }

    async fn coordinator_view(
        &self,
        shard: GroupId,
        group: Option<String>,
    ) -> Result<Vec<GroupView>, WeirError> {
        match self.at_leader(shard, Request::CoordinatorView { shard, group }).await? {
            Answer::CoordinatorView(view) => Ok(view),
            other => Err(crate::remote::unexpected(&other)),
        }
    }
}

/// Proposes to a shard that this node leads, after the partitions of the topics that it names are known there.
pub(crate) async fn coordinate_here(
    broker: &Broker,
    shard: &Partition<Coordinator>,
    command: Command,
) -> Result<Reply, WeirError> {
    if let Command::Join { topics, .. } = &command {
        for topic in topics {
            report_partitions(broker, shard, *topic).await?;
        }
    }
    shard.propose(command).await
}

/// Waits until a member has another assignment, at a shard that this node leads. A member that is gone has none.
pub(crate) async fn next_here(shard: &Partition<Coordinator>, hold: Hold) -> Result<Assignment, WeirError> {
    let deadline = Instant::now() + hold.bound.min(HOLD_MAX);
    let (mut applied, mut leadership) = (shard.applied(), shard.leadership());
    // A leader that is new may not have applied yet what its predecessor has told the member.
    shard.barrier().await?;
    loop {
        applied.borrow_and_update();
        leadership.borrow_and_update();
        shard.check_leads()?;
        let now = shard.read(|replica| replica.state().assignment(&hold.group, &hold.member));
        let now = now.unwrap_or_default();
        if now != hold.assignment {
            return Ok(now);
        }
        let stopping = || WeirError::new(ErrorKind::Retry, "replica-stopped", "the replica is stopping");
        tokio::select! {
            changed = applied.changed() => changed.map_err(|_| stopping())?,
            changed = leadership.changed() => changed.map_err(|_| stopping())?,
            () = sleep_until(deadline) => return Ok(now),
        }
    }
}

/// Tells a shard the partitions of a topic, and which of them come after which, unless it knows them.
pub(crate) async fn report_partitions(
    broker: &Broker,
    shard: &Partition<Coordinator>,
    topic: TopicId,
) -> Result<(), WeirError> {
    let (Readable { partitions, parents }, version) =
        broker.registry(|registry| (Readable::of(registry, topic), registry.version()));
    let (is_known, had_parents) = shard.read(|replica| {
        let known = replica.state();
        let before = known.parents(topic);
        (known.partitions(topic) == Some(&partitions) && before == parents, !before.is_empty())
    });
    if is_known {
        return Ok(());
    }
    let command = if parents.is_empty() && !had_parents {
        Command::SetPartitions { topic, partitions, version }
    } else {
        Command::SetLineage { topic, partitions, parents, version }
    };
    shard.propose(command).await.map(|_| ())
}

/// What can be read of a topic.
struct Readable {
    /// The partitions that own its keys, and those that are sealed.
    partitions: BTreeSet<GroupId>,
    /// Those that each of them took its keys over from, if there are any left.
    parents: BTreeMap<GroupId, BTreeSet<GroupId>>,
}

impl Readable {
    fn of(registry: &Registry, topic: TopicId) -> Self {
        let held = |group: &GroupId| registry.stage(*group) != Stage::Coming;
        let partitions: BTreeSet<GroupId> =
            registry.all_partitions(topic).map(|partition| partition.group).filter(held).collect();
        let parents = partitions.iter().filter_map(|group| {
            let lineage = registry.lineage(*group)?;
            let parents: BTreeSet<GroupId> = lineage.parents.iter().copied().collect();
            (!parents.is_empty()).then_some((*group, parents))
        });
        Self { parents: parents.collect(), partitions }
    }
}

/// What a shard that this node leads knows of one group, or of all.
pub(crate) async fn view_here(
    shard: &Partition<Coordinator>,
    group: Option<String>,
) -> Result<Vec<GroupView>, WeirError> {
    shard.barrier().await?;
    Ok(shard.read(|replica| {
        let coordinator = replica.state();
        match group {
            Some(name) => coordinator.describe(&name).into_iter().collect(),
            None => coordinator.groups().filter_map(|(name, _)| coordinator.describe(name)).collect(),
        }
    }))
}

fn grants(assignment: &Assignment) -> BTreeSet<Grant> {
    let each = assignment.partitions.iter();
    each.map(|assigned| Grant { group: assigned.partition, epoch: assigned.epoch.0 }).collect()
}

fn owners(group: &GroupView) -> BTreeMap<GroupId, String> {
    let owned = group.members.iter().flat_map(|member| {
        member.assignment.partitions.iter().map(|assigned| (assigned.partition, member.id.0.clone()))
    });
    owned.collect()
}

/// A consumer group's name. Names of our own, such as those of subscriptions, are none.
pub(super) fn check_group_name(name: &str) -> Result<(), WeirError> {
    if name_is_valid(name) {
        return Ok(());
    }
    let shown: String = name.chars().take(60).collect();
    Err(invalid("invalid-name", format!("`{shown}` is not a valid group name")))
}

fn invalid(code: &str, message: String) -> WeirError {
    WeirError::new(ErrorKind::Invalid, code, message)
}
