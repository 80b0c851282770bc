//! The replicas of this node: opened, closed and destroyed as the registry says.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tracing::{debug, info};
use weir_consensus::{Group, GroupSpec};
use weir_metadata::{Contents, DesiredReplica, Fate, Role};
use weir_queue::Queue;
use weir_storage::LogClass;
use weir_stream::Stream;
use weir_types::{ErrorKind, GroupId, LeaseId, LogIndex, NodeId, QueuePolicy, ReplicaId, Row, WeirError};

use super::{Memory, update_addresses};
use crate::broker::Broker;
use crate::compaction;
use crate::founding::storage;
use crate::hosted::{Hosted, Kind};
use crate::links;
use crate::node::consensus;
use crate::partition::Partition;
use crate::relocation;
use crate::remote::Request;
use crate::replica::{Replica, State};
use crate::reshaping;
use crate::transfers;

/// How long the preferred leader of a new group waits until a majority of its voters is there to vote.
const OPENING_PATIENCE: Duration = Duration::from_secs(2);
/// How long it has to form the group before another of its voters does.
const PREFERRED_PATIENCE: Duration = Duration::from_secs(3);
/// Rows of the node that say which replica the data of a group are.
const REPLICA_PREFIX: &[u8] = b"replica/";

/// Brings this node's replicas in line with the registry, if that has changed.
pub(super) async fn reconcile(
    broker: &Broker,
    memory: &Mutex<Memory>,
    nudge: &Arc<Notify>,
) -> Result<(), WeirError> {
    let version = broker.registry(weir_metadata::Registry::version);
    if version == 0 || memory.lock().version == Some(version) {
        return Ok(());
    }
    update_addresses(broker);
    if !broker.registry_has_reissue() {
        return Ok(());
    }
    let desired: BTreeMap<GroupId, DesiredReplica> = broker
        .registry(|registry| registry.replicas_on(broker.node()))
        .into_iter()
        .map(|desired| (desired.partition.group, desired))
        .collect();
    let mut is_other = close_others(broker, &desired).await;
    let mut outcome = delete_leftovers(broker, &desired).await;
    let mut opened: BTreeMap<NodeId, Vec<GroupId>> = BTreeMap::new();
    for desired in desired.into_values() {
        let group = desired.partition.group;
        if broker.inner().hosted.read().contains_key(&group) {
            serve_restored(broker, &desired);
            continue;
        }
        let former = former(broker, &desired);
        // One replica that cannot be opened keeps no other closed.
        let open = open(broker, desired, nudge).await;
        is_other |= open.is_ok();
        if let Some(former) = former.filter(|_| open.is_ok()) {
            opened.entry(former).or_default().push(group);
        }
        outcome = outcome.and(open);
    }
    tell_formers(broker, opened);
    forget_openings(broker);
    if is_other {
        bump(broker);
    }
    outcome?;
    memory.lock().version = Some(version);
    Ok(())
}

/// The node that is to form a new group.
fn former(broker: &Broker, desired: &DesiredReplica) -> Option<NodeId> {
    if desired.formed || desired.role != Role::Voter {
        return None;
    }
    let preferred = broker
        .registry(|registry| registry.membership(desired.partition.group).map(|m| m.preferred_leader))?;
    desired.members.voters.get(&preferred).copied()
}

/// Tells whoever is to form new groups that they are open here, so that it finds voters.
fn tell_formers(broker: &Broker, opened: BTreeMap<NodeId, Vec<GroupId>>) {
    for (former, groups) in opened {
        if former == broker.node() {
            broker.note_open(former, &groups);
            continue;
        }
        let Some(address) = broker.inner().directory.client_address(former) else { continue };
        let asking = broker.clone();
        broker.inner().tasks.lock().spawn(async move {
            let request = Request::Opened { node: asking.node(), groups };
            // It forms the groups all the same, only later.
            if let Err(error) = asking.ask(&address, &request).await {
                debug!(%former, %error, "new groups were not announced");
            }
        });
    }
}

/// Forgets where groups are open that are formed by now: some were announced after that.
fn forget_openings(broker: &Broker) {
    let formed = |group: &GroupId| {
        broker.registry(|registry| registry.membership(*group).is_some_and(|membership| membership.formed))
    };
    broker.inner().openings.send_if_modified(|open| {
        let before = open.len();
        open.retain(|group, _| !formed(group));
        open.len() != before
    });
}

