//! What can be leased now, in the order of handing out.

use std::collections::BTreeSet;

use weir_types::MessageId;

use crate::limits::PRIORITY_MAX;

/// Items by rank, then by arrival. In a plain queue every ready item is here, ranked by its priority; in a FIFO
/// queue only the next item of each key that may go on, all of one rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Ready {
    items: BTreeSet<(Rank, MessageId)>,
}

/// 0 goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Rank(u8);

impl Rank {
    /// Of all items of a FIFO queue.
    pub(crate) const FIFO: Self = Self(0);

    pub(crate) fn of_priority(priority: u8) -> Self {
        assert!(priority <= PRIORITY_MAX, "priority {priority}");
        Self(PRIORITY_MAX - priority)
    }
}

impl Ready {
    pub(crate) fn add(&mut self, rank: Rank, item: MessageId) {
        let new = self.items.insert((rank, item));
        assert!(new, "item {item} was ready already");
    }

    pub(crate) fn remove(&mut self, rank: Rank, item: MessageId) {
        let known = self.items.remove(&(rank, item));
        assert!(known, "item {item} was not ready");
    }

    /// The item to lease from next.
    pub(crate) fn first(&self) -> Option<MessageId> {
        self.items.first().map(|(_, item)| *item)
    }

    /// All items, in the order of handing out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = MessageId> {
        self.items.iter().map(|(_, item)| *item)
    }

    /// The first item of each rank: one of them arrived first of all.
    pub(crate) fn first_of_each_rank(&self) -> impl Iterator<Item = MessageId> {
        (0..=PRIORITY_MAX).filter_map(|rank| {
            let of_rank = (Rank(rank), MessageId(0))..=(Rank(rank), MessageId(u64::MAX));
            self.items.range(of_rank).next().map(|(_, item)| *item)
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}
