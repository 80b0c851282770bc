//! What the coordinator answers: replies, rejections, and hints for the leader's runtime.

use serde::{Deserialize, Serialize};
use weir_types::{ErrorKind, GroupId, TopicId, WeirError};

use crate::member::{Epoch, MemberId};

/// A partition that a member may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AssignedPartition {
    /// Its topic.
    pub topic: TopicId,
    /// The partition.
    pub partition: GroupId,
    /// The grant's epoch: the member fences the partition with it before it reads, and commits with it.
    pub epoch: Epoch,
}

/// The whole of what a member has, in order of partition. Never a difference, so that a lost answer costs
/// nothing. What is in neither list is not the member's (any more).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What it may read.
    pub partitions: Vec<AssignedPartition>,
    /// What it must give up: it stops, commits, and leaves them out of `owned` in its next heartbeat. It has one
    /// session timeout for that; then they are taken from it.
    pub revoked: Vec<GroupId>,
}

/// The answer to a command that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// The member belongs to the group.
    Joined {
        /// Of this life of the member.
        epoch: Epoch,
        /// What it has.
        assignment: Assignment,
    },
    /// The session goes on.
    Alive {
        /// What it has.
        assignment: Assignment,
    },
    /// The member is gone.
    Left,
    /// Time has passed.
    Ticked {
        /// Members that expired.
        expired: u32,
        /// Partitions that were taken from members that did not give them up in time.
        taken: u32,
    },
    /// The topic's partitions are known (or newer ones were).
    PartitionsSet,
    /// The group is gone.
    GroupDeleted,
    /// Epochs are given above those that were named.
    EpochsRaised,
}

/// A hint for the runtime of the leader. Losing or repeating one is harmless.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// What a member has or must give up has changed: tell it now, rather than at its next heartbeat.
    AssignmentChanged {
        /// The consumer group.
        group: String,
        /// The member.
        member: MemberId,
    },
    /// A member subscribes to a topic whose partitions are not known: propose `SetPartitions`.
    PartitionsWanted {
        /// The topic.
        topic: TopicId,
    },
}

/// Why a command was not carried out. A normal, replicated answer: nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// Not a name for a consumer group.
    #[error("group name `{group}` is not 1 to 200 of a-z A-Z 0-9 . _ - not starting with a dot or a dash")]
    InvalidName {
        /// The name, cut to a readable length.
        group: String,
    },
    /// A member id that is empty or too long.
    #[error("member id of {bytes} bytes is not between 1 and {limit} bytes")]
    InvalidMember {
        /// Its length.
        bytes: usize,
        /// The longest allowed.
        limit: usize,
    },
    /// A session too short or too long.
    #[error("session timeout of {ms} ms is not between {min} and {max} ms")]
    InvalidSessionTimeout {
        /// What was asked for.
        ms: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// A member subscribes to at least one topic.
    #[error("a member subscribes to at least one topic")]
    NoTopics,
    /// Too many topics, of the member or of the shard.
    #[error("{wanted} topics exceed the limit of {limit}")]
    TooManyTopics {
        /// Topics there would be.
        wanted: usize,
        /// The limit.
        limit: usize,
    },
    /// The group has as many members as it may.
    #[error("group `{group}` has {limit} members, the most allowed")]
    TooManyMembers {
        /// The group.
        group: String,
        /// The limit.
        limit: usize,
    },
    /// The shard has as many groups as it may.
    #[error("the shard has {limit} groups, the most allowed")]
    TooManyGroups {
        /// The limit.
        limit: usize,
    },
    /// No such group.
    #[error("group `{group}` does not exist")]
    GroupNotFound {
        /// The name asked for.
        group: String,
    },
    /// The member never joined, left, or was silent for too long: it stops and joins again.
    #[error("member `{member}` is not in group `{group}`: it has to join again")]
    MemberNotFound {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
    },
    /// A newer life of the member has joined.
    #[error("member `{member}` of group `{group}` has epoch {current}, not {epoch}")]
    MemberFenced {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// What was given.
        epoch: Epoch,
        /// What is current.
        current: Epoch,
    },
    /// The group still has members.
    #[error("group `{group}` has {members} members")]
    GroupInUse {
        /// The group.
        group: String,
        /// How many.
        members: usize,
    },
    /// The member does not have the partition under this epoch.
    #[error("member `{member}` of group `{group}` does not have partition {partition} under epoch {epoch}")]
    NotOwner {
        /// The group.
        group: String,
        /// The member.
        member: MemberId,
        /// The partition.
        partition: GroupId,
        /// What was given.
        epoch: Epoch,
    },
}

impl Rejection {
    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::GroupNotFound { .. } | Self::MemberNotFound { .. } => ErrorKind::NotFound,
            Self::MemberFenced { .. } | Self::NotOwner { .. } => ErrorKind::Fenced,
            _ => ErrorKind::Invalid,
        }
    }

    /// The stable code, with a page in `docs/errors/`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidName { .. } => "invalid-name",
            Self::InvalidMember { .. } => "invalid-member",
            Self::InvalidSessionTimeout { .. } => "invalid-session-timeout",
            Self::NoTopics => "no-topics",
            Self::TooManyTopics { .. } => "too-many-topics",
            Self::TooManyMembers { .. } => "too-many-members",
            Self::TooManyGroups { .. } => "too-many-groups",
            Self::GroupNotFound { .. } => "group-not-found",
            Self::MemberNotFound { .. } => "member-not-found",
            Self::MemberFenced { .. } => "member-fenced",
            Self::GroupInUse { .. } => "group-in-use",
            Self::NotOwner { .. } => "group-fenced",
        }
    }
}

impl From<Rejection> for WeirError {
    fn from(rejection: Rejection) -> Self {
        Self::new(rejection.kind(), rejection.code(), rejection.to_string())
    }
}
