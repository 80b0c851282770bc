//! A backup comes into a new cluster: its topics first, which nobody sees; then each partition's image, on the node that is to
//! lead it; and when all are there, the topics are shown.
//!
//! ```text
//!  begin_restore ──► registry: topics, partitions, links, producers; hidden
//!  restore_partition ──► the preferred leader's store ──► it opens, is elected, and sends the others a snapshot
//!       └──► leases are numbered anew; answers when a majority has all of it
//!  finish_restore ──► coordinator: epochs above those of the partitions ──► registry: shown
//! ```

use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use weir_consensus::{EntryPosition, Seed};
use weir_metadata::{COORDINATOR, Command, Described, DesiredReplica, Feature, Registry, Reply, Role, Stage};
use weir_types::{Corrupt, ErrorKind, GroupId, RequestId, WeirError};

use super::nodes::SHOWN_WITHIN;
use crate::broker::Broker;
use crate::hosted::{Hosted, Kind};
use crate::node::consensus;
use crate::reconciler::replicas::{is_remembered, is_seeded, spec_of};
use crate::remote::{self, Answer, Request};
use crate::replica::unexpected;

/// How long a seeded replica may take until it leads and a majority has its image: that of a large partition is sent over
/// the network once more.
const LED_WITHIN: Duration = Duration::from_mins(10);

/// Where the image of a partition is to go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The partition's group.
    pub group: GroupId,
    /// Client address of the node that is to lead it.
    pub address: String,
}

/// A partition whose image is on its way in.
pub struct PartitionRestore {
    broker: Broker,
    request: RequestId,
    desired: DesiredReplica,
    position: EntryPosition,
    /// None when the image is there already: the caller repeats itself.
    seed: Option<Seed>,
}

impl Broker {
    /// Takes in the topics that a backup's registry describes, hidden; tells where their images are to go. Gives up a
    /// restore that is under way. A retry changes nothing.
    pub async fn begin_restore(
        &self,
        request: RequestId,
        registry: &[u8],
    ) -> Result<Vec<RestoreTarget>, WeirError> {
        let described = Described::decode(registry)
            .map_err(|Corrupt(what)| WeirError::new(ErrorKind::Corrupt, "backup-damaged", what))?;
        self.require(Feature::Restore).await?;
        let command = if described.lineages.is_empty() {
            Command::BeginRestore { request, described: described.description }
        } else {
            self.require(Feature::Reshaping).await?;
            Command::BeginRestoreOf { request, described }
        };
        let shows = |registry: &Registry| !registry.restoring(request).is_empty();
        match self.change(command, shows).await? {
            Reply::RestoreBegun => {}
            other => return Err(unexpected(&other)),
        }
        let target = |registry: &Registry, (group, replica)| {
            let node = registry.membership(group)?.node_of(replica)?;
            Some(RestoreTarget { group, address: registry.node(node)?.addresses.client.clone() })
        };
        Ok(self.registry(|registry| {
            let waiting = registry.restoring(request).into_iter();
            waiting.filter_map(|partition| target(registry, partition)).collect()
        }))
    }

    /// Begins to take the image of a partition in, on the node that is to lead it.
    pub async fn restore_partition(
        &self,
        request: RequestId,
        group: GroupId,
        position: EntryPosition,
    ) -> Result<PartitionRestore, WeirError> {
        let waits =
            |registry: &Registry| registry.restoring(request).iter().any(|(known, _)| *known == group);
        if !self.metadata().wait_for(SHOWN_WITHIN, waits).await {
            let message = format!("partition {group} is not being restored under restore {request}");
            return Err(WeirError::new(ErrorKind::NotFound, "restore-not-under-way", message));
        }
        let all = self.registry(|registry| registry.replicas_on(self.node())).into_iter();
        let mut ours = all.filter(|desired| desired.partition.group == group && self.is_preferred(desired));
        let desired = ours.next().ok_or_else(|| {
            let message = format!("partition {group} is to be restored on another node");
            WeirError::new(ErrorKind::Invalid, "not-a-voter", message)
        })?;
        if !is_remembered(self, &desired).await? {
            let message = format!("partition {group} is starting on this node");
            return Err(WeirError::new(ErrorKind::Retry, "partition-starting", message).after_ms(50));
        }
        self.check_room()?;
        let there = desired.formed || is_seeded(self, &desired).await?;
        let spec = spec_of(&desired, desired.replica);
        let seed = if there { None } else { Some(self.inner().groups.seed(spec).await.map_err(consensus)?) };
        Ok(PartitionRestore { broker: self.clone(), request, desired, position, seed })
    }

    fn is_preferred(&self, desired: &DesiredReplica) -> bool {
        let membership = |registry: &Registry| {
            registry.membership(desired.partition.group).map(|known| known.preferred_leader)
        };
        // One that has come in the place of a lost one has no vote in a group that was never formed.
        desired.role == Role::Voter && self.registry(membership) == Some(desired.replica)
    }

