//! What the parts of one replica share: the log store, the applier, the snapshot sender and the keeper.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use weir_storage::{GroupStore, LogClass};
use weir_types::mutants::{self, Mutant};
use weir_types::{GroupId, LogIndex, ReplicaId};

use super::{AnyMachine, AppliedPosition, ConsensusRows, LogId, SnapshotMeta, Vote};
use crate::Limits;

/// Shared by the parts of one replica, for the life of one openraft core: a rebuild makes a new one.
pub(crate) struct Shared {
    pub(crate) group: GroupId,
    pub(crate) replica: ReplicaId,
    pub(crate) store: GroupStore,
    pub(crate) machine: Arc<dyn AnyMachine>,
    /// Held while a batch is applied and its rows are queued, while a snapshot is installed, and while an
    /// export takes its view: whoever holds it sees rows, applied position and machine agree.
    pub(crate) gate: tokio::sync::Mutex<()>,
    /// Rung when the purge pointer should move.
    pub(crate) compaction_due: Notify,
    /// Term and index of the last applied entry; changes are signalled only when the term does.
    pub(crate) applied_term: watch::Sender<u64>,
    /// Where the log ends, to wait on while a snapshot is being installed below an append.
    pub(crate) log_end: watch::Sender<LogEnd>,
    fenced: AtomicBool,
    window: Window,
    state: Mutex<State>,
}

/// The end of a replica's log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LogEnd {
    /// The last index, when there is any.
    pub(crate) last: Option<u64>,
    /// A snapshot is being handed to openraft, which then goes on as if it were installed already.
    pub(crate) installing: bool,
}

impl LogEnd {
    /// Whether an entry at `index` has its place now.
    pub(crate) fn takes(self, index: u64) -> bool {
        match self.last {
            Some(last) => index <= last + 1,
            None => !self.installing || index == 0,
        }
    }
}

/// Marks a snapshot as being installed, for as long as it lives.
pub(crate) struct Installing<'a>(&'a Shared);

impl Drop for Installing<'_> {
    fn drop(&mut self) {
        self.0.log_end.send_modify(|end| end.installing = false);
    }
}

#[derive(Default)]
struct State {
    vote: Option<Vote>,
    purged: Option<LogId>,
    applied: AppliedPosition,
    snapshot: Option<SnapshotMeta>,
    retired_to: u64,
    /// (index, bytes applied up to it), oldest first: where the purge pointer may go next.
    marks: VecDeque<(u64, u64)>,
    bytes_applied: u64,
}

/// Marks per kept window: the purge pointer moves in steps of a quarter of it.
const MARKS_PER_WINDOW: u64 = 4;
/// Windows that a leader keeps for a follower within reach.
const SLOW_FOLLOWER_WINDOWS: u64 = 8;
/// Entries that may wait to be given up: few, for each may have some MiB. The store gathers small ones itself.
const RETIRE_STEP: u64 = 4;

impl Shared {
    pub(crate) fn new(
        (group, replica): (GroupId, ReplicaId),
        store: GroupStore,
        machine: Arc<dyn AnyMachine>,
        limits: &Limits,
        stored: ConsensusRows,
    ) -> Self {
        let term = stored.applied.last.map_or(0, |last| **last.committed_leader_id());
        let window = Window::of(store.class(), limits);
        let state = State { applied: stored.applied, snapshot: stored.snapshot, ..State::default() };
        Self {
            group,
            replica,
            store,
            machine,
            gate: tokio::sync::Mutex::new(()),
            compaction_due: Notify::new(),
            applied_term: watch::Sender::new(term),
            log_end: watch::Sender::new(LogEnd::default()),
            fenced: AtomicBool::new(false),
            window,
            state: Mutex::new(state),
        }
    }

