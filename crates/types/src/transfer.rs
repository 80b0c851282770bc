//! Names for what one partition hands to another, exactly once.
//!
//! A partition's **outbox** holds record batches for other partitions, numbered per destination. The destination's
//! **inbox** keeps the last number that it took in from each source, for as long as the source exists, and takes a
//! batch only right behind it. So a batch may be sent as often as one likes, and by more than one leader at once.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::OUTPUTS_MAX;
use crate::{GroupId, TransferSequence};

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

/// Batches that wait for a partition which takes in nothing any more, cut anew for those that have its keys now.
///
/// A sealed destination says what it took in before, and nothing behind that will ever be taken in there. So the
/// leader of the sender reads what is left, cuts it by key, in order, and replaces it in one entry: whatever was
/// replaced is in exactly one of the two, the sealed destination or the new batches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recut {
    /// The partition that was sealed.
    pub destination: GroupId,
    /// The last batch that it took in.
    pub after: TransferSequence,
    /// The last batch that is replaced.
    pub through: TransferSequence,
    /// What replaces those behind `after` up to and with `through`, in their order.
    pub outputs: Vec<OutputBatch>,
}

impl Recut {
    /// What no sender would ask for, in words. Batches have records, so something replaces them.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.through <= self.after {
            return Err("a recut replaces at least one batch");
        }
        if !(1..=OUTPUTS_MAX).contains(&self.outputs.len()) {
            return Err("a recut puts 1 to 1,024 record batches in the place of others");
        }
        if self.outputs.iter().any(|output| output.destination == self.destination) {
            return Err("a recut is for others than the partition that takes in nothing any more");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recut(outputs: Vec<OutputBatch>) -> Recut {
        let (after, through) = (TransferSequence(4), TransferSequence(5));
        Recut { destination: GroupId(300), after, through, outputs }
    }

    #[test]
    fn a_recut_puts_a_bounded_number_of_batches_for_others_in_the_place_of_some() {
        let output = OutputBatch { destination: GroupId(7), position: 0, length: 1 };
        assert_eq!(recut(vec![output; OUTPUTS_MAX]).check(), Ok(()));
        assert!(recut(vec![output; OUTPUTS_MAX + 1]).check().is_err());
        assert!(recut(Vec::new()).check().is_err());
        assert!(recut(vec![output, OutputBatch { destination: GroupId(300), ..output }]).check().is_err());
        let nothing = Recut { after: TransferSequence(5), ..recut(vec![output]) };
        assert!(nothing.check().is_err());
    }
}