    /// Shows the topics of a restore, all of whose partitions have their images; `epoch` is the highest that one of them
    /// knows.
    pub async fn finish_restore(&self, request: RequestId, epoch: u64) -> Result<(), WeirError> {
        for (_, shard) in self.partitions_of(COORDINATOR) {
            let command = weir_groups::Command::RaiseEpochs { above: weir_groups::Epoch(epoch) };
            match self.at_leader(shard, Request::Coordinator { shard, command }).await? {
                Answer::Coordinator(weir_groups::Reply::EpochsRaised) => {}
                other => return Err(remote::unexpected(&other)),
            }
        }
        let shows = |registry: &Registry| registry.restoring(request).is_empty();
        match self.change(Command::FinishRestore { request }, shows).await? {
            Reply::RestoreFinished => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    /// Removes everything of a restore that is under way.
    pub async fn abandon_restore(&self, request: RequestId) -> Result<(), WeirError> {
        let shows = |registry: &Registry| registry.restoring(request).is_empty();
        match self.change(Command::AbandonRestore { request }, shows).await? {
            Reply::RestoreAbandoned => Ok(()),
            other => Err(unexpected(&other)),
        }
    }
}

impl PartitionRestore {
    /// Takes the next bytes of the image.
    pub async fn chunk(&mut self, bytes: Bytes) -> Result<(), WeirError> {
        match &mut self.seed {
            Some(seed) => seed.chunk(bytes).await.map_err(|error| damaged(&error)),
            None => Ok(()),
        }
    }

    /// All bytes have come. Returns when the partition stands on a majority of its nodes: the highest epoch of a consumer
    /// group in it.
    pub async fn finish(self) -> Result<u64, WeirError> {
        let Self { broker, request, desired, position, seed } = self;
        if let Some(seed) = seed {
            let voters = desired.members.voters.clone();
            // A restore that was given up meanwhile has been cleared away, or is about to be.
            let ours = (desired.partition.group, desired.replica);
            let wanted = || broker.registry(|registry| registry.restoring(request).contains(&ours));
            seed.finish(position, voters, wanted).await.map_err(|error| damaged(&error))?;
            broker.inner().seeded.notify_one();
        }
        let group = desired.partition.group;
        let led = timeout(LED_WITHIN, led_here(&broker, group)).await.map_err(|_| {
            let message = format!("partition {group} has its image, and is not led by this node");
            WeirError::new(ErrorKind::Retry, "no-leader", message).after_ms(500)
        })?;
        let led = led?;
        let highest_epoch = match &led.partition {
            Kind::Queue(queue) => {
                queue.propose(weir_queue::Command::RaiseLeases).await?;
                0
            }
            Kind::Stream(stream) => {
                stream.barrier().await?;
                stream.read(|replica| replica.state().epoch_max().0)
            }
            Kind::Coordinator(_) => 0,
        };
        // Who described it as one that takes in what comes would send it what it refuses, and the other way round.
        let is_there = |registry: &Registry| registry.partition(group).is_some();
        let described = broker.registry(|known| is_there(known).then(|| known.stage(group) == Stage::Sealed));
        if described.is_some_and(|is_sealed| is_sealed != led.is_sealed()) {
            let message = format!("the image of partition {group} is not of the time of the description");
            return Err(WeirError::new(ErrorKind::Corrupt, "backup-damaged", message));
        }
        Ok(highest_epoch)
    }
}

/// Waits until this node leads a partition: then a majority has all that this replica had.
async fn led_here(broker: &Broker, group: GroupId) -> Result<Hosted, WeirError> {
    let mut changes = broker.routing_version();
    loop {
        changes.borrow_and_update();
        let hosted = broker.inner().hosted.read().get(&group).cloned();
        if let Some(hosted) = hosted.filter(Hosted::leads) {
            return Ok(hosted);
        }
        if broker.registry(|registry| registry.partition(group).is_none()) {
            let message = format!("the restore of partition {group} was given up");
            return Err(WeirError::new(ErrorKind::NotFound, "restore-not-under-way", message));
        }
        changes
            .changed()
            .await
            .map_err(|_| WeirError::new(ErrorKind::Retry, "node-stopping", "this node is stopping"))?;
    }
}

/// What cannot be taken in is not what was backed up.
fn damaged(error: &weir_consensus::Error) -> WeirError {
    match error {
        weir_consensus::Error::Store(weir_storage::Error::SnapshotInvalid(what)) => {
            WeirError::new(ErrorKind::Corrupt, "backup-damaged", what.clone())
        }
        other => WeirError::new(ErrorKind::Internal, "consensus-failed", other.to_string()),
    }
}
