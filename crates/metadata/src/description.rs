//! What a backup keeps of a registry: everything that its users made, and how far its ids were. Nodes, replicas and their
//! places are left out: a cluster that restores it has its own.
//!
//! It is kept as a version byte and postcard, pinned by a golden test:
//!
//! | version | then |
//! |---:|---|
//! | 1 | [`Description`]: no partition was split or merged |
//! | 2 | [`Described`]: it, and the lineages |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{ClusterId, Corrupt, GroupId, KeyRange, ProducerId, TopicId};

use crate::lineage::{Lineage, Stage};
use crate::link::Link;
use crate::output::Rejection;
use crate::producer::NamedProducer;
use crate::registry::Registry;
use crate::topic::{COORDINATOR, Partition, Topic};

/// A registry without its nodes, with its lineages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Described {
    /// All but the lineages.
    pub description: Description,
    /// Of the partitions that were split or merged, or came of that: [`Stage::Open`] and [`Stage::Sealed`] ones.
    pub lineages: BTreeMap<GroupId, Lineage>,
}

/// A registry without its nodes. A replicated command holds it: its fields never change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// The cluster that it was taken from.
    pub cluster: ClusterId,
    /// The registry's version; links are numbered by it.
    pub version: u64,
    /// The first topic id that was never given.
    pub next_topic: TopicId,
    /// The first group that was never given.
    pub next_group: GroupId,
    /// The first producer id that was never given.
    pub next_producer: ProducerId,
    /// The topics, in order of id.
    pub topics: Vec<Topic>,
    /// Their partitions, in order of group.
    pub partitions: Vec<Partition>,
    /// The links between them, in order of id.
    pub links: Vec<Link>,
    /// The named producers, in order of name.
    pub producers: Vec<(String, NamedProducer)>,
}

impl Described {
    /// Version of the encoding.
    pub const VERSION: u8 = 2;
    /// That of a description without lineages, which builds read that know of none.
    const VERSION_PLAIN: u8 = 1;

    /// The bytes that are kept.
    pub fn encode(&self) -> Vec<u8> {
        if self.lineages.is_empty() {
            return crate::rows::encode(Self::VERSION_PLAIN, &self.description);
        }
        crate::rows::encode(Self::VERSION, self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        let what = "the description of a registry";
        if bytes.first() != Some(&Self::VERSION_PLAIN) {
            return crate::rows::decode(Self::VERSION, bytes, what);
        }
        let description = crate::rows::decode(Self::VERSION_PLAIN, bytes, what)?;
        Ok(Self { description, lineages: BTreeMap::new() })
    }

    /// Whether some registry can have been described so.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.description.check()?;
        self.check_lineages()?;
        let mut ranges: BTreeMap<TopicId, Vec<KeyRange>> = BTreeMap::new();
        for partition in self.description.partitions.iter().filter(|known| self.stage(known.group).owns()) {
            ranges.entry(partition.topic).or_default().push(partition.range);
        }
        let topics = self.description.topics.iter();
        topics
            .map(|topic| (topic, ranges.remove(&topic.id).unwrap_or_default()))
            .try_for_each(|(topic, ranges)| check_topic(topic, ranges))
    }

    fn stage(&self, group: GroupId) -> Stage {
        self.lineages.get(&group).map_or(Stage::Open, |lineage| lineage.stage)
    }

    /// They are what they can be in a registry where no split or merge is under way.
    fn check_lineages(&self) -> Result<(), String> {
        let mut registry = Registry::default();
        for topic in &self.description.topics {
            registry.topics.insert(topic.id, topic.clone());
        }
        registry.partitions = self.description.partitions.iter().map(|known| (known.group, *known)).collect();
        registry.lineages.clone_from(&self.lineages);
        registry.check_lineages().map_err(|Corrupt(broken)| broken)?;
        for (group, lineage) in &self.lineages {
            if matches!(lineage.stage, Stage::Coming | Stage::Sealing) {
                return Err(format!("partition {group} is being split or merged"));
            }
            let own = registry.partitions[group].range;
            let apart = |child: &&GroupId| {
                let range = registry.partitions[*child].range;
                range.last() < own.first() || own.last() < range.first()
            };
            if let Some(child) = lineage.children.iter().find(apart) {
                return Err(format!("partition {child} has no key of its parent {group}"));
            }
        }
        Ok(())
    }
}

