//! Which Raft entries still hold a body that a message points to.

use std::collections::BTreeMap;

use weir_types::LogIndex;

/// Live messages per entry. An entry that is not here can go.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Bodies {
    live: BTreeMap<LogIndex, u64>,
}

impl Bodies {
    pub(crate) fn add(&mut self, entry: LogIndex, messages: u64) {
        *self.live.entry(entry).or_default() += messages;
    }

    pub(crate) fn remove(&mut self, entry: LogIndex, messages: u64) {
        let live = self.live.get_mut(&entry).expect("a live message's entry is counted");
        assert!(*live >= messages, "entry {entry} has {live} live messages, {messages} are to go");
        *live -= messages;
        if *live == 0 {
            self.live.remove(&entry);
        }
    }

    /// So many messages have their bodies in another entry now; gives their number.
    pub(crate) fn relocate(&mut self, from: LogIndex, to: LogIndex, messages: u64) -> u64 {
        self.remove(from, messages);
        self.add(to, messages);
        messages
    }

    /// The lowest entry whose bodies are needed.
    pub(crate) fn first(&self) -> Option<LogIndex> {
        self.live.first_key_value().map(|(entry, _)| *entry)
    }

    pub(crate) fn len(&self) -> usize {
        self.live.len()
    }
}
