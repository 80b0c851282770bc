//! What this node owes the groups that it leads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};
use weir_consensus::{GroupStatus, Members};
use weir_metadata::{Command, Contents, Level, Registry, Step};
use weir_queue::SessionEnding;
use weir_types::{ErrorKind, GroupId, ReplicaId, WeirError};

use super::Memory;
use crate::api::groups::report_partitions;
use crate::api::nodes::SHOWN_WITHIN;
use crate::broker::Broker;
use crate::hosted::{Hosted, Kind, with_partition};
use crate::node::consensus;
use crate::remote::Founding;
use crate::replica::State;

/// Groups that are worked on at once.
const GROUPS_AT_ONCE: usize = 16;
/// How long one group may hold a pass up; it is taken up again in the next.
const PATIENCE: Duration = Duration::from_secs(5);
/// After a leadership could not be handed over: each attempt may keep proposals out for a second.
const HANDOVER_PAUSE: Duration = Duration::from_secs(5);
/// A replica this close to the end of the log may take the lead.
const TRANSFER_LAG_MAX: u64 = 1_000;

/// Puts every group that this node leads in order. The first failure is returned after all were tried.
pub(super) async fn perform(broker: &Broker, memory: &Mutex<Memory>) -> Result<(), WeirError> {
    let led: Vec<(GroupId, Hosted)> = {
        let hosted = broker.inner().hosted.read();
        hosted.iter().filter(|(_, h)| h.leads()).map(|(group, h)| (*group, h.clone())).collect()
    };
    let leading = led_by(broker, &led);
    memory.lock().forget_but(&leading);
    let down = broker.unheard();
    let turns = broker.registry(|registry| registry.turns(&leading, &down));
    let duty = &Duty { broker, memory, led: leading, turns };
    let mut outcome = in_time(duty.metadata_group()).await;
    let work = led.into_iter().map(|(group, hosted)| in_time(duty.led_group(group, hosted)));
    let mut results = futures::stream::iter(work).buffer_unordered(GROUPS_AT_ONCE);
    while let Some(result) = results.next().await {
        outcome = outcome.and(result);
    }
    outcome
}

async fn in_time(work: impl Future<Output = Result<(), WeirError>>) -> Result<(), WeirError> {
    timeout(PATIENCE, work).await.unwrap_or_else(|_| {
        Err(WeirError::new(ErrorKind::Retry, "duty-unfinished", "a group's duty did not finish in time"))
    })
}

/// What this node owes in one pass.
struct Duty<'a> {
    broker: &'a Broker,
    memory: &'a Mutex<Memory>,
    /// The groups that it leads, and under which replica.
    led: BTreeMap<GroupId, ReplicaId>,
    /// Those in which a move may begin.
    turns: BTreeSet<GroupId>,
}

fn led_by(broker: &Broker, led: &[(GroupId, Hosted)]) -> BTreeMap<GroupId, ReplicaId> {
    let metadata = broker.metadata().partition();
    let registry = metadata.leadership().borrow().here.then(|| metadata.group().spec().replica);
    let registry = registry.map(|replica| (GroupId::METADATA, replica));
    led.iter().map(|(group, hosted)| (*group, hosted.replica)).chain(registry).collect()
}

impl Duty<'_> {
    async fn metadata_group(&self) -> Result<(), WeirError> {
        let broker = self.broker;
        let partition = broker.metadata().partition();
        if !partition.leadership().borrow().here {
            return Ok(());
        }
        if broker.registry(|registry| registry.cluster_id().is_none()) {
            let Some(founding) = broker.place().founding.clone() else { return Ok(()) };
            let level = broker.inner().founding_level;
            info!(cluster = %founding.cluster, %level, "forming the cluster");
            partition.propose(forming(founding, level)).await?;
        }
        self.membership(GroupId::METADATA, &Target::Metadata).await
    }

    async fn led_group(&self, group: GroupId, hosted: Hosted) -> Result<(), WeirError> {
        let Self { broker, memory, .. } = self;
        policy(broker, group, &hosted).await?;
        let term = hosted.leadership().borrow().term;
        if memory.lock().greeted.get(&group) != Some(&term) {
            orphaned_sessions(broker, group, &hosted).await?;
            memory.lock().greeted.insert(group, term);
        }
        if let Kind::Coordinator(shard) = &hosted.partition {
            let wanted: Vec<_> =
                shard.read(|replica| replica.state().topics_wanted().map(|(topic, _)| topic).collect());
            for topic in wanted {
                report_partitions(broker, shard, topic).await?;
            }
        }
        self.membership(group, &Target::Partition(hosted)).await
    }
}

