//! Who leads what at the moment, as far as the harness knows.

/// One partition of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Led {
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The leader's node, if there is a leader that is known.
    pub leader: Option<String>,
    /// The nodes of all its voters, the leader's among them.
    pub voters: Vec<String>,
}

/// All partitions, in an order that stays: by topic and number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leaders {
    /// Them.
    pub partitions: Vec<Led>,
}

impl Leaders {
    /// The partition at a place, counted round; None when there are none.
    pub fn at(&self, place: u32) -> Option<&Led> {
        let count = self.partitions.len();
        (count > 0).then(|| &self.partitions[place as usize % count])
    }

    /// How many partitions these nodes lead.
    pub fn led_by(&self, nodes: &[String]) -> u32 {
        let led =
            self.partitions.iter().filter(|p| p.leader.as_ref().is_some_and(|node| nodes.contains(node)));
        led.count() as u32
    }

    /// How many partitions have a follower on one of these nodes.
    pub fn followed_by(&self, nodes: &[String]) -> u32 {
        let follows =
            |p: &&Led| p.voters.iter().any(|node| nodes.contains(node) && Some(node) != p.leader.as_ref());
        self.partitions.iter().filter(follows).count() as u32
    }
}
