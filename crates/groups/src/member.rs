//! A member of a consumer group.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use weir_types::{LeaseClock, RequestId, TopicId};

/// What a consumer calls itself: 1 to 200 bytes. A process that comes back under its old id gets its
/// partitions back, if its session still runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberId(pub String);

impl From<&str> for MemberId {
    fn from(id: &str) -> Self {
        Self(id.to_owned())
    }
}

impl From<u64> for MemberId {
    /// For consumers that draw their id at random.
    fn from(id: u64) -> Self {
        Self(format!("{id:016x}"))
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A fencing epoch: one step of the shard's counter, which never falls. The life of a member has one, and so has
/// every grant of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A member of a consumer group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Of its present life: raised when it joins again, which fences its older self.
    pub epoch: Epoch,
    /// What it subscribes to.
    pub topics: BTreeSet<TopicId>,
    /// How long it may be silent, in milliseconds of the lease clock.
    pub session_timeout_ms: u64,
    /// When it expires unless it is heard before.
    pub deadline: LeaseClock,
    /// The request that it joined by: a retry gets the same answer.
    pub request: RequestId,
}
