//! What the coordinator can be told to do. Commands are replicated, so their encoding outlives this version: new
//! variants and fields go to the end, and a breaking change raises [`Command::VERSION`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use weir_types::{Corrupt, GroupId, RequestId, TopicId};

use crate::member::{Epoch, MemberId};

/// A replicated command to one shard of the coordinator. `group` is the name of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A member comes, comes back, or changes its subscription. The group is made if it is not there. The member
    /// is taken to have nothing: what it had and keeps, it gets again under new epochs.
    Join {
        /// The consumer group.
        group: String,
        /// Who joins.
        member: MemberId,
        /// What it subscribes to, at least one.
        topics: BTreeSet<TopicId>,
        /// How long it may be silent, in milliseconds of the lease clock.
        session_timeout_ms: u64,
        /// A retry of the same request gets the same answer.
        request: RequestId,
    },
    /// A member is alive.
    Heartbeat {
        /// The consumer group.
        group: String,
        /// Who.
        member: MemberId,
        /// From its `Joined`: fences its older self.
        epoch: Epoch,
        /// The partitions that it still works on. Leaving a revoked one out gives it up; leaving any other out
        /// means nothing, since the member may not have heard of it yet.
        owned: BTreeSet<GroupId>,
    },
    /// A member goes: its partitions go to others at once.
    Leave {
        /// The consumer group.
        group: String,
        /// Who.
        member: MemberId,
        /// From its `Joined`.
        epoch: Epoch,
    },
    /// Time has passed: members that were silent for too long expire, and partitions that were not given up in
    /// time are taken.
    Tick,
    /// The registry's partitions of a topic; none when the topic is gone.
    SetPartitions {
        /// The topic.
        topic: TopicId,
        /// Its partitions.
        partitions: BTreeSet<GroupId>,
        /// Version of the registry that says so: an older report changes nothing.
        version: u64,
    },
    /// Deletes a group that has no members. Committed offsets are not touched.
    DeleteGroup {
        /// The consumer group.
        group: String,
    },
    /// Streams were restored from a backup: epochs are given above all that their partitions know, and above those that may
    /// have been given since where the backup was made. Repeating it changes nothing.
    RaiseEpochs {
        /// The highest that a partition knows.
        above: Epoch,
    },
    /// As [`SetPartitions`](Self::SetPartitions), for a topic that has sealed partitions. A partition is given to members only
    /// when their group has finished each of its parents that can still be read.
    SetLineage {
        /// The topic.
        topic: TopicId,
        /// All that can be read: the partitions that own keys, and the sealed ones.
        partitions: BTreeSet<GroupId>,
        /// Which partitions each took its keys over from; those without are left out.
        parents: BTreeMap<GroupId, BTreeSet<GroupId>>,
        /// Version of the registry that says so: an older report changes nothing.
        version: u64,
    },
    /// The group's position in a partition that is sealed is its end: its children are given out, once they have no other
    /// parent that is not finished. Known for as long as the group has a member that subscribes to the topic: without, a
    /// position may be set back. Repeating it changes nothing.
    Finish {
        /// The consumer group.
        group: String,
        /// The partition's owner.
        member: MemberId,
        /// The sealed partition.
        partition: GroupId,
        /// Of the owner's grant.
        epoch: Epoch,
    },
}

impl Command {
    /// Version of the encoding.
    pub const VERSION: u8 = 1;

    /// The bytes that are replicated: version, then postcard.
    pub fn encode(&self) -> Vec<u8> {
        crate::rows::encode(Self::VERSION, self)
    }

    /// Reads what [`encode`](Self::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self, Corrupt> {
        crate::rows::decode(Self::VERSION, bytes, "groups command")
    }
}
