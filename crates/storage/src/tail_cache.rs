//! The entries appended last, over all groups, bounded in bytes: replication, apply and fetch read here and not in
//! the database. An entry that is not yet written is never evicted, so the cache may exceed its bound by what
//! waits for the log writer, which is bounded itself.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use parking_lot::Mutex;
use weir_types::{GroupId, LogIndex};

use crate::LogRecord;

/// What an entry costs beside its payload.
const ENTRY_OVERHEAD_BYTES: usize = 96;
/// Places of entries that are gone, kept before they are cleared away.
const ORDER_SLACK: usize = 1024;

/// Orders all entries by when they were appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Ticket(u64);

pub(crate) struct TailCache {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    groups: BTreeMap<GroupId, Tail>,
    /// Every entry in order of arrival; those truncated or retired meanwhile are skipped when they come up.
    order: VecDeque<(Ticket, GroupId)>,
    /// Entries in all tails.
    entries: usize,
    bytes: usize,
    last: Ticket,
}

/// The end of one group's log, without gaps.
#[derive(Default)]
struct Tail {
    entries: VecDeque<(Ticket, LogRecord)>,
    /// Everything up to here is in the database.
    written: Ticket,
}

impl TailCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, state: Mutex::default() }
    }

    /// Adds entries that continue the group's log. The ticket is to be given to [`Self::written`].
    pub(crate) fn append(&self, group: GroupId, records: &[LogRecord]) -> Ticket {
        let mut state = self.state.lock();
        let state = &mut *state;
        let tail = state.groups.entry(group).or_default();
        for record in records {
            state.last = Ticket(state.last.0 + 1);
            state.bytes += cost(record);
            state.entries += 1;
            state.order.push_back((state.last, group));
            tail.entries.push_back((state.last, record.clone()));
        }
        state.last
    }

    /// The group's entries up to the ticket are in the database now and may be evicted.
    pub(crate) fn written(&self, group: GroupId, up_to: Ticket) {
        let mut state = self.state.lock();
        if let Some(tail) = state.groups.get_mut(&group) {
            tail.written = tail.written.max(up_to);
        }
        state.evict(self.bytes_max);
    }

    /// Forgets entries from `from` on.
    pub(crate) fn truncate(&self, group: GroupId, from: LogIndex) {
        self.state.lock().drop_while(group, |tail| {
            tail.back().is_some_and(|(_, record)| record.index >= from).then(|| tail.pop_back()).flatten()
        });
    }

    /// Forgets entries before `before`.
    pub(crate) fn retire(&self, group: GroupId, before: LogIndex) {
        self.state.lock().drop_while(group, |tail| {
            tail.front().is_some_and(|(_, record)| record.index < before).then(|| tail.pop_front()).flatten()
        });
    }

    /// Forgets a group.
    pub(crate) fn forget(&self, group: GroupId) {
        self.truncate(group, LogIndex(0));
    }

    /// The cached end of `range`, at most about `bytes_max` and at least one entry, where the whole of what is
    /// missing lies before it.
    pub(crate) fn read(&self, group: GroupId, range: Range<u64>, bytes_max: usize) -> Vec<LogRecord> {
        let state = self.state.lock();
        let Some(tail) = state.groups.get(&group) else { return Vec::new() };
        let Some((_, first)) = tail.entries.front() else { return Vec::new() };
        let skip = range.start.saturating_sub(first.index.0) as usize;
        let mut bytes = 0;
        let mut found = Vec::new();
        for (_, record) in tail.entries.iter().skip(skip) {
            bytes += record.payload.len();
            if record.index.0 >= range.end || (bytes > bytes_max && !found.is_empty()) {
                break;
            }
            found.push(record.clone());
        }
        found
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.state.lock().bytes
    }
}

impl State {
    fn evict(&mut self, bytes_max: usize) {
        while self.bytes > bytes_max {
            let Some((ticket, group)) = self.order.front().copied() else { return };
            let tail = self.groups.get_mut(&group);
            if let Some(tail) = tail
                && tail.entries.front().is_some_and(|(front, _)| *front == ticket)
            {
                if tail.written < ticket {
                    return;
                }
                let (_, record) = tail.entries.pop_front().expect("the front was just seen");
                self.bytes -= cost(&record);
                self.entries -= 1;
                self.remove_if_empty(group);
            }
            self.order.pop_front();
        }
    }