/// What founds a cluster: its founders run one build, so all of them know a level that its leader knows.
fn forming(founding: Founding, level: Level) -> Command {
    let Founding { cluster, founders } = founding;
    let coordinator_shards = COORDINATOR_SHARDS;
    if level > Level::FIRST {
        Command::FoundCluster { cluster, founders, coordinator_shards, level }
    } else {
        Command::FormCluster { cluster, founders, coordinator_shards }
    }
}

/// Shards of the consumer-group coordinator of a new cluster, fixed for its life.
const COORDINATOR_SHARDS: u32 = 3;

/// The topic's settings reach the machine as a command, so that all replicas change at the same entry.
async fn policy(broker: &Broker, group: GroupId, hosted: &Hosted) -> Result<(), WeirError> {
    let contents = broker.registry(|registry| {
        let partition = registry.partition(group)?;
        registry.contents(partition)
    });
    match (&hosted.partition, contents) {
        (Kind::Queue(queue), Some(Contents::Queue(policy)))
            if queue.read(|replica| *replica.state().policy() != policy) =>
        {
            queue.propose(weir_queue::Command::SetPolicy { policy }).await?;
        }
        (Kind::Stream(stream), Some(Contents::Stream(policy)))
            if stream.read(|replica| *replica.state().policy() != policy) =>
        {
            stream.propose(weir_stream::Command::SetPolicy { policy }).await?;
        }
        _ => {}
    }
    Ok(())
}

/// The sessions of the leader before have no connection to this node yet: each has its grace to come back.
async fn orphaned_sessions(broker: &Broker, group: GroupId, hosted: &Hosted) -> Result<(), WeirError> {
    let Kind::Queue(queue) = &hosted.partition else { return Ok(()) };
    let connected = broker.connected(group);
    let connected = connected.lock().await;
    let orphans: Vec<_> = queue.read(|replica| {
        let sessions = replica.state().sessions();
        sessions.filter(|session| !connected.contains_key(session)).collect()
    });
    let mut closing = Vec::with_capacity(orphans.len());
    for session in orphans {
        let ending = SessionEnding::Lost;
        let command = weir_queue::Command::CloseSession { session, ending };
        closing.push(queue.admit(command, bytes::Bytes::new()).await?);
    }
    drop(connected);
    for closed in closing {
        closed.answer().await?.1.map_err(|rejection| <weir_queue::Queue as State>::error(&rejection))?;
    }
    Ok(())
}

/// The group whose membership is looked after.
enum Target {
    Metadata,
    Partition(Hosted),
}

/// Does the same with whatever group it is.
macro_rules! with_group {
    ($broker:expr, $target:expr, $group:ident => $body:expr) => {
        match $target {
            Target::Metadata => {
                let $group = $broker.metadata().partition().group();
                $body
            }
            Target::Partition(hosted) => {
                with_partition!(&hosted.partition, partition => {
                    let $group = partition.group();
                    $body
                })
            }
        }
    };
}

