//! What the leader of a partition does when the partition is split or merged, and afterwards.
//!
//! ```text
//!  registry:  sealing, children formed ──► Seal ──► Inherit to each child (queues) ──► PartitionSealed ──► sealed
//!  sealed:    keys that are drained ──► Drained to the child ──► ConfirmDrained     (FIFO queues)
//!             a day later, with nothing in it ──► RetirePartition
//! ```
//!
//! Each step may be repeated, by this leader or the next one, so nothing is kept here that the next one would miss.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use tokio::time::Instant;
use tracing::{debug, info};
use weir_metadata::{Command, Registry, Stage};
use weir_queue::Queue;
use weir_types::{ErrorKind, GroupId, KeyHash, KeyRange, WallClock, WeirError};

use crate::api::nodes::SHOWN_WITHIN;
use crate::broker::Broker;
use crate::hosted::Kind;
use crate::links::Wakes;
use crate::partition::Partition;
use crate::remote::Request;
use crate::replica::unexpected;
use crate::rest::Rest;
use crate::transfers::all_arrived;

/// A sealed partition is not removed before: whoever still sends to it what it has taken in already is told so until then.
const RETIRE_AFTER: Duration = Duration::from_hours(24);
/// How long outputs may take to arrive where they belong before all of it is begun anew, with those that have come meanwhile.
const OUTPUTS_WITHIN: Duration = Duration::from_secs(30);
/// Partitions that are asked at once whether their outboxes hold something for one that is to go.
const ASKED_AT_ONCE: usize = 16;
/// How long the age of a sealed partition is not looked at: its wall clock may be set meanwhile.
const LOOK_AGAIN: Duration = Duration::from_mins(10);

/// Looks after one partition while this node leads it; ends when its replica is closed.
pub(crate) async fn run(broker: Broker, group: GroupId, mut wakes: Wakes) {
    let mut duty = Duty::of(&broker, group);
    let mut rest = Rest::default();
    loop {
        let mut again = None;
        if wakes.leads() && duty != Duty::Nothing && rest.until().is_none() {
            // Large and rare: every other partition would keep the room for it.
            match Box::pin(perform(&broker, group, duty)).await {
                Ok(next) => {
                    rest.succeeded();
                    again = next;
                }
                Err(error) => {
                    debug!(%group, %error, "splitting or merging has to wait");
                    rest.failed(&broker.inner().runtime);
                }
            }
        }
        match wakes.next(again.or_else(|| rest.until())).await {
            Some(true) => duty = Duty::of(&broker, group),
            Some(false) => {}
            None => return,
        }
    }
}

/// What a partition's leader owes it, as the registry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Duty {
    Nothing,
    /// To seal it: its children are there.
    Seal,
    /// To tell its children what is drained, and to let it go in the end.
    Empty,
}

impl Duty {
    fn of(broker: &Broker, group: GroupId) -> Self {
        broker.registry(|registry| match registry.stage(group) {
            Stage::Sealing if registry.is_to_be_sealed(group) => Self::Seal,
            Stage::Sealed => Self::Empty,
            Stage::Open | Stage::Coming | Stage::Sealing => Self::Nothing,
        })
    }
}

/// One step; when to look again, unless something changes before.
async fn perform(broker: &Broker, group: GroupId, duty: Duty) -> Result<Option<Instant>, WeirError> {
    match (duty, broker.serving(group)?.partition) {
        (Duty::Nothing, _) | (_, Kind::Coordinator(_)) => Ok(None),
        (Duty::Seal, Kind::Queue(queue)) => {
            seal_queue(broker, group, &queue).await?;
            bequeath(broker, group, &queue).await?;
            // What the children do not wait for, since it was drained before they were told what they inherit.
            if queue.read(|replica| replica.state().policy().fifo) {
                all_arrived(broker, &queue, OUTPUTS_WITHIN).await?;
            }
            report(broker, group).await.map(|()| None)
        }
        (Duty::Seal, Kind::Stream(stream)) => {
            let is_new = !stream.read(|replica| replica.state().is_sealed());
            match stream.propose(weir_stream::Command::Seal).await? {
                weir_stream::Reply::Sealed { end } => sealed(group, is_new, &format!("at offset {end}")),
                other => return Err(unexpected(&other)),
            }
            report(broker, group).await.map(|()| None)
        }
        (Duty::Empty, Kind::Queue(queue)) => {
            let told = tell_drained(broker, group, &queue).await;
            let emptied = queue.read(|replica| {
                let queue = replica.state();
                queue.sealed_at().filter(|_| queue.is_retirable())
            });
            let next = retire(broker, group, emptied).await?;
            told.map(|more| if more { Some(Instant::now()) } else { next })
        }
        (Duty::Empty, Kind::Stream(stream)) => {
            let emptied = stream.read(|replica| {
                let stream = replica.state();
                let is_empty = stream.start_offset() == stream.end_offset() && stream.outbox().is_empty();
                stream.sealed_at().filter(|_| is_empty)
            });
            retire(broker, group, emptied).await
        }
    }
}

