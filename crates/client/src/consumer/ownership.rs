//! Which partitions this member owns, how far it has handed them out, and what of that is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use weir_types::ErrorKind;

use super::commits::Commits;
use crate::stream::Source;
use crate::{Error, Result};

/// What the handle and the membership share.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    state: Mutex<State>,
    /// The set of owned partitions got smaller: the group should hear of it at once.
    pub(crate) released: Notify,
    /// The handle asked for another record, so that none is being handled.
    idle: Notify,
}

#[derive(Debug, Default)]
struct State {
    owned: BTreeMap<Source, Owned>,
    commits: Commits,
    /// Of the record that was handed out last.
    handling: Option<Source>,
    /// A partition went away with records handed out and not committed.
    lost: Option<Error>,
    /// A commit failed that nobody waited for.
    unheard: Option<Error>,
}

/// What a commit-and-append moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    pub(crate) source: Source,
    /// Where the group stands.
    pub(crate) from: Option<u64>,
    /// Behind the last record handed out.
    pub(crate) to: u64,
}

/// A partition that this member owns.
#[derive(Clone, Debug)]
pub(crate) struct Owned {
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    /// Behind the last record handed out.
    position: Option<u64>,
    revoked: bool,
}

impl Owned {
    pub(crate) fn new(topic: &str, partition: u32) -> Self {
        Self { topic: topic.into(), partition, position: None, revoked: false }
    }
}

impl Ownership {
    pub(crate) fn add(&self, source: Source, owned: Owned) {
        self.state.lock().owned.insert(source, owned);
    }

    /// Older owners are shut out: where the group stands now.
    pub(crate) fn begin(&self, source: Source, committed: Option<u64>) {
        self.state.lock().commits.begin(source, committed);
    }

    pub(crate) fn sources(&self) -> Vec<Source> {
        self.state.lock().owned.keys().copied().collect()
    }

    /// Topic and partition of what is owned and not being taken away.
    pub(crate) fn partitions(&self) -> Vec<(String, u32)> {
        let state = self.state.lock();
        let kept = state.owned.values().filter(|owned| !owned.revoked);
        kept.map(|owned| (owned.topic.to_string(), owned.partition)).collect()
    }

    /// The epoch under which a partition is owned. One that is being taken away counts until it is gone.
    pub(crate) fn epoch(&self, topic: &str, partition: u32) -> Option<u64> {
        let state = self.state.lock();
        let mine = |owned: &Owned| &*owned.topic == topic && owned.partition == partition;
        state.owned.iter().filter(|(_, owned)| mine(owned)).map(|(source, _)| source.epoch).max()
    }

    /// The handle is about to hand out a record: whether it may.
    pub(crate) fn hand_out(&self, source: Source, offset: u64) -> bool {
        let mut state = self.state.lock();
        let Some(owned) = state.owned.get_mut(&source).filter(|owned| !owned.revoked) else { return false };
        owned.position = Some(offset + 1);
        state.handling = Some(source);
        true
    }

    /// The record handed out last is handled.
    pub(crate) fn handled(&self) {
        let was_handling = self.state.lock().handling.take().is_some();
        if was_handling {
            self.idle.notify_waiters();
        }
    }

    /// Waits while a record of this partition is being handled.
    pub(crate) async fn wait_idle(&self, source: Source) {
        loop {
            let idle = self.idle.notified();
            tokio::pin!(idle);
            // Before the look, or the wake-up between look and wait would be missed.
            idle.as_mut().enable();
            if self.state.lock().handling != Some(source) {
                return;
            }
            idle.await;
        }
    }

    /// Nothing more of this partition is handed out. False if that was so already.
    pub(crate) fn revoke(&self, source: Source) -> bool {
        let mut state = self.state.lock();
        state.owned.get_mut(&source).is_some_and(|owned| !std::mem::replace(&mut owned.revoked, true))
    }

    /// The partition is no longer owned.
    pub(crate) fn remove(&self, source: Source) {
        let mut state = self.state.lock();
        let Some(owned) = state.owned.remove(&source) else { return };
        let text = format!("partition {} of `{}` went to another member", owned.partition, owned.topic);
        let gone = Error::new(ErrorKind::Fenced, "group-fenced", text);
        if owned.position.is_some_and(|position| !state.commits.covers(source, position)) {
            state.lost = Some(gone.clone());
        }
        state.commits.forget(source, &gone);
        drop(state);
        self.released.notify_one();
    }

    /// What there is to commit: partitions and positions behind the last records handed out.
    pub(crate) fn positions(&self) -> Vec<(Source, u64)> {
        let state = self.state.lock();
        state.owned.iter().filter_map(|(source, owned)| Some((*source, owned.position?))).collect()
    }

