//! What the parts of one replica share: the log store, the applier, the snapshot sender and the keeper.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use weir_storage::GroupStore;
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
    /// The last index of the log, to wait on while a snapshot is being installed below an append.
    pub(crate) last_index: watch::Sender<Option<u64>>,
    fenced: AtomicBool,
    limits: Limits,
    state: Mutex<State>,
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
/// Entries that may wait to be deleted, so that deletions come in ranges and not one by one.
const RETIRE_STEP: u64 = 32;

impl Shared {
    pub(crate) fn new(
        (group, replica): (GroupId, ReplicaId),
        store: GroupStore,
        machine: Arc<dyn AnyMachine>,
        limits: Limits,
        stored: ConsensusRows,
    ) -> Self {
        let term = stored.applied.last.map_or(0, |last| **last.committed_leader_id());
        let state = State { applied: stored.applied, snapshot: stored.snapshot, ..State::default() };
        Self {
            group,
            replica,
            store,
            machine,
            gate: tokio::sync::Mutex::new(()),
            compaction_due: Notify::new(),
            applied_term: watch::Sender::new(term),
            last_index: watch::Sender::new(None),
            fenced: AtomicBool::new(false),
            limits,
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
            state.mark(&self.limits);
            state.compaction_target(&self.limits).is_some()
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

    /// Up to where the purge pointer should move now, if it should.
    pub(crate) fn take_compaction_target(&self) -> Option<u64> {
        let mut state = self.state.lock();
        let target = state.compaction_target(&self.limits)?;
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
        let target = retained_from.min(state.purged?.index() + 1);
        let step = if purge_moved { 1 } else { RETIRE_STEP };
        if target < state.retired_to + step {
            return None;
        }
        state.retired_to = target;
        Some(LogIndex(target))
    }
}

impl State {
    fn mark(&mut self, limits: &Limits) {
        let Some(last) = self.applied.last else { return };
        let (index_before, bytes_before) =
            self.marks.back().copied().unwrap_or((self.purged.map_or(0, |id| id.index()), 0));
        let far = last.index().saturating_sub(index_before)
            >= limits.log_entries_kept.div_ceil(MARKS_PER_WINDOW)
            || self.bytes_applied - bytes_before >= limits.log_bytes_kept.div_ceil(MARKS_PER_WINDOW);
        if far {
            self.marks.push_back((last.index(), self.bytes_applied));
        }
    }

    fn compaction_target(&self, limits: &Limits) -> Option<u64> {
        let last = self.applied.last?.index();
        let dispensable = |(index, bytes): &&(u64, u64)| {
            last - index >= limits.log_entries_kept || self.bytes_applied - bytes >= limits.log_bytes_kept
        };
        self.marks.iter().take_while(dispensable).last().map(|(index, _)| *index)
    }
}
