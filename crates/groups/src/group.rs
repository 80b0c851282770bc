//! A consumer group: its members, and for each partition of the subscribed topics who has it and who shall.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{GroupId, LeaseClock, TopicId, WallClock};

use crate::member::{Epoch, Member, MemberId};

/// Who has a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The member.
    pub member: MemberId,
    /// Of this grant.
    pub epoch: Epoch,
}

/// A partition, as one consumer group sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// Its topic.
    pub topic: TopicId,
    /// Who has it.
    pub owner: Option<Owner>,
    /// Who shall have it. While that is not the owner, the owner is told to give it up.
    pub target: Option<MemberId>,
    /// When it is taken from an owner that was told to give it up but does not: one session after it was told.
    /// None while the owner is the one that shall have it.
    pub give_up_by: Option<LeaseClock>,
}

impl Slot {
    pub(crate) fn is_owned_by(&self, member: &MemberId) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.member == *member)
    }

    /// Whether its owner is the one that shall have it.
    pub fn is_settled(&self) -> bool {
        self.owner.as_ref().map(|owner| &owner.member) == self.target.as_ref()
    }
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// When it was first joined.
    pub created: WallClock,
    /// Its members.
    pub members: BTreeMap<MemberId, Member>,
    /// The partitions of every topic that some member subscribes to, as far as they may be read: without those that are
    /// finished, and without those whose parents are not.
    pub slots: BTreeMap<GroupId, Slot>,
    /// The sealed partitions of those topics that are read to their ends, each with the grant under which its owner said so.
    pub finished: BTreeMap<GroupId, Epoch>,
}

impl Group {
    /// Every topic that some member subscribes to.
    pub fn topics(&self) -> BTreeSet<TopicId> {
        self.members.values().flat_map(|member| member.topics.iter().copied()).collect()
    }

    /// Takes away what the member has. It stays the one that shall have it, so that it gets it back (with a new
    /// epoch) if it is still there at the next plan.
    pub(crate) fn release_all(&mut self, member: &MemberId) {
        for slot in self.slots.values_mut().filter(|slot| slot.is_owned_by(member)) {
            slot.owner = None;
        }
    }

    /// Gives what nobody has to those that shall have it, each under an epoch of its own.
    pub(crate) fn grant(&mut self, mut next_epoch: impl FnMut() -> Epoch) {
        for slot in self.slots.values_mut().filter(|slot| slot.owner.is_none()) {
            slot.owner = slot.target.clone().map(|member| Owner { member, epoch: next_epoch() });
        }
    }

    /// Starts the time that owners have to give up what is newly meant for others. A change of plan meanwhile
    /// does not start it anew.
    pub(crate) fn time_revocations(&mut self, now: LeaseClock) {
        for slot in self.slots.values_mut() {
            let owner = slot.owner.as_ref().filter(|_| !slot.is_settled());
            let member = owner.and_then(|owner| self.members.get(&owner.member));
            let started = slot.give_up_by;
            slot.give_up_by = member.map(|member| started.unwrap_or(now + member.session_timeout_ms));
        }
    }
}