/// Stops replicas that are not this node's any more; whether there were any.
async fn close_others(broker: &Broker, desired: &BTreeMap<GroupId, DesiredReplica>) -> bool {
    let inner = broker.inner();
    let open: Vec<(GroupId, ReplicaId)> =
        inner.hosted.read().iter().map(|(group, hosted)| (*group, hosted.replica)).collect();
    let mut closed = false;
    for (group, replica) in open {
        if desired.get(&group).is_some_and(|desired| desired.replica == replica) {
            continue;
        }
        inner.hosted.write().remove(&group);
        inner.sessions.lock().remove(&group);
        inner.groups.close(group).await;
        closed = true;
    }
    closed
}

/// Deletes the data of replicas that the cluster has done with: those that were just closed, and those that were
/// to go while this node was away, or when it crashed.
async fn delete_leftovers(
    broker: &Broker,
    desired: &BTreeMap<GroupId, DesiredReplica>,
) -> Result<(), WeirError> {
    let inner = broker.inner();
    for row in inner.store.node_rows().with_prefix(REPLICA_PREFIX).await.map_err(storage)? {
        let (group, replica) = remembered(&row)?;
        let wanted = desired.get(&group).is_some_and(|desired| desired.replica == replica);
        if wanted || broker.registry(|registry| registry.fate(group, replica)) != Fate::Destroy {
            continue;
        }
        info!(%group, %replica, "deleting a replica");
        if let Some(class) = inner.store.class_of(group) {
            inner.groups.destroy(GroupSpec { group, replica, class }).await.map_err(consensus)?;
        }
        forget(broker, group).await?;
    }
    Ok(())
}

async fn open(broker: &Broker, desired: DesiredReplica, nudge: &Arc<Notify>) -> Result<(), WeirError> {
    let group = desired.partition.group;
    remember(broker, &desired).await?;
    if waits_for_image(broker, &desired).await? {
        return Ok(());
    }
    let partition = match &desired.contents {
        Contents::Queue(policy) => {
            let fifo = policy.fifo;
            Kind::Queue(open_as(broker, &desired, move || empty_queue(fifo)).await?)
        }
        Contents::Stream(_) => Kind::Stream(open_as(broker, &desired, State::empty).await?),
        Contents::Coordinator => Kind::Coordinator(open_as(broker, &desired, State::empty).await?),
    };
    let hosted = Hosted { replica: desired.replica, partition, restoring: desired.restoring };
    let mut leadership = hosted.leadership();
    broker.inner().hosted.write().insert(group, hosted.clone());
    if !hosted.restoring {
        start_senders(broker, group, &hosted);
    }
    let (watcher, nudge) = (broker.clone(), Arc::clone(nudge));
    broker.inner().tasks.lock().spawn(async move {
        while leadership.changed().await.is_ok() {
            bump(&watcher);
            nudge.notify_one();
        }
    });
    Ok(())
}

/// Whether this replica is to begin with an image that has not come yet. Nobody opens it before: a replica that is open
/// could vote for others, and take part in a group that is none.
async fn waits_for_image(broker: &Broker, desired: &DesiredReplica) -> Result<bool, WeirError> {
    let first = desired.restoring && former(broker, desired) == Some(broker.node());
    Ok(first && !is_seeded(broker, desired).await?)
}

/// Whether a replica of a restored partition has its image.
pub(crate) async fn is_seeded(broker: &Broker, desired: &DesiredReplica) -> Result<bool, WeirError> {
    let spec = spec_of(desired, desired.replica);
    let state = broker.inner().store.group(spec.group, spec.class).load().await.map_err(storage)?;
    Ok(state.purged.is_some())
}

/// Whether this node has cleared the way for this replica: what it had of a former one of the group is gone.
pub(crate) async fn is_remembered(broker: &Broker, desired: &DesiredReplica) -> Result<bool, WeirError> {
    let stored = broker.inner().store.node_rows().get(&replica_key(desired.partition.group)).await;
    Ok(stored.map_err(storage)?.as_deref() == Some(&desired.replica.0.to_be_bytes()[..]))
}

