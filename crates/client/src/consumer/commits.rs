//! Which positions are to be committed, are on their way, and are committed.

use std::collections::BTreeMap;

use tokio::sync::oneshot;

use crate::stream::Source;
use crate::{Error, Result};

/// What follows from a commit that is done.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// The next position to send.
    pub(crate) next: Option<u64>,
    /// An error that nobody waited for.
    pub(crate) unheard: Option<Error>,
}

/// The commits of one member. Per partition one is on its way; what is wanted meanwhile becomes one more.
#[derive(Debug, Default)]
pub(crate) struct Commits {
    by_source: BTreeMap<Source, Commit>,
}

#[derive(Debug, Default)]
struct Commit {
    committed: Option<u64>,
    on_its_way: Option<u64>,
    wanted: Option<u64>,
    waiting: Vec<(u64, oneshot::Sender<Result<()>>)>,
}

impl Commits {
    /// Where the group stands when the partition is taken over.
    pub(crate) fn begin(&mut self, source: Source, committed: Option<u64>) {
        self.by_source.entry(source).or_default().committed = committed;
    }

    /// Where the group stands.
    pub(crate) fn committed(&self, source: Source) -> Option<u64> {
        self.by_source.get(&source)?.committed
    }

    /// A position was committed by other means.
    pub(crate) fn moved(&mut self, source: Source, position: u64) {
        if let Some(commit) = self.by_source.get_mut(&source) {
            commit.committed = commit.committed.max(Some(position));
        }
    }

    /// A position is to be committed: the one to send now, if none is on its way. `waiter` hears when it is done.
    pub(crate) fn want(
        &mut self,
        source: Source,
        position: u64,
        waiter: Option<oneshot::Sender<Result<()>>>,
    ) -> Option<u64> {
        let commit = self.by_source.entry(source).or_default();
        if Some(position) <= commit.committed {
            if let Some(waiter) = waiter {
                let _ = waiter.send(Ok(()));
            }
            return None;
        }
        commit.waiting.extend(waiter.map(|waiter| (position, waiter)));
        commit.wanted = commit.wanted.max(Some(position));
        commit.start()
    }

    /// The commit that was on its way is done.
    pub(crate) fn done(&mut self, source: Source, result: Result<()>) -> Done {
        let Some(commit) = self.by_source.get_mut(&source) else { return Done::default() };
        let Some(position) = commit.on_its_way.take() else { return Done::default() };
        match result {
            Ok(()) => {
                commit.committed = commit.committed.max(Some(position));
                for (_, waiter) in commit.waiting.extract_if(.., |(wanted, _)| *wanted <= position) {
                    let _ = waiter.send(Ok(()));
                }
                Done { next: commit.start(), unheard: None }
            }
            Err(error) => {
                commit.wanted = None;
                let heard = !commit.waiting.is_empty();
                commit.fail(&error);
                Done { next: None, unheard: (!heard).then_some(error) }
            }
        }
    }

    /// Whether everything up to `position` is committed.
    pub(crate) fn covers(&self, source: Source, position: u64) -> bool {
        self.by_source.get(&source).is_some_and(|commit| Some(position) <= commit.committed)
    }

    /// The partition is no longer owned.
    pub(crate) fn forget(&mut self, source: Source, why: &Error) {
        if let Some(mut commit) = self.by_source.remove(&source) {
            commit.fail(why);
        }
    }
}

impl Commit {
    fn start(&mut self) -> Option<u64> {
        if self.on_its_way.is_some() {
            return None;
        }
        self.on_its_way = self.wanted.take();
        self.on_its_way
    }

    fn fail(&mut self, error: &Error) {
        for (_, waiter) in self.waiting.drain(..) {
            let _ = waiter.send(Err(error.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_types::GroupId;

    use super::*;

    const A: Source = Source { group: GroupId(1), epoch: 1, turn: 0 };

    fn waiter() -> (Option<oneshot::Sender<Result<()>>>, oneshot::Receiver<Result<()>>) {
        let (sender, receiver) = oneshot::channel();
        (Some(sender), receiver)
    }

    #[test]
    fn commits_wanted_while_one_is_on_its_way_become_one() {
        let mut commits = Commits::default();
        assert_eq!(commits.want(A, 5, None), Some(5));
        assert_eq!(commits.want(A, 6, None), None);
        assert_eq!(commits.want(A, 9, None), None);
        assert_eq!(commits.done(A, Ok(())).next, Some(9));
        assert_eq!(commits.done(A, Ok(())).next, None);
        assert!(commits.covers(A, 9) && !commits.covers(A, 10));
    }

    #[test]
    fn a_waiter_hears_of_its_own_position_and_not_of_an_earlier_one() {
        let mut commits = Commits::default();
        let (early, mut early_done) = waiter();
        let (late, mut late_done) = waiter();
        let _ = commits.want(A, 5, early);
        let _ = commits.want(A, 7, late);
        let _ = commits.done(A, Ok(()));
        assert!(matches!(early_done.try_recv(), Ok(Ok(()))));
        assert!(late_done.try_recv().is_err());
        let _ = commits.done(A, Ok(()));
        assert!(matches!(late_done.try_recv(), Ok(Ok(()))));
    }

    #[test]
    fn what_is_committed_already_is_not_sent_again() {
        let mut commits = Commits::default();
        let _ = commits.want(A, 5, None);
        let _ = commits.done(A, Ok(()));
        let (again, mut done) = waiter();
        assert_eq!(commits.want(A, 4, again), None);
        assert!(matches!(done.try_recv(), Ok(Ok(()))));
    }

    #[test]
    fn what_the_group_had_committed_before_counts_as_committed() {
        let mut commits = Commits::default();
        assert!(!commits.covers(A, 0));
        commits.begin(A, Some(7));
        assert_eq!((commits.committed(A), commits.want(A, 7, None)), (Some(7), None));
        commits.moved(A, 9);
        assert_eq!((commits.committed(A), commits.want(A, 9, None)), (Some(9), None));
        assert_eq!(commits.want(A, 10, None), Some(10));
    }

    #[test]
    fn an_error_reaches_all_who_wait_and_the_next_wish_is_sent() {
        let mut commits = Commits::default();
        let (first, mut first_done) = waiter();
        let (second, mut second_done) = waiter();
        let _ = commits.want(A, 5, first);
        let _ = commits.want(A, 6, second);
        let done = commits.done(A, Err(Error::Closed { what: "test" }));
        assert!(done.next.is_none() && done.unheard.is_none());
        assert!(matches!(first_done.try_recv(), Ok(Err(_))));
        assert!(matches!(second_done.try_recv(), Ok(Err(_))));
        assert_eq!(commits.want(A, 6, None), Some(6));
    }

    #[test]
    fn an_answer_after_the_partition_is_gone_is_ignored() {
        let mut commits = Commits::default();
        let _ = commits.want(A, 5, None);
        commits.forget(A, &Error::Closed { what: "test" });
        assert_eq!(commits.done(A, Ok(())).next, None);
    }
}
