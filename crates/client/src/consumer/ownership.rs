//! Which partitions this member owns, how far it has handed them out, and what of that is committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};
use weir_types::{ErrorKind, GroupId};

use super::commits::Commits;
use crate::stream::Source;
use crate::{Error, Result};

/// What the handle and the membership share.
#[derive(Debug, Default)]
pub(crate) struct Ownership {
    state: Mutex<State>,
    /// The set of owned partitions got smaller, or one of them is finished: the group should hear of it at once.
    pub(crate) released: Notify,
    /// The handle asked for another record, so that none is being handled.
    idle: Notify,
    /// A position was committed, or a partition went away.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    owned: BTreeMap<Source, Owned>,
    commits: Commits,
    /// How many ownerships there were so far.
    turns: u64,
    /// Of the record that was handed out last, until another is asked for.
    handling: Option<Source>,
    /// Of the record that was handed out last, until it is committed.
    handed: Option<Source>,
    /// Partitions that went away with records handed out and not committed.
    lost: BTreeMap<Source, Error>,
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
    /// It is sealed, and the group's committed position is its end.
    finished: bool,
}

impl Owned {
    pub(crate) fn new(topic: &str, partition: u32) -> Self {
        Self { topic: topic.into(), partition, position: None, revoked: false, finished: false }
    }
}

impl Ownership {
    /// This member owns a partition from now on, as nobody did before: the source that its records come from.
    pub(crate) fn add(&self, group: GroupId, epoch: u64, owned: Owned) -> Source {
        let mut state = self.state.lock();
        state.turns += 1;
        let source = Source { group, epoch, turn: state.turns };
        state.owned.insert(source, owned);
        source
    }

    /// Older owners are shut out: where the group stands now.
    pub(crate) fn begin(&self, source: Source, committed: Option<u64>) {
        let mut state = self.state.lock();
        if state.owned.contains_key(&source) {
            state.commits.begin(source, committed);
        }
    }

    pub(crate) fn sources(&self) -> Vec<Source> {
        self.state.lock().owned.keys().copied().collect()
    }

    /// What is owned, and whether it is finished.
    pub(crate) fn states(&self) -> Vec<(Source, bool)> {
        self.state.lock().owned.iter().map(|(source, owned)| (*source, owned.finished)).collect()
    }

    /// Everything of a sealed partition is committed: the group should hear of it.
    pub(crate) fn finish(&self, source: Source) {
        let mut state = self.state.lock();
        let Some(owned) = state.owned.get_mut(&source) else { return };
        owned.finished = true;
        drop(state);
        self.released.notify_one();
    }

    /// Waits until everything before `position` was handed out of a partition and is handled. False when it went away.
    pub(crate) async fn wait_handled(&self, source: Source, position: u64) -> bool {
        let is_handled =
            |state: &State, owned: &Owned| owned.position >= Some(position) && state.handling != Some(source);
        self.wait(&self.idle, source, is_handled).await
    }

    /// Waits until everything before `position` is committed. False when the partition went away.
    pub(crate) async fn wait_committed(&self, source: Source, position: u64) -> bool {
        self.wait(&self.moved, source, |state, _| state.commits.covers(source, position)).await
    }