/// Of a FIFO queue, a key that is drained goes on in a child at once, so what its acks have appended has to have arrived before
/// that. It is waited for here already, since nobody takes anything in between seal and report.
async fn seal_queue(broker: &Broker, group: GroupId, queue: &Partition<Queue>) -> Result<(), WeirError> {
    let (is_new, fifo) = queue.read(|replica| {
        let queue = replica.state();
        (!queue.is_sealed(), queue.policy().fifo)
    });
    if is_new && fifo {
        all_arrived(broker, queue, OUTPUTS_WITHIN).await?;
    }
    match queue.propose(weir_queue::Command::Seal).await? {
        weir_queue::Reply::Sealed => {
            let left = queue.read(|replica| replica.state().stats());
            let waiting = left.ready + left.leased + left.scheduled + left.delayed + left.parked;
            sealed(group, is_new, &format!("with {waiting} messages"));
            Ok(())
        }
        other => Err(unexpected(&other)),
    }
}

fn sealed(group: GroupId, is_new: bool, how: &str) {
    if is_new {
        metrics::counter!("weir_partitions_sealed_total").increment(1);
        info!(%group, "partition sealed {how}");
    }
}

/// The children of a partition that are still there, each with its keys.
fn children(registry: &Registry, group: GroupId) -> Vec<(GroupId, KeyRange)> {
    let children = registry.lineage(group).map_or(&[][..], |lineage| &lineage.children);
    let known = children.iter().filter_map(|child| registry.partition(*child));
    known.map(|child| (child.group, child.range)).collect()
}

/// The partitions whose keys a partition took over, as far as they are still there, and those that these took theirs from.
pub(crate) fn ancestors(registry: &Registry, group: GroupId) -> BTreeSet<GroupId> {
    let mut found = BTreeSet::new();
    let mut next = vec![group];
    while let Some(lineage) = next.pop().map(|group| registry.lineage(group)) {
        let parents = lineage.map_or(&[][..], |lineage| &lineage.parents);
        next.extend(parents.iter().filter(|parent| found.insert(**parent)));
    }
    found
}

/// Each child gets what it has to know of a queue before it may take in anything. What is drained meanwhile, it is told
/// afterwards.
async fn bequeath(broker: &Broker, group: GroupId, queue: &Partition<Queue>) -> Result<(), WeirError> {
    for (child, range) in broker.registry(|registry| children(registry, group)) {
        for inherit in queue.read(|replica| replica.state().inheritance(group, range)) {
            debug!(%group, %child, keys = inherit.keys.len(), "handing over to a child");
            broker.at_leader(child, Request::Inherit { child, inherit }).await?;
        }
        info!(%group, %child, %range, "child knows what it inherits");
    }
    Ok(())
}

/// The registry may give the keys to the children now.
async fn report(broker: &Broker, group: GroupId) -> Result<(), WeirError> {
    broker.metadata().propose(Command::PartitionSealed { group }).await?;
    info!(%group, "the registry knows that the partition is sealed");
    let shows = |registry: &Registry| !registry.is_to_be_sealed(group);
    if broker.metadata().wait_for(SHOWN_WITHIN, shows).await {
        return Ok(());
    }
    let message =
        format!("this node's copy of the registry does not know yet that partition {group} is sealed");
    Err(WeirError::new(ErrorKind::Retry, "registry-behind", message))
}

/// Tells the children which keys are drained, some at a time; whether there may be more. Only once the registry has given
/// them the keys: nothing of what they inherit is on its way to them any more.
async fn tell_drained(broker: &Broker, group: GroupId, queue: &Partition<Queue>) -> Result<bool, WeirError> {
    let children = broker.registry(|registry| children(registry, group));
    let shares = queue.read(|replica| by_child(&children, |range| replica.state().drained_in(range)));
    if shares.is_empty() {
        return Ok(false);
    }
    // What their last acks have appended must not be overtaken by what comes of their messages in a child.
    all_arrived(broker, queue, OUTPUTS_WITHIN).await?;
    let told = shares.into_iter().map(|(child, keys)| async move {
        let count = keys.len();
        if let Some(child) = child {
            let request = Request::Drained { child, parent: group, keys: keys.clone() };
            broker.at_leader(child, request).await?;
        }
        queue.propose(weir_queue::Command::ConfirmDrained { keys }).await?;
        metrics::counter!("weir_drained_keys_total").increment(count as u64);
        debug!(%group, child = child.map(|child| child.0), count, "keys are drained");
        Ok(())
    });
    // A child that cannot be reached holds up no other.
    let outcomes: Vec<Result<(), WeirError>> = futures::future::join_all(told).await;
    outcomes.into_iter().collect::<Result<(), _>>()?;
    Ok(true)
}