impl Description {
    fn check(&self) -> Result<(), String> {
        let topics: BTreeSet<TopicId> = self.topics.iter().map(|topic| topic.id).collect();
        let names: BTreeSet<&str> = self.topics.iter().map(|topic| topic.name.as_str()).collect();
        let groups: BTreeSet<GroupId> = self.partitions.iter().map(|partition| partition.group).collect();
        let ids: BTreeSet<ProducerId> = self.producers.iter().map(|(_, producer)| producer.id).collect();
        let counts = [topics.len(), names.len(), groups.len(), ids.len()];
        if counts != [self.topics.len(), self.topics.len(), self.partitions.len(), self.producers.len()] {
            return Err("two topics, partitions or producers share an id or a name".to_owned());
        }
        // Far from the ends of the numbers, so that there is room behind them.
        let reached = self.version.max(self.next_producer.0) >> 62 > 0
            || self.next_topic.0.max(self.next_group.0) >> 31 > 0;
        if reached {
            return Err("its ids are higher than any cluster gets".to_owned());
        }
        let below = topics.last().is_none_or(|id| *id < self.next_topic)
            && groups.last().is_none_or(|id| *id < self.next_group)
            && ids.last().is_none_or(|id| *id < self.next_producer);
        if !below || topics.contains(&COORDINATOR) || groups.contains(&GroupId::METADATA) {
            return Err("it has an id that was never given".to_owned());
        }
        if self.partitions.iter().any(|partition| !topics.contains(&partition.topic)) {
            return Err("a partition belongs to no topic".to_owned());
        }
        let numbers: BTreeSet<_> =
            self.partitions.iter().map(|partition| (partition.topic, partition.index)).collect();
        if numbers.len() != self.partitions.len() {
            return Err("two partitions of a topic share a number".to_owned());
        }
        let broken = |link: &&Link| {
            !topics.contains(&link.from) || !topics.contains(&link.to) || u64::from(link.id) > self.version
        };
        if let Some(link) = self.links.iter().find(broken) {
            return Err(format!("link {} is without its topics", link.id));
        }
        Ok(())
    }
}

/// The partitions that own its keys cover the key space without gap or overlap.
fn check_topic(topic: &Topic, mut ranges: Vec<KeyRange>) -> Result<(), String> {
    let name = &topic.name;
    if !weir_types::limits::name_is_valid(name) || topic.replicas == 0 {
        return Err(format!("topic {} has no valid name, or no replicas", topic.id));
    }
    ranges.sort_by_key(|range| range.first());
    let (count, mut next) = (ranges.len(), 0);
    for range in ranges {
        if u64::from(range.first().0) != next {
            return Err(format!("topic `{name}` has a gap or overlap before {range}"));
        }
        next = u64::from(range.last().0) + 1;
    }
    if next != 1 << 32 || count != topic.partitions as usize {
        return Err(format!("topic `{name}` has {count} partitions, not {}, or a gap", topic.partitions));
    }
    Ok(())
}

impl Registry {
    /// What a backup keeps of it. Topics that are being restored are left out. Refused while a partition is split or merged,
    /// since its keys are about to be those of others, and before the cluster is formed.
    pub fn describe(&self) -> Result<Described, Rejection> {
        let cluster = self.cluster.ok_or(Rejection::NotFormed)?;
        // As long as one is coming, its parents are there: looking for these finds both.
        let sealing = self.lineages.keys().find(|group| self.stage(**group) == Stage::Sealing);
        if let Some(group) = sealing {
            return Err(Rejection::ReshapeInProgress { group: *group });
        }
        let shown = |topic: TopicId| topic != COORDINATOR && !self.is_restoring(topic);
        let partitions: Vec<Partition> =
            self.partitions.values().filter(|partition| shown(partition.topic)).copied().collect();
        let lineage = |partition: &Partition| {
            self.lineages.get(&partition.group).map(|lineage| (partition.group, lineage.clone()))
        };
        let lineages = partitions.iter().filter_map(lineage).collect();
        let description = Description {
            cluster: cluster.id,
            version: cluster.version,
            next_topic: cluster.next_topic,
            next_group: cluster.next_group,
            next_producer: cluster.next_producer,
            topics: self.topics.values().filter(|topic| shown(topic.id)).cloned().collect(),
            partitions,
            links: self.links.values().filter(|link| shown(link.from)).cloned().collect(),
            producers: self.producers.iter().map(|(name, producer)| (name.clone(), *producer)).collect(),
        };
        Ok(Described { description, lineages })
    }
}
