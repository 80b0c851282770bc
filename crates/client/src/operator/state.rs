//! What an operator remembers of one partition: keys and values, and what of it has to go to the changelog.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;

/// Whose a key is: the first byte of every key, in memory and in the changelog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Space {
    /// The handler's own keys.
    Handler = b'h',
    /// What the task keeps for itself: where it is, and how late.
    Task = b't',
    /// Open windows.
    Window = b'w',
}

/// What a record of the changelog has beside key and value.
const ROW_BYTES: usize = 64;

/// The state of one partition. All of it is in memory; the changelog holds it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    entries: BTreeMap<Bytes, Bytes>,
    /// Keys whose last value is not in the changelog yet.
    changed: BTreeSet<Bytes>,
    /// How many bytes those are in the changelog, at most.
    changed_bytes: usize,
    /// Derived: open windows by their end. A window's value begins with it.
    ends: BTreeSet<(u64, Bytes)>,
}

impl State {
    /// Takes a record of the changelog in. They come in order; one without a value takes its key away.
    pub(crate) fn restore(&mut self, key: Bytes, value: Option<Bytes>) {
        self.set(key, value);
    }

    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Option<&Bytes> {
        self.entries.get(&*named(space, key))
    }

    pub(crate) fn put(&mut self, space: Space, key: &[u8], value: Bytes) {
        let key = Bytes::from(named(space, key));
        self.note_change(&key, value.len());
        self.set(key, Some(value));
    }

    pub(crate) fn remove(&mut self, space: Space, key: &[u8]) -> Option<Bytes> {
        let key = Bytes::from(named(space, key));
        let removed = self.set(key.clone(), None)?;
        self.note_change(&key, 0);
        Some(removed)
    }

    fn note_change(&mut self, key: &Bytes, value_bytes: usize) {
        self.changed_bytes += key.len() + value_bytes + ROW_BYTES;
        self.changed.insert(key.clone());
    }

    /// How many bytes the changes are that were not taken yet, at most.
    pub(crate) fn changed_bytes(&self) -> usize {
        self.changed_bytes
    }

    /// The entries whose keys begin with a prefix, in order of key.
    pub(crate) fn with_prefix(&self, space: Space, prefix: &[u8]) -> impl Iterator<Item = (&[u8], &Bytes)> {
        let first = Bytes::from(named(space, prefix));
        let all = self.entries.range((Bound::Included(first.clone()), Bound::Unbounded));
        all.take_while(move |(key, _)| key.starts_with(&first)).map(|(key, value)| (&key[1..], value))
    }

    /// The key of the open window that ends first, if it ends at `until_ms` or before.
    pub(crate) fn first_ended(&self, until_ms: u64) -> Option<Bytes> {
        let (end, key) = self.ends.first()?;
        (*end <= until_ms).then(|| key.slice(1..))
    }

    /// What has changed since the last time: keys with their values, none for those that are gone.
    pub(crate) fn take_changes(&mut self) -> Vec<(Bytes, Option<Bytes>)> {
        self.changed_bytes = 0;
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|key| (key.clone(), self.entries.get(&key).cloned())).collect()
    }

    fn set(&mut self, key: Bytes, value: Option<Bytes>) -> Option<Bytes> {
        let end = value.as_ref().and_then(|value| end_of(&key, value));
        let before = match value {
            Some(value) => self.entries.insert(key.clone(), value),
            None => self.entries.remove(&key),
        };
        if let Some(end) = before.as_ref().and_then(|before| end_of(&key, before)) {
            self.ends.remove(&(end, key.clone()));
        }
        self.ends.extend(end.map(|end| (end, key)));
        before
    }
}

fn named(space: Space, key: &[u8]) -> Vec<u8> {
    [&[space as u8], key].concat()
}

fn end_of(key: &[u8], value: &[u8]) -> Option<u64> {
    let is_window = key.first() == Some(&(Space::Window as u8));
    value.first_chunk().filter(|_| is_window).map(|end| u64::from_be_bytes(*end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(end: u64) -> Bytes {
        Bytes::copy_from_slice(&end.to_be_bytes())
    }

    #[test]
    fn spaces_do_not_meet() {
        let mut state = State::default();
        state.put(Space::Handler, b"k", Bytes::from_static(b"mine"));
        state.put(Space::Window, b"k", window(7));
        assert_eq!(state.get(Space::Handler, b"k").map(|value| &**value), Some(&b"mine"[..]));
        assert_eq!(state.with_prefix(Space::Handler, b"").count(), 1);
        assert_eq!(state.get(Space::Task, b"k"), None);
    }

    #[test]
    fn changes_are_told_once_each_with_their_last_value() {
        let mut state = State::default();
        state.put(Space::Handler, b"a", Bytes::from_static(b"1"));
        state.put(Space::Handler, b"a", Bytes::from_static(b"2"));
        state.put(Space::Handler, b"b", Bytes::from_static(b"1"));
        assert!(state.remove(Space::Handler, b"b").is_some());
        assert!(state.remove(Space::Handler, b"never").is_none());
        let told =
            [(Bytes::from_static(b"ha"), Some(Bytes::from_static(b"2"))), (Bytes::from_static(b"hb"), None)];
        assert_eq!(state.take_changes(), told);
        assert_eq!(state.take_changes(), []);
    }

    #[test]
    fn the_changelog_gives_the_state_again() {
        let mut state = State::default();
        let mut log = Vec::new();
        for round in 0..3_u64 {
            state.put(Space::Handler, b"a", window(round));
            state.put(Space::Window, &[round as u8], window(100 - round));
            state.remove(Space::Window, &[round as u8 - u8::from(round > 0)]);
            log.extend(state.take_changes());
        }
        let mut again = State::default();
        for (key, value) in log {
            again.restore(key, value);
        }
        assert_eq!(again, state);
    }

    #[test]
    fn windows_come_in_the_order_of_their_ends() {
        let mut state = State::default();
        for (key, end) in [(b"late", 30), (b"soon", 10), (b"then", 20)] {
            state.put(Space::Window, key, window(end));
        }
        assert_eq!(state.first_ended(9), None);
        assert_eq!(state.first_ended(10).as_deref(), Some(&b"soon"[..]));
        state.put(Space::Window, b"soon", window(40));
        assert_eq!(state.first_ended(100).as_deref(), Some(&b"then"[..]));
        state.remove(Space::Window, b"then");
        assert_eq!(state.first_ended(100).as_deref(), Some(&b"late"[..]));
    }
}
