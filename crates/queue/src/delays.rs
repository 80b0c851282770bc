//! What waits for the wall clock: delivery times, backoffs and TTLs.

use std::collections::BTreeSet;

use weir_types::{MessageId, WallClock};

/// Items by the time when something happens to them. A span is one item, however many messages it holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Delays {
    items: BTreeSet<(WallClock, MessageId)>,
}

impl Delays {
    pub(crate) fn add(&mut self, time: WallClock, item: MessageId) {
        let new = self.items.insert((time, item));
        assert!(new, "item {item} waits for {time} already");
    }

    pub(crate) fn remove(&mut self, time: WallClock, item: MessageId) {
        let known = self.items.remove(&(time, item));
        assert!(known, "item {item} was not waiting for {time}");
    }

    /// What is due first.
    pub(crate) fn first(&self) -> Option<(WallClock, MessageId)> {
        self.items.first().copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }
}
