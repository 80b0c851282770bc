//! What the broker asks the coordinator. Reading changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, LeaseClock, TopicId, WallClock};

use crate::coordinator::Coordinator;
use crate::group::{Group, Owner, Slot};
use crate::member::{Epoch, MemberId};
use crate::output::{AssignedPartition, Assignment};

/// Whether a group is at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Some partition is on its way to another member.
    Rebalancing,
    /// Everyone has what they shall have.
    Stable,
}

/// A group, as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupDescription {
    /// Its name.
    pub name: String,
    /// When it was first joined.
    pub created: WallClock,
    /// Whether it is at rest.
    pub state: GroupState,
    /// Its members, in order of id.
    pub members: Vec<MemberDescription>,
}

/// A member, as shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberDescription {
    /// What it calls itself.
    pub id: MemberId,
    /// Of its present life.
    pub epoch: Epoch,
    /// What it subscribes to.
    pub topics: BTreeSet<TopicId>,
    /// How long it may be silent, in milliseconds.
    pub session_timeout_ms: u64,
    /// When it expires unless it is heard before.
    pub deadline: LeaseClock,
    /// What it has, and what it is to give up.
    pub assignment: Assignment,
}

impl Coordinator {
    /// The names and states of all groups, in order of name.
    pub fn groups(&self) -> impl Iterator<Item = (&str, GroupState)> {
        self.groups.iter().map(|(name, group)| (name.as_str(), group.state()))
    }

    /// A group.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A group, as shown to people.
    pub fn describe(&self, name: &str) -> Option<GroupDescription> {
        let group = self.groups.get(name)?;
        let members = group.members.iter().map(|(id, member)| MemberDescription {
            id: id.clone(),
            epoch: member.epoch,
            topics: member.topics.clone(),
            session_timeout_ms: member.session_timeout_ms,
            deadline: member.deadline,
            assignment: group.assignment(id),
        });
        Some(GroupDescription {
            name: name.to_owned(),
            created: group.created,
            state: group.state(),
            members: members.collect(),
        })
    }

    /// What a member has; none when it is not in the group.
    pub fn assignment(&self, group: &str, member: &MemberId) -> Option<Assignment> {
        let group = self.groups.get(group)?;
        group.members.contains_key(member).then(|| group.assignment(member))
    }

    /// Who has a partition in a group.
    pub fn owner(&self, group: &str, partition: GroupId) -> Option<&Owner> {
        self.groups.get(group)?.slots.get(&partition)?.owner.as_ref()
    }

    /// The topics that somebody subscribes to, each with its partitions as far as they are known. The leader
    /// compares them with the registry and proposes `SetPartitions`, or `SetLineage`, where they differ.
    pub fn topics_wanted(&self) -> impl Iterator<Item = (TopicId, Option<&BTreeSet<GroupId>>)> {
        self.subscribers.keys().map(|topic| (*topic, self.partitions(*topic)))
    }

    /// The parents of each partition of a topic that has some, as far as they are known. The leader compares them too.
    pub fn parents(&self, topic: TopicId) -> BTreeMap<GroupId, BTreeSet<GroupId>> {
        self.topics.get(&topic).map(|known| known.parents.clone()).unwrap_or_default()
    }

    /// The partitions of a topic, as far as they are known.
    pub fn partitions(&self, topic: TopicId) -> Option<&BTreeSet<GroupId>> {
        self.topics.get(&topic).map(|known| &known.partitions)
    }
}

impl Group {
    /// Whether the group is at rest.
    pub fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.slots.values().all(Slot::is_settled) {
            GroupState::Stable
        } else {
            GroupState::Rebalancing
        }
    }

    /// What a member has, and what it is to give up.
    pub fn assignment(&self, member: &MemberId) -> Assignment {
        let mut assignment = Assignment::default();
        for (partition, slot) in &self.slots {
            let Some(owner) = slot.owner.as_ref().filter(|owner| owner.member == *member) else { continue };
            if slot.is_settled() {
                let (topic, partition, epoch) = (slot.topic, *partition, owner.epoch);
                assignment.partitions.push(AssignedPartition { topic, partition, epoch });
            } else {
                assignment.revoked.push(*partition);
            }
        }
        assignment
    }
}
