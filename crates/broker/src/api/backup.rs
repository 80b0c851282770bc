//! What a backup is made of: the registry's description, and an image of each partition.

use std::collections::{BTreeMap, BTreeSet};

use weir_consensus::{EntryPosition, Image};
use weir_metadata::{Partition, Registry};
use weir_types::{ClusterId, ErrorKind, GroupId, TopicId, WeirError};

use super::bodies::read_error;
use crate::broker::Broker;
use crate::hosted::{Hosted, Kind, with_partition};

/// What there is to be backed up.
#[derive(Clone, Debug)]
pub struct BackupPlan {
    /// The cluster.
    pub cluster: ClusterId,
    /// What a restore needs of the registry, encoded.
    pub registry: Vec<u8>,
    /// The partitions, in order of group.
    pub partitions: Vec<PlannedPartition>,
}

/// A partition that is to be backed up.
#[derive(Clone, Debug)]
pub struct PlannedPartition {
    /// Its group.
    pub group: GroupId,
    /// Its topic.
    pub topic: String,
    /// Its number.
    pub index: u32,
    /// Partitions that links lead to from here: their images are to be younger.
    pub sends_to: BTreeSet<GroupId>,
}

/// A partition's image.
pub struct PartitionImage {
    /// The last entry in it.
    pub position: EntryPosition,
    /// Partitions that something was ever sent to from here, by whatever way: their images are to be younger.
    pub sends_to: BTreeSet<GroupId>,
    /// The image; none when the caller has one of this position.
    pub image: Option<Image>,
}

impl Broker {
    /// What there is to be backed up, as of this moment.
    pub async fn plan_backup(&self) -> Result<BackupPlan, WeirError> {
        self.freshen().await?;
        let described = self.registry(Registry::describe).ok_or_else(|| {
            WeirError::new(ErrorKind::Retry, "cluster-not-formed", "the cluster is not formed yet")
        })?;
        let names: BTreeMap<TopicId, &str> =
            described.topics.iter().map(|topic| (topic.id, topic.name.as_str())).collect();
        let mut groups: BTreeMap<TopicId, BTreeSet<GroupId>> = BTreeMap::new();
        for partition in &described.partitions {
            groups.entry(partition.topic).or_default().insert(partition.group);
        }
        // The partitions of the topics that a partition's topic has links to.
        let linked = |from: TopicId| {
            let links = described.links.iter().filter(move |link| link.from == from);
            links.filter_map(|link| groups.get(&link.to)).flatten().copied().collect()
        };
        let planned = |partition: &Partition| PlannedPartition {
            group: partition.group,
            topic: names.get(&partition.topic).map_or_else(String::new, |name| (*name).to_owned()),
            index: partition.index,
            sends_to: linked(partition.topic),
        };
        Ok(BackupPlan {
            cluster: described.cluster,
            registry: described.encode(),
            partitions: described.partitions.iter().map(planned).collect(),
        })
    }

    /// A partition's image, which holds everything that was acknowledged before this call; on the partition's leader only.
    /// None is made when the one of `known` holds the same.
    pub async fn partition_image(
        &self,
        group: GroupId,
        known: Option<EntryPosition>,
    ) -> Result<PartitionImage, WeirError> {
        let hosted = self.serving(group)?;
        let image = with_partition!(&hosted.partition, partition => {
            partition.barrier().await?;
            partition.group().image().await
        });
        let image = image.map_err(|error| read_error(&error))?;
        let position = image.position();
        let image = (known != Some(position)).then_some(image);
        Ok(PartitionImage { position, sends_to: sends_to(&hosted), image })
    }
}

fn sends_to(hosted: &Hosted) -> BTreeSet<GroupId> {
    match &hosted.partition {
        Kind::Queue(queue) => queue.read(|replica| replica.state().outbox().destinations().collect()),
        Kind::Stream(stream) => stream.read(|replica| replica.state().outbox().destinations().collect()),
        Kind::Coordinator(_) => BTreeSet::new(),
    }
}