    async fn wait(&self, news: &Notify, source: Source, is_so: impl Fn(&State, &Owned) -> bool) -> bool {
        loop {
            let (news, gone) = (news.notified(), self.moved.notified());
            tokio::pin!(news, gone);
            // Before the look, or the wake-up between look and wait would be missed.
            news.as_mut().enable();
            gone.as_mut().enable();
            {
                let state = self.state.lock();
                let Some(owned) = state.owned.get(&source) else { return false };
                if is_so(&state, owned) {
                    return true;
                }
            }
            tokio::select! {
                () = news => {}
                () = gone => {}
            }
        }
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

    /// The source of the records that were handed out last and are not committed.
    pub(crate) fn handed(&self) -> Option<Source> {
        self.state.lock().handed
    }

    /// Where the group stands in a partition that is owned.
    pub(crate) fn committed(&self, source: Source) -> Option<u64> {
        self.state.lock().commits.committed(source)
    }

    pub(crate) fn owns(&self, source: Source) -> bool {
        self.state.lock().owned.contains_key(&source)
    }

    /// The handle is about to hand out a record: whether it may.
    pub(crate) fn hand_out(&self, source: Source, offset: u64) -> bool {
        let mut state = self.state.lock();
        let Some(owned) = state.owned.get_mut(&source).filter(|owned| !owned.revoked) else { return false };
        owned.position = Some(offset + 1);
        state.handling = Some(source);
        state.handed = Some(source);
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
        let gone = gone(Some(&owned));
        if owned.position.is_some_and(|position| !state.commits.covers(source, position)) {
            state.lost.insert(source, gone.clone());
        }
        state.commits.forget(source, &gone);
        drop(state);
        self.released.notify_one();
        self.moved.notify_waiters();
    }

    /// What there is to commit: partitions and positions behind the last records handed out.
    pub(crate) fn positions(&self) -> Vec<(Source, u64)> {
        let state = self.state.lock();
        state.owned.iter().filter_map(|(source, owned)| Some((*source, owned.position?))).collect()
    }

    /// What a commit-and-append has to move, up to and with the record `through`, or the one that was handed out last.
    ///
    /// # Errors
    /// `Fenced` when the partition of that record went away; `Invalid` when records of others were handed out besides.
    pub(crate) fn step(&self, through: Option<u64>) -> Result<Move> {
        let mut state = self.state.lock();
        let Some(source) = state.handed else { return Err(not_one(0)) };
        let Some(owned) = state.owned.get(&source) else {
            state.handed = None;
            let lost = state.lost.remove(&source);
            return Err(lost.unwrap_or_else(|| gone(None)));
        };
        let to = through.map(|through| through.saturating_add(1)).or(owned.position);
        if owned.position < to {
            let problem = "is an offset that was not handed out".to_owned();
            return Err(Error::Option { option: "through", problem });
        }
        let open = |(source, owned): (&Source, &Owned)| state.commits.committed(*source) < owned.position;
        let others =
            state.owned.iter().filter(|(other, _)| **other != source).filter(|other| open(*other)).count();
        let from = state.commits.committed(source);
        match to {
            Some(to) if others == 0 && from < Some(to) => Ok(Move { source, from, to }),
            Some(_) if others > 0 => Err(not_one(others + 1)),
            _ => Err(not_one(0)),
        }
    }

    /// A commit-and-append is done, or was refused: a fenced partition is given up, so that it is read again from where the
    /// group stands if it comes back.
    pub(crate) fn stepped(&self, step: Move, result: &Result<()>) {
        match result {
            Ok(()) => {
                let mut state = self.state.lock();
                state.commits.moved(step.source, step.to);
                // It went away meanwhile, and what was handed out of it is committed all the same.
                state.lost.remove(&step.source);
                let left = state.owned.get(&step.source).and_then(|owned| owned.position);
                if state.handed == Some(step.source) && left <= Some(step.to) {
                    state.handed = None;
                }
                drop(state);
                self.moved.notify_waiters();
            }
            Err(error) if error.kind() == ErrorKind::Fenced => {
                self.remove(step.source);
                // The step's own error says it.
                let mut state = self.state.lock();
                state.lost.remove(&step.source);
                state.handed = None;
            }
            Err(_) => {}
        }
    }

    pub(crate) fn position(&self, source: Source) -> Option<u64> {
        self.state.lock().owned.get(&source)?.position
    }

    /// Why records that were handed out can no longer be committed; told once.
    pub(crate) fn take_lost(&self) -> Option<Error> {
        self.state.lock().lost.pop_first().map(|(_, error)| error)
    }

    /// As [`Commits::want`].
    pub(crate) fn want_commit(
        &self,
        source: Source,
        position: u64,
        waiter: Option<oneshot::Sender<Result<()>>>,
    ) -> Option<u64> {
        let mut state = self.state.lock();
        if !state.owned.contains_key(&source) {
            if let Some(waiter) = waiter {
                let _ = waiter.send(Err(gone(None)));
            }
            return None;
        }
        state.commits.want(source, position, waiter)
    }

    /// As [`Commits::done`]: the next position to send. A fenced partition is lost.
    pub(crate) fn commit_done(&self, source: Source, result: Result<()>) -> Option<u64> {
        let fenced = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::Fenced);
        let done = self.state.lock().commits.done(source, result);
        self.moved.notify_waiters();
        if fenced {
            self.remove(source);
            // The commit's own error says it.
            self.state.lock().lost.remove(&source);
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

fn gone(owned: Option<&Owned>) -> Error {
    let named = |owned: &Owned| format!("partition {} of `{}`", owned.partition, owned.topic);
    let text = format!("{} went to another member", owned.map_or_else(|| "the partition".to_owned(), named));
    Error::new(ErrorKind::Fenced, "group-fenced", text)
}

fn not_one(partitions: usize) -> Error {
    let text = format!("uncommitted records of {partitions} partitions were handed out, not of one");
    Error::new(ErrorKind::Invalid, "not-one-partition", text)
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    const A: Source = Source { group: GroupId(1), epoch: 4, turn: 1 };

    fn ownership() -> Ownership {
        let ownership = Ownership::default();
        assert_eq!(ownership.add(A.group, A.epoch, Owned::new("t", 0)), A);
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

    fn kind(result: Result<Move>) -> ErrorKind {
        result.expect_err("the step is refused").kind()
    }

    #[test]
    fn a_step_begins_where_the_group_stands_and_ends_behind_what_was_handed_out() {
        let ownership = ownership();
        ownership.begin(A, Some(5));
        assert_eq!(kind(ownership.step(None)), ErrorKind::Invalid);
        assert!(ownership.hand_out(A, 7));
        assert!(ownership.hand_out(A, 8));
        let part = Move { source: A, from: Some(5), to: 8 };
        assert_eq!(ownership.step(Some(7)).ok(), Some(part));
        ownership.stepped(part, &Ok(()));
        let rest = Move { source: A, from: Some(8), to: 9 };
        assert_eq!(ownership.step(None).ok(), Some(rest));
        ownership.stepped(rest, &Ok(()));
        assert_eq!(kind(ownership.step(None)), ErrorKind::Invalid);
        ownership.remove(A);
        assert!(ownership.take_lost().is_none());
    }

    #[test]
    fn the_loss_of_one_partition_is_no_error_of_another_one_s_step() {
        let ownership = ownership();
        ownership.begin(A, None);
        assert!(ownership.hand_out(A, 0));
        let late = ownership.step(None).expect("the first step");
        ownership.remove(A);
        // Its answer comes late, and good: nothing is lost.
        ownership.stepped(late, &Ok(()));
        let other = ownership.add(GroupId(2), 1, Owned::new("t", 1));
        ownership.begin(other, Some(3));
        assert!(ownership.hand_out(other, 3));
        assert_eq!(ownership.step(None).ok(), Some(Move { source: other, from: Some(3), to: 4 }));
        assert!(ownership.take_lost().is_none());
    }

    #[test]
    fn a_step_of_a_partition_that_went_away_is_fenced_and_others_go_on() {
        let ownership = ownership();
        ownership.begin(A, None);
        assert!(ownership.hand_out(A, 0));
        ownership.remove(A);
        assert_eq!(kind(ownership.step(None)), ErrorKind::Fenced);
        assert!(ownership.take_lost().is_none(), "the step's own error said it");
        assert_eq!(kind(ownership.step(None)), ErrorKind::Invalid);
    }

    #[test]
    fn a_partition_that_comes_back_under_its_epoch_has_nothing_of_before() {
        let ownership = ownership();
        ownership.begin(A, Some(0));
        assert!(ownership.hand_out(A, 0));
        let late = ownership.step(None).expect("the first step");
        ownership.remove(A);
        let again = ownership.add(A.group, A.epoch, Owned::new("t", 0));
        assert_ne!(again, A);
        ownership.begin(again, Some(0));
        // What was read ahead, and the answer that was on its way, are of the old ownership.
        assert!(!ownership.hand_out(A, 1));
        ownership.stepped(late, &Ok(()));
        assert!(ownership.hand_out(again, 0));
        assert_eq!(ownership.step(None).ok(), Some(Move { source: again, from: Some(0), to: 1 }));
    }

    #[test]
    fn records_of_two_partitions_are_no_step() {
        let ownership = ownership();
        let other = ownership.add(GroupId(2), 1, Owned::new("t", 1));
        for source in [A, other] {
            ownership.begin(source, None);
            assert!(ownership.hand_out(source, 0));
        }
        assert_eq!(kind(ownership.step(None)), ErrorKind::Invalid);
    }

    #[test]
    fn a_partition_is_handled_to_its_end_when_the_record_after_the_last_is_asked_for() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        let mut handled = std::pin::pin!(ownership.wait_handled(A, 9));
        ownership.handled();
        assert_eq!(handled.as_mut().now_or_never(), None, "one is still to come");
        assert!(ownership.hand_out(A, 8));
        assert_eq!(handled.as_mut().now_or_never(), None, "the last one is being handled");
        ownership.handled();
        assert_eq!(handled.as_mut().now_or_never(), Some(true));
    }

    #[test]
    fn a_wait_for_commits_ends_with_the_last_one_or_with_the_ownership() {
        let ownership = ownership();
        assert!(ownership.hand_out(A, 7));
        let mut committed = std::pin::pin!(ownership.wait_committed(A, 8));
        let mut never = std::pin::pin!(ownership.wait_committed(A, 9));
        assert_eq!(committed.as_mut().now_or_never(), None);
        assert_eq!(never.as_mut().now_or_never(), None);
        assert_eq!(ownership.want_commit(A, 8, None), Some(8));
        assert_eq!(ownership.commit_done(A, Ok(())), None);
        assert_eq!(committed.as_mut().now_or_never(), Some(true));
        assert_eq!(never.as_mut().now_or_never(), None);
        ownership.remove(A);
        assert_eq!(never.as_mut().now_or_never(), Some(false));
    }

    #[test]
    fn the_group_hears_at_once_that_a_partition_is_finished() {
        let ownership = ownership();
        assert_eq!(ownership.states(), [(A, false)]);
        ownership.finish(A);
        assert_eq!(ownership.states(), [(A, true)]);
        assert_eq!(ownership.released.notified().now_or_never(), Some(()));
        ownership.remove(A);
        ownership.finish(A);
        assert!(ownership.states().is_empty());
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
