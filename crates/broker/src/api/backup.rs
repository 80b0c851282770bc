//! What a backup is made of: the registry's description, and an image of each partition.
//!
//! The images are of different moments. What has to hold between them, where something goes from one partition to another:
//!
//! | from, to | the images | or else |
//! |---|---|---|
//! | by a link, `ack_and_append`, `commit_and_append` | of the destination is younger | what the source has confirmed and forgotten is in neither |
//! | a stream's parent, its child | of the parent is younger | a group or subscription that had finished the parent is behind in it, and ahead in the child: it gets old records of a key after new ones, and skips some |
//! | a FIFO queue's parent, its child | are of one moment | with an older child, it waits for ever for a key that the parent has told it of and forgotten; with an older parent, it goes on with a key of which the parent has messages again |
//! | another queue's parent, its child | any | nothing goes from one to the other after the seal |
//!
//! The description is of a moment before all images, and holds no split or merge that is under way. One that begins later is
//! noticed: this node refuses an image of a partition that is being split or merged, and who makes the backup asks for the plan
//! once more when it has all images. Children have new groups and stay for a day at least, so there is a new group in a topic of
//! the first plan whenever something was split or merged in between, also when nobody asked for an image meanwhile; then the
//! backup is not kept.

use std::collections::{BTreeMap, BTreeSet};

use weir_consensus::{EntryPosition, Image};
use weir_metadata::{Described, Partition, Registry, Stage};
use weir_types::{ClusterId, ErrorKind, GroupId, TopicId, TopicPolicy, WeirError};

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
    /// Partitions that links lead to from here, and those that a child came of: their images are to be younger. Two that name
    /// each other are to have images of one moment.
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
    /// What there is to be backed up, as of this moment. Refused while a partition is split or merged.
    pub async fn plan_backup(&self) -> Result<BackupPlan, WeirError> {
        self.freshen().await?;
        let described = self.registry(Registry::describe)?;
        let registry = described.encode();
        let relatives = relatives(&described);
        let described = described.description;
        let names: BTreeMap<TopicId, &str> =
            described.topics.iter().map(|topic| (topic.id, topic.name.as_str())).collect();
        let mut groups: BTreeMap<TopicId, BTreeSet<GroupId>> = BTreeMap::new();
        for partition in &described.partitions {
            groups.entry(partition.topic).or_default().insert(partition.group);
        }
        // The partitions of the topics that a partition's topic has links to.
        let linked = |from: TopicId| {
            let links = described.links.iter().filter(move |link| link.from == from);
            links.filter_map(|link| groups.get(&link.to)).flatten().copied()
        };
        let planned = |partition: &Partition| PlannedPartition {
            group: partition.group,
            topic: names.get(&partition.topic).map_or_else(String::new, |name| (*name).to_owned()),
            index: partition.index,
            sends_to: linked(partition.topic)
                .chain(relatives.get(&partition.group).into_iter().flatten().copied())
                .collect(),
        };
        Ok(BackupPlan {
            cluster: described.cluster,
            registry,
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
        let reshaped = || {
            let message = format!("partition {group} is being split or merged");
            WeirError::new(ErrorKind::Retry, "reshape-in-progress", message).after_ms(500)
        };
        let stage = self.registry(|registry| registry.stage(group));
        if matches!(stage, Stage::Coming | Stage::Sealing) {
            return Err(reshaped());
        }
        let image = with_partition!(&hosted.partition, partition => {
            partition.barrier().await?;
            partition.group().image().await
        });
        let image = image.map_err(|error| read_error(&error))?;
        // This node's copy of the registry may be behind. A partition that is not sealed now is not sealed in its image.
        if stage != Stage::Sealed && hosted.is_sealed() {
            return Err(reshaped());
        }
        let position = image.position();
        let image = (known != Some(position)).then_some(image);
        Ok(PartitionImage { position, sends_to: sends_to(&hosted), image })
    }
}

/// The parents and children of each partition whose images are to be younger than its own, by the table above.
fn relatives(described: &Described) -> BTreeMap<GroupId, BTreeSet<GroupId>> {
    let topics: BTreeMap<TopicId, &TopicPolicy> =
        described.description.topics.iter().map(|topic| (topic.id, &topic.policy)).collect();
    let mut relatives: BTreeMap<GroupId, BTreeSet<GroupId>> = BTreeMap::new();
    for partition in &described.description.partitions {
        let Some(lineage) = described.lineages.get(&partition.group) else { continue };
        let (parents, children) = (&lineage.parents[..], &lineage.children[..]);
        let younger = match topics.get(&partition.topic) {
            Some(TopicPolicy::Stream(_)) => parents.to_vec(),
            Some(TopicPolicy::Queue(queue)) if queue.fifo => [parents, children].concat(),
            Some(TopicPolicy::Queue(_)) | None => continue,
        };
        relatives.insert(partition.group, younger.into_iter().collect());
    }
    relatives
}

fn sends_to(hosted: &Hosted) -> BTreeSet<GroupId> {
    match &hosted.partition {
        Kind::Queue(queue) => queue.read(|replica| replica.state().outbox().destinations().collect()),
        Kind::Stream(stream) => stream.read(|replica| replica.state().outbox().destinations().collect()),
        Kind::Coordinator(_) => BTreeSet::new(),
    }
}