    /// Stops everything that belongs to a dead core from touching the store; the caller then takes the gate
    /// once to wait for a batch that was already under way.
    pub(crate) fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
    }

    pub(crate) fn check_fence(&self) -> std::io::Result<()> {
        if self.fenced.load(Ordering::Acquire) {
            return Err(std::io::Error::other("this core was replaced"));
        }
        Ok(())
    }

    /// Announces an installation; appends above its gap wait for it.
    pub(crate) fn begin_install(&self) -> Installing<'_> {
        self.log_end.send_modify(|end| end.installing = true);
        Installing(self)
    }

    /// The index after the last entry of the log.
    pub(crate) fn next_index(&self) -> u64 {
        self.log_end.borrow().last.map_or(0, |last| last + 1)
    }

    pub(crate) fn set_last_index(&self, last: Option<u64>) {
        self.log_end.send_modify(|end| end.last = last);
    }

    pub(crate) fn vote(&self) -> Option<Vote> {
        self.state.lock().vote
    }

    pub(crate) fn set_vote(&self, vote: Option<Vote>) {
        self.state.lock().vote = vote;
    }

    pub(crate) fn purged(&self) -> Option<LogId> {
        self.state.lock().purged
    }

    pub(crate) fn set_purged(&self, purged: Option<LogId>) {
        let mut state = self.state.lock();
        state.purged = state.purged.max(purged);
    }

    pub(crate) fn applied(&self) -> AppliedPosition {
        self.state.lock().applied.clone()
    }

    pub(crate) fn snapshot(&self) -> Option<SnapshotMeta> {
        self.state.lock().snapshot.clone()
    }

    /// Moves the snapshot position; never backwards, or a peer that gets the snapshot would miss entries.
    pub(crate) fn raise_snapshot(&self, meta: SnapshotMeta) -> SnapshotMeta {
        let mut state = self.state.lock();
        let higher = match state.snapshot.take() {
            Some(stored) if stored.last_log_id >= meta.last_log_id => stored,
            _ => meta,
        };
        state.snapshot = Some(higher.clone());
        higher
    }

    /// Notes an applied batch of `bytes` whose rows are queued.
    pub(crate) fn set_applied(&self, applied: AppliedPosition, bytes: u64) {
        let due = {
            let mut state = self.state.lock();
            state.applied = applied;
            state.bytes_applied += bytes;
            state.mark(&self.window) && state.compaction_target(&self.window, None).is_some()
        };
        self.signal_term();
        if due {
            self.compaction_due.notify_one();
        }
    }

    /// Notes an installed snapshot.
    pub(crate) fn set_installed(&self, meta: &SnapshotMeta, retired_to: LogIndex) {
        {
            let mut state = self.state.lock();
            state.applied =
                AppliedPosition { last: meta.last_log_id, membership: meta.last_membership.clone() };
            state.purged = meta.last_log_id;
            state.snapshot = Some(meta.clone());
            state.retired_to = retired_to.0;
            state.marks.clear();
        }
        self.signal_term();
    }

    fn signal_term(&self) {
        let Some(last) = self.state.lock().applied.last else { return };
        let term = **last.committed_leader_id();
        self.applied_term.send_if_modified(|known| std::mem::replace(known, term) != term);
    }

    /// Up to where the purge pointer should move now, if it should. `needed` is the last entry that the slowest
    /// of the followers within reach has.
    pub(crate) fn take_compaction_target(&self, needed: Option<u64>) -> Option<u64> {
        let mut state = self.state.lock();
        let target = state.compaction_target(&self.window, needed)?;
        while state.marks.front().is_some_and(|(index, _)| *index <= target) {
            state.marks.pop_front();
        }
        Some(target)
    }

    /// The index below which entries may be deleted now, when there are enough of them: needed neither by the
    /// machine nor by openraft. The purge pointer is at or below the snapshot position, which is at or below
    /// the applied position, and all three are queued to the store in that order, so that after a crash they
    /// still are.
    pub(crate) fn take_retire_target(&self, purge_moved: bool) -> Option<LogIndex> {
        let retained_from = self.machine.retained_from().0;
        let mut state = self.state.lock();
        let purged_to = if mutants::on(Mutant::M13) { u64::MAX } else { state.purged?.index() + 1 };
        let target = retained_from.min(purged_to);
        let step = if purge_moved { 1 } else { RETIRE_STEP };
        if target < state.retired_to + step {
            return None;
        }
        state.retired_to = target;
        Some(LogIndex(target))
    }
}

/// How much of the log stays replicable.
struct Window {
    entries: u64,
    bytes: u64,
}

impl Window {
    fn of(class: LogClass, limits: &Limits) -> Self {
        let bytes = match class {
            LogClass::Stream => limits.stream_log_bytes_kept,
            LogClass::Queue => limits.log_bytes_kept,
        };
        Self { entries: limits.log_entries_kept, bytes }
    }
}

impl State {
    /// Notes the applied position as a place to purge to, every quarter of a window.
    fn mark(&mut self, window: &Window) -> bool {
        let Some(last) = self.applied.last else { return false };
        let start = || (self.purged.map_or(0, |id| id.index()), 0);
        let (index_before, bytes_before) = self.marks.back().copied().unwrap_or_else(start);
        let far = last.index().saturating_sub(index_before) >= window.entries.div_ceil(MARKS_PER_WINDOW)
            || self.bytes_applied - bytes_before >= window.bytes.div_ceil(MARKS_PER_WINDOW);
        if far {
            self.marks.push_back((last.index(), self.bytes_applied));
        }
        far
    }

    /// The newest mark that is a window behind and that nobody needs, or that is far behind.
    fn compaction_target(&self, window: &Window, needed: Option<u64>) -> Option<u64> {
        let last = self.applied.last?.index();
        let behind = |(index, bytes): (u64, u64), windows: u64| {
            last - index >= window.entries.saturating_mul(windows)
                || self.bytes_applied - bytes >= window.bytes.saturating_mul(windows)
        };
        let dispensable = |mark: &&(u64, u64)| {
            let idle = needed.is_none_or(|needed| mark.0 <= needed);
            behind(**mark, if idle { 1 } else { SLOW_FOLLOWER_WINDOWS })
        };
        self.marks.iter().take_while(dispensable).last().map(|(index, _)| *index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::LogId;

    fn state(entries: u64) -> (State, Window) {
        let window = Window { entries: 100, bytes: u64::MAX };
        let mut state = State::default();
        for index in 1..=entries {
            state.applied.last = Some(LogId::new_term_index(1, index));
            state.mark(&window);
        }
        (state, window)
    }

    #[test]
    fn the_purge_pointer_stays_a_window_behind() {
        let (full, window) = state(250);
        assert_eq!(full.compaction_target(&window, None), Some(150));
        assert_eq!(state(90).0.compaction_target(&window, None), None);
    }

    #[test]
    fn a_slow_follower_holds_it_back_but_not_for_ever() {
        let (near, window) = state(250);
        assert_eq!(near.compaction_target(&window, Some(60)), Some(50));
        let (far, window) = state(1_000);
        assert_eq!(far.compaction_target(&window, Some(60)), Some(200));
        assert!(far.marks.len() <= 40);
    }
}