/// The restore of its topic is finished: the partition serves, and sends.
fn serve_restored(broker: &Broker, desired: &DesiredReplica) {
    let group = desired.partition.group;
    let hosted = {
        let mut hosted = broker.inner().hosted.write();
        let known = hosted.get_mut(&group).filter(|known| known.restoring && !desired.restoring);
        known.map(|known| {
            known.restoring = false;
            known.clone()
        })
    };
    if let Some(hosted) = hosted {
        start_senders(broker, group, &hosted);
    }
}

/// What its leader does by itself, besides the reconciler's duties: most of it sends to other partitions.
fn start_senders(broker: &Broker, group: GroupId, hosted: &Hosted) {
    let mut tasks = broker.inner().tasks.lock();
    let leadership = hosted.leadership();
    match &hosted.partition {
        Kind::Queue(queue) => {
            let wakes = links::Wakes::new(broker, queue.applied(), leadership.clone());
            tasks.spawn(links::moves::run(broker.clone(), group, wakes));
            let wakes = links::Wakes::new(broker, queue.applied(), leadership.clone());
            tasks.spawn(relocation::run(broker.clone(), group, wakes));
            let wakes = links::Wakes::new(broker, queue.applied(), leadership.clone());
            tasks.spawn(reshaping::run(broker.clone(), group, wakes));
            tasks.spawn(transfers::run::<Queue>(broker.clone(), group, queue.applied(), leadership));
        }
        Kind::Stream(stream) => {
            let wakes = links::Wakes::new(broker, stream.applied(), leadership.clone());
            tasks.spawn(links::subscriptions::run(broker.clone(), group, wakes));
            let wakes = links::Wakes::new(broker, stream.applied(), leadership.clone());
            tasks.spawn(compaction::run(broker.clone(), group, wakes));
            let wakes = links::Wakes::new(broker, stream.applied(), leadership.clone());
            tasks.spawn(reshaping::run(broker.clone(), group, wakes));
            tasks.spawn(transfers::run::<Stream>(broker.clone(), group, stream.applied(), leadership));
        }
        Kind::Coordinator(_) => {}
    }
}

/// A queue's order is fixed when its topic is created, so every replica begins with it; the other settings, which
/// may change, come as a command.
fn empty_queue(fifo: bool) -> Queue {
    Queue::new(QueuePolicy { fifo, ..QueuePolicy::default() }, LeaseId(0))
}

async fn open_as<S: State>(
    broker: &Broker,
    desired: &DesiredReplica,
    empty: impl Fn() -> S + Send + Sync + 'static,
) -> Result<Partition<S>, WeirError> {
    let inner = broker.inner();
    let applied = watch::Sender::new(LogIndex(0));
    let seen = applied.subscribe();
    let spec = spec_of(desired, desired.replica);
    let make = move |rows| Replica::from_rows(rows, &empty, applied.clone());
    let group = inner.groups.open(spec, make).await.map_err(consensus)?;
    form_if_new(broker, desired, &group);
    Ok(Partition::start(group, seen, inner.directory.clone(), inner.runtime.clone()))
}

/// A new group is formed by its preferred leader, which so becomes its leader; if that is not there, by another
/// voter after a while. All name the same voters, so that more than one may.
fn form_if_new<S: State>(broker: &Broker, desired: &DesiredReplica, group: &Group<Replica<S>>) {
    if desired.formed || desired.role != Role::Voter {
        return;
    }
    if desired.restoring {
        campaign_if_seeded(broker, group);
        return;
    }
    if group.status().last_log.is_some() {
        return;
    }
    let preferred = former(broker, desired) == Some(broker.node());
    let (group, voters) = (group.clone(), desired.members.voters.clone());
    let id = desired.partition.group;
    let openings = broker.inner().openings.clone();
    broker.inner().tasks.lock().spawn(async move {
        if preferred {
            let majority = voters.len() / 2 + 1;
            let mut seen = openings.subscribe();
            let there = seen.wait_for(|open| open.get(&id).is_some_and(|nodes| nodes.len() >= majority));
            // Without them it is formed all the same: it elects as soon as they come.
            let _ = timeout(OPENING_PATIENCE, there).await;
            openings.send_modify(|open| {
                open.remove(&id);
            });
        } else {
            let mut leadership = group.leadership();
            let led = timeout(PREFERRED_PATIENCE, leadership.wait_for(|l| l.leader.is_some()));
            if led.await.is_ok() {
                return;
            }
        }
        if let Err(error) = group.initialize(voters).await {
            tracing::warn!(group = %id, %error, "the group could not be formed");
        }
    });
}

