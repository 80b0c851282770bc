//! `CreateTopic`: checks, places, and hands out the ids.

use std::collections::BTreeMap;

use weir_types::limits::{NAME_BYTES_MAX, TOPIC_PARTITIONS_MAX, name_is_valid};
use weir_types::{GroupId, KeyRange, NodeId, Output, RequestId, TopicId, TopicPolicy, WallClock};

use super::set_replicas::check_replicas;
use crate::limits::{PARTITIONS_MAX, TOPICS_MAX};
use crate::membership::Membership;
use crate::output::{Effect, Rejection, Reply};
use crate::placement::{self, Candidate, Placement};
use crate::policy;
use crate::registry::Registry;
use crate::topic::{Partition, Topic};

pub(crate) struct CreateTopic {
    pub(crate) request: RequestId,
    pub(crate) name: String,
    pub(crate) policy: TopicPolicy,
    pub(crate) partitions: u32,
    pub(crate) replicas: u32,
    pub(crate) created: WallClock,
}

impl Registry {
    pub(crate) fn create_topic(
        &mut self,
        asked: CreateTopic,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if let Some(existing) = self.topic_named(&asked.name) {
            return existing_topic(existing, &asked);
        }
        check_name(&asked.name)?;
        policy::check(&asked.policy)?;
        self.check_counts(asked.partitions, asked.replicas)?;
        let placements = self.plan(asked.partitions, asked.replicas)?;
        let id = self.formed().take_topic();
        let CreateTopic { request, name, policy, partitions, replicas, created } = asked;
        self.put_topic(Topic { id, name, policy, partitions, replicas, created, request }, out);
        self.add_partitions(id, placements, out);
        self.routing_changed(out);
        Ok(Reply::TopicCreated { topic: id })
    }

    fn check_counts(&self, partitions: u32, replicas: u32) -> Result<(), Rejection> {
        if partitions == 0 {
            return Err(Rejection::NoPartitions);
        }
        if partitions > TOPIC_PARTITIONS_MAX {
            return Err(Rejection::TooManyPartitions { wanted: partitions, limit: TOPIC_PARTITIONS_MAX });
        }
        let wanted = self.partitions.len() as u32 + partitions;
        if wanted as usize > PARTITIONS_MAX {
            return Err(Rejection::TooManyPartitions { wanted, limit: PARTITIONS_MAX as u32 });
        }
        check_replicas(replicas)?;
        if self.topics.len() >= TOPICS_MAX {
            return Err(Rejection::TooManyTopics { limit: TOPICS_MAX });
        }
        Ok(())
    }

    /// Places partitions over the registered nodes.
    pub(super) fn plan(&self, partitions: u32, replicas: u32) -> Result<Vec<Placement>, Rejection> {
        let candidates = self.candidates();
        placement::place(&candidates, partitions as usize, replicas as usize)
            .ok_or(Rejection::NotEnoughNodes { wanted: replicas, have: candidates.len() as u32 })
    }

    /// The registered nodes and what they are to carry, the metadata group aside.
    pub(crate) fn candidates(&self) -> Vec<Candidate> {
        let mut carried: BTreeMap<NodeId, (u64, u64)> = BTreeMap::new();
        for (_, membership) in self.memberships.iter().filter(|(group, _)| **group != GroupId::METADATA) {
            for (replica, node) in membership.target.iter() {
                let (replicas, leaders) = carried.entry(node).or_default();
                *replicas += 1;
                *leaders += u64::from(replica == membership.preferred_leader);
            }
        }
        let candidate = |node: &crate::node::Node| {
            let (replicas, leaders) = carried.get(&node.id).copied().unwrap_or_default();
            Candidate { node: node.id, rack: node.rack.clone(), replicas, leaders }
        };
        self.nodes.values().filter(|node| node.is_registered()).map(candidate).collect()
    }

    /// Makes one partition of each placement, with equal shares of the key space.
    pub(super) fn add_partitions(
        &mut self,
        topic: TopicId,
        placements: Vec<Placement>,
        out: &mut Output<Effect>,
    ) {
        let count = placements.len() as u32;
        for (index, placement) in (0..count).zip(placements) {
            let group = self.formed().take_group();
            let membership = self.unformed(placement);
            let range = KeyRange::part(index, count);
            self.put_partition(Partition { group, topic, index, range }, out);
            self.put_membership(group, membership, out);
        }
    }

    /// The membership of a group that is to be formed where it was placed.
    pub(super) fn unformed(&mut self, placement: Placement) -> Membership {
        let mut voters = BTreeMap::new();
        let mut preferred_leader = None;
        for node in placement.nodes {
            let replica = self.formed().take_replica();
            voters.insert(replica, node);
            if node == placement.leader {
                preferred_leader = Some(replica);
            }
        }
        let preferred_leader = preferred_leader.expect("the planner's leader is one of its nodes");
        Membership::unformed(voters, preferred_leader)
    }
}

/// A retry gets the first answer; everybody else learns whether what exists is what they wanted.
fn existing_topic(existing: &Topic, asked: &CreateTopic) -> Result<Reply, Rejection> {
    let (name, topic) = (asked.name.clone(), existing.id);
    if existing.request == asked.request {
        return Ok(Reply::TopicCreated { topic });
    }
    let same = existing.policy == asked.policy
        && existing.partitions == asked.partitions
        && existing.replicas == asked.replicas;
    Err(if same { Rejection::TopicExists { name, topic } } else { Rejection::TopicDiffers { name, topic } })
}

pub(crate) fn check_name(name: &str) -> Result<(), Rejection> {
    if name_is_valid(name) {
        return Ok(());
    }
    Err(Rejection::InvalidName { name: name.chars().take(NAME_BYTES_MAX).collect() })
}