    fn drop_while(
        &mut self,
        group: GroupId,
        mut next: impl FnMut(&mut VecDeque<(Ticket, LogRecord)>) -> Option<(Ticket, LogRecord)>,
    ) {
        let Some(tail) = self.groups.get_mut(&group) else { return };
        while let Some((_, record)) = next(&mut tail.entries) {
            self.bytes -= cost(&record);
            self.entries -= 1;
        }
        self.remove_if_empty(group);
        if self.order.len() > 2 * self.entries + ORDER_SLACK {
            self.skip_gone();
        }
    }

    fn remove_if_empty(&mut self, group: GroupId) {
        if self.groups.get(&group).is_some_and(|tail| tail.entries.is_empty()) {
            self.groups.remove(&group);
        }
    }

    /// Keeps `order` from growing while entries are retired as fast as they come and nothing is evicted.
    fn skip_gone(&mut self) {
        let groups = &self.groups;
        self.order.retain(|(ticket, group)| {
            let tail = groups.get(group);
            tail.is_some_and(|tail| tail.entries.binary_search_by_key(ticket, |(at, _)| *at).is_ok())
        });
    }
}

fn cost(record: &LogRecord) -> usize {
    record.payload.len() + ENTRY_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use weir_types::Term;

    use super::*;

    const A: GroupId = GroupId(1);
    const B: GroupId = GroupId(2);

    fn record(index: u64) -> LogRecord {
        LogRecord { index: LogIndex(index), term: Term(1), kind: 0, payload: Bytes::from(vec![0; 104]) }
    }

    fn indexes(records: &[LogRecord]) -> Vec<u64> {
        records.iter().map(|record| record.index.0).collect()
    }

    #[test]
    fn entries_not_yet_written_are_never_evicted() {
        let cache = TailCache::new(400);
        let ticket = cache.append(A, &[record(1), record(2), record(3)]);
        assert_eq!(cache.bytes(), 600);
        cache.written(B, ticket);
        assert_eq!(indexes(&cache.read(A, 1..4, 10_000)), [1, 2, 3]);
        cache.written(A, ticket);
        assert_eq!(indexes(&cache.read(A, 1..4, 10_000)), [2, 3]);
        assert_eq!(cache.bytes(), 400);
    }

    #[test]
    fn a_truncated_entry_gives_way_to_its_successor() {
        let cache = TailCache::new(10_000);
        cache.append(A, &[record(1), record(2), record(3)]);
        cache.truncate(A, LogIndex(2));
        let ticket = cache.append(A, &[LogRecord { term: Term(2), ..record(2) }]);
        assert_eq!(cache.read(A, 1..9, 10_000)[1].term, Term(2));
        cache.written(A, ticket);
        assert_eq!(cache.bytes(), 400);
    }

    #[test]
    fn the_oldest_entries_of_all_groups_go_first() {
        let cache = TailCache::new(400);
        let first = cache.append(A, &[record(1)]);
        let second = cache.append(B, &[record(7)]);
        let third = cache.append(A, &[record(2)]);
        cache.written(A, first);
        cache.written(B, second);
        cache.written(A, third);
        assert_eq!(indexes(&cache.read(A, 1..9, 10_000)), [2]);
        assert_eq!(indexes(&cache.read(B, 1..9, 10_000)), [7]);
    }

    #[test]
    fn a_read_is_cut_by_bytes_but_never_empty() {
        let cache = TailCache::new(10_000);
        cache.append(A, &[record(1), record(2), record(3)]);
        assert_eq!(indexes(&cache.read(A, 1..4, 1)), [1]);
        assert_eq!(indexes(&cache.read(A, 2..4, 208)), [2, 3]);
        assert_eq!(indexes(&cache.read(A, 2..3, 10_000)), [2]);
    }

    #[test]
    fn entries_retired_as_fast_as_they_come_leave_nothing_behind() {
        let cache = TailCache::new(10_000);
        cache.append(B, &[record(1)]);
        for index in 1..10_000 {
            cache.append(A, &[record(index)]);
            cache.retire(A, LogIndex(index + 1));
        }
        assert!(cache.state.lock().order.len() <= ORDER_SLACK + 3);
        cache.forget(B);
        assert_eq!(cache.bytes(), 0);
        assert!(cache.state.lock().groups.is_empty());
    }
}