/// The keys that each child waits for, of those that are drained in a range. None stands for the children that are gone: nobody
/// waits for theirs. Each is asked for apart, so that a child with many of them that cannot be reached holds up no other.
fn by_child(
    children: &[(GroupId, KeyRange)],
    drained_in: impl Fn(KeyRange) -> Vec<KeyHash>,
) -> BTreeMap<Option<GroupId>, Vec<KeyHash>> {
    let nobody = |key: &KeyHash| !children.iter().any(|(_, range)| range.contains(*key));
    let of_nobody: Vec<KeyHash> = drained_in(KeyRange::ALL).into_iter().filter(nobody).collect();
    let of_each = children.iter().map(|(child, range)| (Some(*child), drained_in(*range)));
    of_each.chain([(None, of_nobody)]).filter(|(_, keys)| !keys.is_empty()).collect()
}

/// Removes a sealed partition that holds nothing (`emptied` says since when it is sealed) when it is old enough; when to
/// look again. The oldest go first, or nothing would say any more that what is in a grandparent comes before its grandchild's.
async fn retire(
    broker: &Broker,
    group: GroupId,
    emptied: Option<WallClock>,
) -> Result<Option<Instant>, WeirError> {
    let Some(sealed_at) = emptied else { return Ok(None) };
    if !broker.registry(|registry| registry.is_retirable(group)) {
        return Ok(None);
    }
    if let Some(wait) = waits(sealed_at, broker.wall()) {
        return Ok(Some(Instant::now() + wait.min(LOOK_AGAIN)));
    }
    check_nobody_sends(broker, group).await?;
    info!(%group, "a sealed partition that holds nothing is removed");
    broker.metadata().propose(Command::RetirePartition { group }).await?;
    Ok(None)
}

/// What an outbox still holds for a partition could not be cut anew any more once that is gone, so every partition is asked;
/// one that does not answer may hold something.
async fn check_nobody_sends(broker: &Broker, group: GroupId) -> Result<(), WeirError> {
    let all: Vec<GroupId> = broker.registry(|registry| {
        let topics = registry.topics().map(|topic| topic.id);
        topics.flat_map(|topic| registry.all_partitions(topic)).map(|partition| partition.group).collect()
    });
    let asked = all.into_iter().map(|source| async move {
        broker.at_leader(source, Request::Awaits { group: source, destination: group }).await.map(drop)
    });
    futures::stream::iter(asked).buffer_unordered(ASKED_AT_ONCE).try_collect().await
}

/// How long a partition has to stay yet.
fn waits(sealed_at: WallClock, now: WallClock) -> Option<Duration> {
    let left = RETIRE_AFTER.saturating_sub(Duration::from_millis(now - sealed_at));
    (!left.is_zero()).then_some(left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_child_is_told_of_its_own_keys_and_nobody_of_those_of_a_child_that_is_gone() {
        let range = |index| KeyRange::part(index, 4);
        let children = [(GroupId(8), range(0)), (GroupId(9), range(2))];
        let keys: Vec<KeyHash> = (0..4).map(|index| range(index).last()).collect();
        let shares =
            by_child(&children, |range| keys.iter().copied().filter(|key| range.contains(*key)).collect());
        let expected = [
            (None, vec![range(1).last(), range(3).last()]),
            (Some(GroupId(8)), vec![range(0).last()]),
            (Some(GroupId(9)), vec![range(2).last()]),
        ];
        assert_eq!(shares, BTreeMap::from(expected));
    }

    #[test]
    fn a_sealed_partition_stays_for_a_day_also_when_a_clock_was_set_back() {
        let day = RETIRE_AFTER.as_millis() as u64;
        let sealed_at = WallClock(1_000);
        assert_eq!(waits(sealed_at, WallClock(1_000 + day)), None);
        assert_eq!(waits(sealed_at, WallClock(999 + day)), Some(Duration::from_millis(1)));
        assert_eq!(waits(sealed_at, WallClock(5)), Some(RETIRE_AFTER));
    }
}