/// A restored group is formed by its only replica that has anything; the others wait for that one.
fn campaign_if_seeded<S: State>(broker: &Broker, group: &Group<Replica<S>>) {
    if group.status().last_log.is_some() {
        let group = group.clone();
        broker.inner().tasks.lock().spawn(async move { group.campaign().await });
    }
}

/// Notes which replica's data this is, so that another replica of the same group never starts on it.
async fn remember(broker: &Broker, desired: &DesiredReplica) -> Result<(), WeirError> {
    let inner = broker.inner();
    let rows = inner.store.node_rows();
    let key = replica_key(desired.partition.group);
    let stored = rows.get(&key).await.map_err(storage)?;
    let ours = desired.replica.0.to_be_bytes();
    match stored.as_deref() {
        Some(found) if found == ours => Ok(()),
        found => {
            if let Some(found) = found {
                let found = number(found).map(u64::from_be_bytes)?;
                info!(group = %desired.partition.group, found, wanted = %desired.replica, "deleting a former replica");
                inner.groups.destroy(spec_of(desired, ReplicaId(found))).await.map_err(consensus)?;
            }
            rows.put(&key, &ours).await.map_err(storage)
        }
    }
}

pub(crate) fn spec_of(desired: &DesiredReplica, replica: ReplicaId) -> GroupSpec {
    let class = match desired.contents {
        Contents::Stream(_) => LogClass::Stream,
        Contents::Queue(_) | Contents::Coordinator => LogClass::Queue,
    };
    GroupSpec { group: desired.partition.group, replica, class }
}

async fn forget(broker: &Broker, group: GroupId) -> Result<(), WeirError> {
    broker.inner().store.node_rows().delete(&replica_key(group)).await.map_err(storage)
}

fn replica_key(group: GroupId) -> Vec<u8> {
    [REPLICA_PREFIX, &group.0.to_be_bytes()].concat()
}

/// The group and the replica that a row names.
fn remembered(row: &Row) -> Result<(GroupId, ReplicaId), WeirError> {
    let group = number(&row.key[REPLICA_PREFIX.len()..]).map(u32::from_be_bytes)?;
    let replica = number(&row.value).map(u64::from_be_bytes)?;
    Ok((GroupId(group), ReplicaId(replica)))
}

fn number<const N: usize>(bytes: &[u8]) -> Result<[u8; N], WeirError> {
    bytes.try_into().map_err(|_| {
        let message = format!("{} bytes instead of {N} in a row that names a replica", bytes.len());
        WeirError::new(ErrorKind::Corrupt, "bad-replica-row", message)
    })
}

/// Whoever watches the routing table looks again.
pub(super) fn bump(broker: &Broker) {
    broker.inner().routing_version.send_modify(|version| *version += 1);
}

#[cfg(test)]
mod tests {
    use weir_queue::Command;
    use weir_types::{At, Output};

    use super::*;

    #[test]
    fn a_row_names_the_replica_that_it_was_written_for() {
        let row = Row { key: replica_key(GroupId(258)), value: 7u64.to_be_bytes().to_vec() };
        assert_eq!(remembered(&row).ok(), Some((GroupId(258), ReplicaId(7))));
        assert!(remembered(&Row { value: vec![1], ..row }).is_err());
    }

    #[test]
    fn a_fifo_queue_takes_its_topics_policy() {
        let mut queue = empty_queue(true);
        let policy = QueuePolicy { fifo: true, lease_ms: 7, ..QueuePolicy::default() };
        let command = Command::SetPolicy { policy: policy.clone() };
        let answer = queue.apply(At::default(), command, &mut Output::default());
        assert!(matches!(answer, Ok(Ok(_))), "{answer:?}");
        assert_eq!(*queue.policy(), policy);
    }
}