impl Duty<'_> {
    /// Reports the group's membership to the registry, and takes the next step towards the one it shall have.
    async fn membership(&self, group: GroupId, target: &Target) -> Result<(), WeirError> {
        let broker = self.broker;
        report(broker, group, target).await?;
        check_settled(group, &with_group!(broker, target, raft => raft.status()))?;
        let Some(leader) = self.led.get(&group) else { return Ok(()) };
        let next = broker.registry(|registry| {
            let step = registry.step(group, *leader)?;
            let begins = registry.begins_copy(group, &step);
            Some((step, begins && !self.turns.contains(&group)))
        });
        let Some((step, waits)) = next else { return Ok(()) };
        if waits {
            return self.wait_for_turn(group, &step);
        }
        let shown = format!("{step:?}");
        let done = match step {
            Step::HandOver { heirs } => return self.hand_over(group, target, &heirs).await,
            Step::AddLearner { replica, node } => {
                with_group!(broker, target, raft => raft.add_learner(replica, node).await)
            }
            Step::ChangeVoters { voters } => {
                let status = with_group!(broker, target, raft => raft.status());
                self.check_caught_up(group, &status, &voters)?;
                with_group!(broker, target, raft => raft.change_voters(voters).await)
            }
            Step::RemoveReplica { replica } => {
                with_group!(broker, target, raft => raft.remove_replica(replica).await)
            }
        };
        done.map_err(consensus)?;
        info!(%group, step = shown, "the group's membership was changed");
        report(broker, group, target).await
    }

    /// A move that waits for others begins when the registry shows one of them further; nothing tells that a node which
    /// was not heard is heard again.
    fn wait_for_turn(&self, group: GroupId, step: &Step) -> Result<(), WeirError> {
        match step {
            Step::AddLearner { node, .. } if !self.broker.inner().groups.hears(*node) => {
                let message =
                    format!("node {node}, which is to get a replica of group {group}, is not heard");
                Err(WeirError::new(ErrorKind::Retry, "replica-catching-up", message))
            }
            _ => Ok(()),
        }
    }

    /// The leadership goes to the preferred heir, or to the one with most of the log. Whoever leads then goes on.
    async fn hand_over(
        &self,
        group: GroupId,
        target: &Target,
        heirs: &BTreeSet<ReplicaId>,
    ) -> Result<(), WeirError> {
        let broker = self.broker;
        let failed = self.memory.lock().handovers.get(&group).copied();
        if failed.is_some_and(|at| at.elapsed() < HANDOVER_PAUSE) {
            let message = format!("the leadership of group {group} was not handed over a moment ago");
            return Err(WeirError::new(ErrorKind::Retry, "leadership-not-moved", message));
        }
        let status = with_group!(broker, target, raft => raft.status());
        let preferred = broker.registry(|registry| registry.membership(group).map(|m| m.preferred_leader));
        let mut able: Vec<ReplicaId> =
            heirs.iter().filter(|heir| keeps_up(broker, &status, **heir)).copied().collect();
        able.sort_by_key(|heir| {
            (Some(*heir) != preferred, Reverse(status.matched.get(heir).copied().flatten()))
        });
        for heir in able {
            match with_group!(broker, target, raft => raft.transfer_leader(heir).await) {
                // Whoever leads now looks after the rest.
                Ok(()) | Err(weir_consensus::Error::NotLeader { .. }) => {
                    self.memory.lock().handovers.remove(&group);
                    return Ok(());
                }
                Err(error) => warn!(%group, to = %heir, %error, "leadership was not handed over"),
            }
        }
        self.memory.lock().handovers.insert(group, Instant::now());
        let message = format!("no other voter of group {group} can lead it yet");
        Err(WeirError::new(ErrorKind::Retry, "leadership-not-moved", message))
    }

    /// A replica becomes a voter when it is heard and has everything that was in the log at an earlier look: a
    /// majority must not have to wait for it. And with it, most of those that are to vote must keep up.
    fn check_caught_up(
        &self,
        group: GroupId,
        status: &GroupStatus,
        voters: &BTreeSet<ReplicaId>,
    ) -> Result<(), WeirError> {
        let last = status.last_log.unwrap_or_default();
        let marks = &mut self.memory.lock().marks;
        // Moves that were taken back leave nothing behind.
        marks.retain(|(of, replica), _| *of != group || voters.contains(replica));
        for replica in voters.iter().filter(|replica| !status.voters.contains_key(replica)) {
            let mark = marks.entry((group, *replica)).or_insert(last);
            let matched = status.matched.get(replica).copied().flatten();
            let reached = matched.is_some_and(|matched| matched >= *mark);
            if reached && keeps_up(self.broker, status, *replica) {
                continue;
            }
            if reached {
                // What was written meanwhile is the next lap, shorter than this one.
                *mark = last;
            }
            let message = format!("replica {replica} has not caught up yet");
            return Err(WeirError::new(ErrorKind::Retry, "replica-catching-up", message));
        }
        let there = voters.iter().filter(|replica| keeps_up(self.broker, status, **replica)).count();
        if there <= voters.len() / 2 {
            let message = format!("only {there} of {} replicas that are to vote keep up", voters.len());
            return Err(WeirError::new(ErrorKind::Retry, "replica-catching-up", message));
        }
        marks.retain(|(of, _), _| *of != group);
        Ok(())
    }
}

