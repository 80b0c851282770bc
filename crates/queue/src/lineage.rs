//! What a partition owes to its children, and what its parents owe to it.

use serde::{Deserialize, Serialize};
use weir_types::{Corrupt, GroupId, KeyHash, KeyRange, MessageId, RowChange, WallClock};

use crate::rows::Kind;
use crate::table::Table;

/// The partition takes in nothing any more: its keys are its children's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sealed {
    pub(crate) since: WallClock,
    /// The message that would have arrived next. None ever does.
    pub(crate) end: MessageId,
}

/// A parent has messages of a key left, so this partition holds its own back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Awaited;

/// A parent has begun to tell which keys are drained. It does so only when all of its inheritance has arrived; what comes
/// of that later is a leader of the past speaking, and could hold a key back that nobody will ever let go again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heard;

/// A key of which nothing is left since the seal, and which the child that has it now was perhaps not told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Drained;

/// Where the partition stands between its parents and its children. All of it is empty in one that was never split and
/// came of no split.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Lineage {
    sealed: Table<Sealed>,
    awaited: Table<Awaited>,
    heard: Table<Heard>,
    drained: Table<Drained>,
}

impl Lineage {
    /// Takes in a stored row of one of its kinds.
    pub(crate) fn load(&mut self, kind: Kind, name: &[u8], value: &[u8]) -> Result<(), Corrupt> {
        match kind {
            Kind::Sealed => self.sealed.load(name, value),
            Kind::Awaited => self.awaited.load(name, value),
            Kind::Heard => self.heard.load(name, value),
            Kind::Drained => self.drained.load(name, value),
            _ => Err(Corrupt(format!("{kind:?} is no row of the lineage"))),
        }
    }

    pub(crate) fn sealed(&self) -> Option<&Sealed> {
        self.sealed.get(())
    }

    pub(crate) fn seal(&mut self, since: WallClock, end: MessageId) {
        assert!(self.sealed().is_none(), "a partition is sealed once");
        self.sealed.put((), Sealed { since, end });
    }

    /// A parent has messages of a key left.
    pub(crate) fn wait(&mut self, key: KeyHash, parent: GroupId) {
        if !self.awaited.contains((key, parent)) {
            self.awaited.put((key, parent), Awaited);
        }
    }

    /// A parent has nothing of a key left. Answers whether the key waited for that, and waits for nobody now.
    pub(crate) fn wait_no_more(&mut self, key: KeyHash, parent: GroupId) -> bool {
        self.awaited.remove((key, parent)).is_some() && !self.awaits(key)
    }

    pub(crate) fn awaits(&self, key: KeyHash) -> bool {
        self.awaited.range((key, GroupId(0))..=(key, GroupId(u32::MAX))).next().is_some()
    }

    /// The keys that are held back; one twice that waits for two parents.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = KeyHash> {
        self.awaited.iter().map(|((key, _), _)| key)
    }

    pub(crate) fn has_heard(&self, parent: GroupId) -> bool {
        self.heard.contains(parent)
    }

    pub(crate) fn hear(&mut self, parent: GroupId) {
        if !self.has_heard(parent) {
            self.heard.put(parent, Heard);
        }
    }

    pub(crate) fn drain(&mut self, key: KeyHash) {
        self.drained.put(key, Drained);
    }

    /// The child that has the key knows.
    pub(crate) fn confirm(&mut self, key: KeyHash) {
        self.drained.remove(key);
    }

    /// The keys to tell of, in order.
    pub(crate) fn drained(&self, range: KeyRange) -> impl Iterator<Item = KeyHash> {
        self.drained.range(range.first()..=range.last()).map(|(key, _)| key)
    }

    pub(crate) fn entries(&self) -> usize {
        self.sealed.len() + self.awaited.len() + self.heard.len() + self.drained.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.sealed.flush(changes);
        self.awaited.flush(changes);
        self.heard.flush(changes);
        self.drained.flush(changes);
    }

    pub(crate) fn check(&self) {
        let flushed = self.sealed.is_flushed() && self.awaited.is_flushed();
        assert!(flushed && self.heard.is_flushed() && self.drained.is_flushed(), "lineage left to write");
        assert!(self.sealed().is_some() || self.drained.len() == 0, "keys are drained since no seal");
    }
}
