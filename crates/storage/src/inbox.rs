//! The log writer's queue: first in, first out, bounded in bytes. Who asks waits (asynchronously) for room before
//! it enters; entering itself never waits, so that it can be done under a group's lock and order is kept.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};
use tokio::sync::{Notify, Semaphore};

use crate::Error;
use crate::op::Op;

/// Most of one write batch, in bytes.
const BATCH_BYTES_MAX: usize = 8 << 20;
/// Most operations of one write batch.
const BATCH_OPS_MAX: usize = 4096;

pub(crate) struct Inbox {
    state: Mutex<State>,
    /// Bytes that may still enter.
    budget: Semaphore,
    bytes_max: usize,
    /// Wakes the writer thread.
    filled: Condvar,
    /// Wakes the writer task.
    notify: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<(usize, Op)>,
    bytes: usize,
    closed: Option<Error>,
}

/// Room for an operation. Dropped without use it goes back.
pub(crate) struct Room<'a> {
    inbox: &'a Inbox,
    bytes: usize,
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.inbox.budget.add_permits(self.bytes);
    }
}

/// What the writer took.
#[derive(Default)]
pub(crate) struct Drained {
    pub(crate) ops: Vec<Op>,
    /// Room to give back when they are done.
    pub(crate) bytes: usize,
}

impl Inbox {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.clamp(1, u32::MAX as usize);
        Self {
            state: Mutex::default(),
            budget: Semaphore::new(bytes_max),
            bytes_max,
            filled: Condvar::new(),
            notify: Notify::new(),
        }
    }

    /// Waits for room. An operation larger than the whole queue waits until the queue is empty.
    pub(crate) async fn room(&self, bytes: usize) -> Result<Room<'_>, Error> {
        let bytes = bytes.min(self.bytes_max);
        match self.budget.acquire_many(bytes as u32).await {
            Ok(permit) => {
                permit.forget();
                Ok(Room { inbox: self, bytes })
            }
            Err(_) => Err(self.state.lock().closed.clone().unwrap_or(Error::Closed)),
        }
    }

    /// Enters the queue. When the store failed or closed meanwhile the operation is answered so, and the error
    /// returned too.
    pub(crate) fn push(&self, room: Room<'_>, op: Op) -> Result<(), Error> {
        let bytes = room.bytes;
        std::mem::forget(room);
        self.enter(bytes, op)
    }

    /// Enters without asking for room: for what is small, frees something and cannot wait.
    pub(crate) fn push_urgent(&self, op: Op) {
        // A store that takes no more has nothing left to free.
        drop(self.enter(0, op));
    }

    fn enter(&self, bytes: usize, op: Op) -> Result<(), Error> {
        let mut state = self.state.lock();
        if let Some(error) = state.closed.clone() {
            drop(state);
            op.refuse(error.clone());
            return Err(error);
        }
        state.bytes += bytes;
        state.queue.push_back((bytes, op));
        drop(state);
        self.filled.notify_one();
        self.notify.notify_one();
        Ok(())
    }

    /// Takes the next batch: what is queued, up to its limits. A view ends a batch, because it shows exactly what
    /// was asked for before it.
    pub(crate) fn drain(&self) -> Drained {
        let mut state = self.state.lock();
        let mut drained = Drained::default();
        while drained.ops.len() < BATCH_OPS_MAX
            && (drained.bytes < BATCH_BYTES_MAX || drained.ops.is_empty())
            && !matches!(drained.ops.last(), Some(Op::View { .. } | Op::Close { .. }))
        {
            let Some((bytes, op)) = state.queue.pop_front() else { break };
            drained.bytes += bytes;
            drained.ops.push(op);
        }
        state.bytes -= drained.bytes;
        drop(state);
        drained
    }

    /// Gives room back.
    pub(crate) fn done(&self, bytes: usize) {
        self.budget.add_permits(bytes);
    }

    /// Bytes that wait.
    pub(crate) fn bytes(&self) -> usize {
        self.state.lock().bytes
    }

    /// Blocks until something is queued or the inbox is closed.
    pub(crate) fn wait(&self) {
        let mut state = self.state.lock();
        while state.queue.is_empty() && state.closed.is_none() {
            self.filled.wait(&mut state);
        }
    }

    /// The same for a task.
    pub(crate) async fn ready(&self) {
        self.notify.notified().await;
    }

    /// Refuses everything queued and everything later with `error`; the first closing counts.
    pub(crate) fn close(&self, error: &Error) {
        let mut state = self.state.lock();
        state.closed.get_or_insert_with(|| error.clone());
        let queue = std::mem::take(&mut state.queue);
        state.bytes = 0;
        drop(state);
        self.budget.close();
        self.filled.notify_all();
        self.notify.notify_one();
        for (_, op) in queue {
            op.refuse(error.clone());
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.state.lock().closed.is_some()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed step is a failed test")]
mod tests {
    use weir_types::{GroupId, LogIndex};

    use super::*;
    use crate::pool::ViewJob;

    fn truncate(index: u64) -> Op {
        Op::Truncate { group: GroupId(1), from: LogIndex(index) }
    }

    #[test]
    fn a_batch_is_bounded_in_operations_and_in_bytes() {
        let inbox = Inbox::new(64 << 20);
        for index in 0..BATCH_OPS_MAX as u64 + 10 {
            inbox.push_urgent(truncate(index));
        }
        assert_eq!(inbox.drain().ops.len(), BATCH_OPS_MAX);
        assert_eq!(inbox.drain().ops.len(), 10);
        for _ in 0..5 {
            inbox.enter(3 << 20, truncate(0)).unwrap();
        }
        assert_eq!(inbox.drain().ops.len(), 3);
        assert_eq!(inbox.bytes(), 6 << 20);
        assert_eq!(inbox.drain().ops.len(), 2);
        assert!(inbox.drain().ops.is_empty());
    }

    #[test]
    fn a_view_ends_its_batch() {
        let inbox = Inbox::new(1 << 20);
        inbox.push_urgent(truncate(1));
        inbox.push_urgent(Op::View { group: None, hold_buckets: false, job: ViewJob::new(|_| ()) });
        inbox.push_urgent(truncate(2));
        assert_eq!(inbox.drain().ops.len(), 2);
        assert_eq!(inbox.drain().ops.len(), 1);
    }

    #[tokio::test]
    async fn room_is_given_back_when_it_is_not_used_and_when_the_work_is_done() {
        let inbox = Inbox::new(100);
        drop(inbox.room(80).await.unwrap());
        let room = inbox.room(80).await.unwrap();
        inbox.push(room, truncate(1)).unwrap();
        assert_eq!(inbox.budget.available_permits(), 20);
        inbox.done(inbox.drain().bytes);
        assert_eq!(inbox.budget.available_permits(), 100);
        // What exceeds the whole queue takes all of it.
        drop(inbox.room(1000).await.unwrap());
    }

    #[tokio::test]
    async fn a_closed_inbox_answers_everything_with_its_first_error() {
        let inbox = Inbox::new(100);
        let (done, answer) = crate::store::answering();
        inbox.push_urgent(Op::Close { done });
        inbox.close(&Error::Failed { first: "sync".to_owned() });
        inbox.close(&Error::Closed);
        assert!(matches!(answer.await.unwrap(), Err(Error::Failed { .. })));
        assert!(matches!(inbox.room(1).await.err(), Some(Error::Failed { .. })));
        assert!(matches!(inbox.enter(0, truncate(1)), Err(Error::Failed { .. })));
    }
}