/// Whether a replica is heard and close to the end of its leader's log; the leader is.
fn keeps_up(broker: &Broker, status: &GroupStatus, replica: ReplicaId) -> bool {
    let node = status.voters.get(&replica).or_else(|| status.learners.get(&replica));
    let Some(node) = node else { return false };
    if *node == broker.node() {
        return true;
    }
    let last = status.last_log.unwrap_or_default();
    let matched = status.matched.get(&replica).copied().flatten();
    let close = matched.is_some_and(|matched| last.0.saturating_sub(matched.0) <= TRANSFER_LAG_MAX);
    close && broker.inner().groups.hears(*node)
}

/// Nothing rings when a change that somebody else began is committed, so it is looked for.
fn check_settled(group: GroupId, status: &GroupStatus) -> Result<(), WeirError> {
    let same = |members: &Members| members.voters == status.voters && members.learners == status.learners;
    if status.members.as_ref().is_none_or(same) {
        return Ok(());
    }
    let message = format!("the last change of the members of group {group} is not committed yet");
    Err(WeirError::new(ErrorKind::Retry, "duty-unfinished", message))
}

/// Tells the registry of the group's committed membership, and waits until this node's copy knows it: an older copy would
/// ask for steps that were taken already. What is not committed may be taken back, so nobody is told of it.
async fn report(broker: &Broker, group: GroupId, target: &Target) -> Result<(), WeirError> {
    let status = with_group!(broker, target, raft => raft.status());
    let known = broker.registry(|registry| registry.membership(group).cloned());
    let (Some(known), Some(members)) = (known, status.members) else { return Ok(()) };
    let Members { index, voters, learners } = members;
    let generation = index.next().0;
    // The same members may have come back: the entry tells whether this copy knows what was between.
    if known.formed && generation <= known.generation {
        return Ok(());
    }
    let command = Command::MembershipChanged { group, voters, learners, generation };
    broker.metadata().propose(command).await?;
    let shows = |registry: &Registry| {
        registry.membership(group).is_none_or(|known| known.formed && known.generation >= generation)
    };
    if broker.metadata().wait_for(SHOWN_WITHIN, shows).await {
        return Ok(());
    }
    let message = format!("this node's copy of the registry does not know the members of group {group} yet");
    Err(WeirError::new(ErrorKind::Retry, "registry-behind", message))
}

/// Gives leadership back to preferred replicas that are close enough to take it.
pub(super) async fn balance_leaders(broker: &Broker) {
    let led: Vec<(GroupId, Hosted)> = {
        let hosted = broker.inner().hosted.read();
        hosted.iter().filter(|(_, h)| h.leads()).map(|(group, h)| (*group, h.clone())).collect()
    };
    for (group, hosted) in led {
        let preferred = broker.registry(|registry| {
            let membership = registry.membership(group)?;
            let to = membership.preferred_leader;
            let node = membership.current.voters.get(&to)?;
            (to != hosted.replica && broker.inner().groups.hears(*node)).then_some(to)
        });
        let Some(to) = preferred else { continue };
        let view = hosted.view();
        let close = view.replicas.iter().any(|(replica, _, lag)| *replica == to && *lag <= TRANSFER_LAG_MAX);
        if close && let Err(error) = hosted.transfer_leader(to).await {
            warn!(%group, %to, %error, "leadership was not handed over");
        }
    }
}