    /// The partitions of which records were handed out that are not committed.
    pub(crate) fn moves(&self) -> Vec<Move> {
        let state = self.state.lock();
        let moved = |(source, owned): (&Source, &Owned)| {
            let (source, from, to) = (*source, state.commits.committed(*source), owned.position?);
            (from < Some(to)).then_some(Move { source, from, to })
        };
        state.owned.iter().filter_map(moved).collect()
    }

    /// A commit-and-append is done, or was refused: a fenced partition is lost.
    pub(crate) fn moved(&self, step: Move, result: &Result<()>) {
        match result {
            Ok(()) => self.state.lock().commits.moved(step.source, step.to),
            Err(error) if error.kind() == ErrorKind::Fenced => {
                self.remove(step.source);
                // The step's own error says it.
                self.take_lost();
            }
            Err(_) => {}
        }
    }

    pub(crate) fn position(&self, source: Source) -> Option<u64> {
        self.state.lock().owned.get(&source)?.position
    }

    /// Why records that were handed out can no longer be committed; told once.
    pub(crate) fn take_lost(&self) -> Option<Error> {
        self.state.lock().lost.take()
    }

    /// As [`Commits::want`].
    pub(crate) fn want_commit(
        &self,
        source: Source,
        position: u64,
        waiter: Option<oneshot::Sender<Result<()>>>,
    ) -> Option<u64> {
        self.state.lock().commits.want(source, position, waiter)
    }

    /// As [`Commits::done`]: the next position to send. A fenced partition is lost.
    pub(crate) fn commit_done(&self, source: Source, result: Result<()>) -> Option<u64> {
        let fenced = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced);
        let done = self.state.lock().commits.done(source, result);
        if fenced {
            self.remove(source);
            // The commit's own error says it.
            self.take_lost();
        }
        if done.unheard.is_some() {
            self.state.lock().unheard = done.unheard;
        }
        done.next
    }

    /// The error of a commit that nobody waited for; told once.
    pub(crate) fn take_unheard(&self) -> Option<Error> {
        self.state.lock().unheard.take()
    }
}

#[cfg(test)]
mod tests {
    use weir_types::GroupId;

    use super::*;

    const A: Source = Source { group: GroupId(1), epoch: 4 };

    fn ownership() -> Ownership {
        let ownership = Ownership::default();
        ownership.add(A, Owned::new("t", 0));
        ownership
    }

    #[test]
    fn records_of_a_revoked_or_former_partition_are_not_handed_out() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        assert!(!ownership.hand_out(Source { epoch: 3, ..A }, 8));
        assert!(ownership.revoke(A));
        assert!(!ownership.revoke(A));
        assert!(!ownership.hand_out(A, 8));
        assert_eq!(ownership.position(A), Some(8));
    }

    #[test]
    fn a_partition_has_its_epoch_until_it_is_gone() {
        let ownership = ownership();
        assert_eq!(ownership.epoch("t", 0), Some(4));
        assert_eq!((ownership.epoch("t", 1), ownership.epoch("u", 0)), (None, None));
        assert!(ownership.revoke(A));
        assert_eq!(ownership.epoch("t", 0), Some(4));
        ownership.remove(A);
        assert_eq!(ownership.epoch("t", 0), None);
    }

    #[test]
    fn a_partition_that_goes_with_uncommitted_records_is_told_once() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        ownership.remove(A);
        assert_eq!(ownership.take_lost().map(|error| error.kind()), Some(ErrorKind::Fenced));
        assert!(ownership.take_lost().is_none());
    }

    #[test]
    fn a_partition_that_goes_with_everything_committed_is_no_loss() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        assert_eq!(ownership.want_commit(A, 8, None), Some(8));
        assert_eq!(ownership.commit_done(A, Ok(())), None);
        ownership.remove(A);
        assert!(ownership.take_lost().is_none());
    }

    #[test]
    fn a_step_begins_where_the_group_stands_and_ends_behind_what_was_handed_out() {
        let ownership = ownership();
        ownership.begin(A, Some(5));
        assert_eq!(ownership.moves(), []);
        assert!(ownership.hand_out(A, 7));
        let step = Move { source: A, from: Some(5), to: 8 };
        assert_eq!(ownership.moves(), [step]);
        ownership.moved(step, &Ok(()));
        assert_eq!(ownership.moves(), []);
        ownership.remove(A);
        assert!(ownership.take_lost().is_none());
    }

    #[test]
    fn a_fenced_commit_ends_the_ownership() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        let _ = ownership.want_commit(A, 8, None);
        let fenced = Error::new(ErrorKind::Fenced, "group-fenced", "epoch 4 is over");
        assert_eq!(ownership.commit_done(A, Err(fenced)), None);
        assert!(ownership.sources().is_empty());
    }
}
