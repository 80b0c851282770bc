//! Names for what one partition hands to another, exactly once.
//!
//! A partition's **outbox** holds record batches for other partitions, numbered per destination. The destination's
//! **inbox** keeps the last number that it took in from each source, for as long as the source exists, and takes a
//! batch only right behind it. So a batch may be sent as often as one likes, and by more than one leader at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::GroupId;

/// Where numbered batches come from. Group ids are never used again, and neither are the channels of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TransferSource {
    /// The partition that sends.
    pub group: GroupId,
    /// What in it: 0 is its outbox.
    pub channel: u32,
}

impl TransferSource {
    /// The outbox of a partition.
    pub const fn outbox(group: GroupId) -> Self {
        Self { group, channel: 0 }
    }
}

impl fmt::Display for TransferSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.group, self.channel)
    }
}

/// A record batch for another partition. The bytes stay in the entry's bodies until they have arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputBatch {
    /// The partition that it goes to.
    pub destination: GroupId,
    /// Where it starts in the bodies of this entry, in bytes.
    pub position: u32,
    /// Its length there, in bytes.
    pub length: u32,
}
