//! `BeginRestore`, `FinishRestore` and `AbandonRestore`: the topics of a backup come into a cluster that has none, under their
//! old ids, and are shown when all of them are whole.
//!
//! The ids stay, since the partitions' own rows name them: whom a transfer goes to, whom it came from, which tokens
//! consumers have. So they must be free here: the cluster has never given a topic, partition or producer of its own.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{GroupId, Output, ProducerId, RequestId, TopicId};

use crate::description::{Described, Description};
use crate::output::{Effect, Rejection, Reply};
use crate::policy;
use crate::registry::Registry;
use crate::restoration::Restoration;
use crate::topic::{COORDINATOR, Partition};

/// Producers are numbered from the next multiple of this on: the cluster that was backed up may have given further ids since,
/// and a producer that still has one must not be taken for another.
const PRODUCERS_APART: u64 = 1 << 32;
/// The same for topics and groups, of which there are fewer: what an outbox holds for a partition that is younger than the
/// backup must not come to one of this cluster.
const IDS_APART: u32 = 1 << 16;

impl Registry {
    /// One that is under way is given up for the new one.
    pub(crate) fn begin_restore(
        &mut self,
        request: RequestId,
        described: Described,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if self.restoration.as_ref().is_some_and(|known| known.request == request && !known.topics.is_empty())
        {
            return Ok(Reply::RestoreBegun);
        }
        described.check().map_err(|reason| Rejection::BackupInvalid { reason })?;
        let Described { description: described, lineages } = described;
        self.check_restorable(&described)?;
        self.drop_restored(out);
        let cluster = self.formed();
        let topic = TopicId(described.next_topic.0 + IDS_APART);
        let group = GroupId(described.next_group.0 + IDS_APART);
        cluster.next_topic = cluster.next_topic.max(topic);
        cluster.next_group = cluster.next_group.max(group);
        let apart = (described.next_producer.0 / PRODUCERS_APART + 1) * PRODUCERS_APART;
        cluster.next_producer = cluster.next_producer.max(ProducerId(apart));
        // Links keep their numbers, and no later one may have the number of one of them.
        cluster.version = cluster.version.max(described.version);
        let restoration = Restoration {
            request,
            topics: described.topics.iter().map(|topic| topic.id).collect(),
            next_topic: cluster.next_topic,
            next_group: cluster.next_group,
            next_producer: cluster.next_producer,
        };
        self.put_restoration(restoration, out);
        // Before the partitions: one without a lineage would own its keys at once.
        for (group, lineage) in lineages {
            self.put_lineage(group, lineage, out);
        }
        self.take_in(described, out);
        self.routing_changed(out);
        Ok(Reply::RestoreBegun)
    }

    /// Nothing is in the way: neither topics, nor ids that this cluster gave itself, nor too few nodes.
    fn check_restorable(&self, described: &Description) -> Result<(), Rejection> {
        let topics = self.topics.keys().filter(|id| !self.is_restoring(**id)).count();
        if topics > 0 {
            return Err(Rejection::ClusterNotEmpty { topics });
        }
        let cluster = self.cluster.as_ref().expect("commands but FormCluster are rejected before");
        let shards = self.partitions(COORDINATOR).count() as u32;
        let first = GroupId(GroupId::METADATA.0 + 1 + shards);
        let untouched = match &self.restoration {
            Some(last) => (last.next_topic, last.next_group, last.next_producer),
            None => (TopicId(COORDINATOR.0 + 1), first, ProducerId(1)),
        };
        let taken = described.partitions.iter().any(|partition| partition.group < first);
        if taken || (cluster.next_topic, cluster.next_group, cluster.next_producer) != untouched {
            return Err(Rejection::ClusterNotNew);
        }
        let nodes = self.candidates().len() as u32;
        for topic in &described.topics {
            policy::check(&topic.policy)?;
            if topic.replicas > nodes {
                return Err(Rejection::NotEnoughNodes { wanted: topic.replicas, have: nodes });
            }
        }
        Ok(())
    }

    fn take_in(&mut self, described: Description, out: &mut Output<Effect>) {
        let replicas: BTreeMap<TopicId, u32> =
            described.topics.iter().map(|topic| (topic.id, topic.replicas)).collect();
        for topic in described.topics {
            self.put_topic(topic, out);
        }
        // All that are to have as many replicas are placed at once: one by one, a large backup would take minutes.
        let mut alike: BTreeMap<u32, Vec<Partition>> = BTreeMap::new();
        for partition in described.partitions {
            alike.entry(replicas[&partition.topic]).or_default().push(partition);
        }
        for (replicas, partitions) in alike {
            self.place_restored(partitions, replicas, out);
        }
        for link in described.links {
            self.put_link(link, out);
        }
        for (name, producer) in described.producers {
            self.put_producer(name, producer, out);
        }
    }

    fn place_restored(&mut self, partitions: Vec<Partition>, replicas: u32, out: &mut Output<Effect>) {
        let placements = self
            .plan(partitions.len() as u32, replicas)
            .expect("that there are enough nodes was checked before anything was changed");
        for (partition, placement) in partitions.into_iter().zip(placements) {
            let membership = self.unformed(placement);
            self.put_partition(partition, out);
            self.put_membership(partition.group, membership, out);
        }
    }

    /// Shows the topics, once every partition of them has its image.
    pub(crate) fn finish_restore(
        &mut self,
        request: RequestId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let known = self.restoration_of(request)?;
        let formed = |group: &GroupId| self.memberships.get(group).is_some_and(|known| known.formed);
        let all = known
            .topics
            .iter()
            .flat_map(|topic| self.all_partitions(*topic))
            .map(|partition| partition.group);
        let missing = all.filter(|group| !formed(group)).count();
        if missing > 0 {
            return Err(Rejection::RestoreUnfinished { partitions: missing });
        }
        if !known.topics.is_empty() {
            self.put_restoration(Restoration { topics: BTreeSet::new(), ..known }, out);
            self.routing_changed(out);
        }
        Ok(Reply::RestoreFinished)
    }

    /// Removes everything of a restore that is under way; of none, or of one that is over, nothing.
    pub(crate) fn abandon_restore(
        &mut self,
        request: RequestId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let known = self.restoration_of(request)?;
        if known.topics.is_empty() {
            return Err(Rejection::RestoreUnknown { request });
        }
        self.drop_restored(out);
        self.put_restoration(Restoration { request: RequestId(0), topics: BTreeSet::new(), ..known }, out);
        self.routing_changed(out);
        Ok(Reply::RestoreAbandoned)
    }

    fn restoration_of(&self, request: RequestId) -> Result<Restoration, Rejection> {
        let known = self.restoration.clone().filter(|known| known.request == request);
        known.ok_or(Rejection::RestoreUnknown { request })
    }

    /// Named producers came with it; one that has come by itself meanwhile gets another id the next time, and has sent
    /// nothing to anybody.
    fn drop_restored(&mut self, out: &mut Output<Effect>) {
        self.drop_producers(out);
        let topics = self.restoration.as_ref().map(|known| known.topics.clone()).unwrap_or_default();
        let of_them = |link: &&crate::link::Link| topics.contains(&link.from);
        let links: Vec<u32> = self.links.values().filter(of_them).map(|link| link.id).collect();
        for link in links {
            self.drop_link(link, out);
        }
        for topic in topics {
            let groups: Vec<GroupId> = self.all_partitions(topic).map(|partition| partition.group).collect();
            for group in groups {
                self.drop_partition(group, out);
            }
            self.drop_topic(topic, out);
        }
    }
}
