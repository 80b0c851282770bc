//! Tasks that belong to one component and end with it.

use std::future::Future;

use tokio::task::JoinSet;

/// Whether blocking work runs on threads of its own or, in a simulation, as tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threads {
    /// Threads of the operating system.
    Real,
    /// Everything is a task on the one simulated thread.
    Tasks,
}

/// The tasks of one component. Dropping the group aborts them, so that none outlives its owner.
#[derive(Debug, Default)]
pub struct TaskGroup(JoinSet<()>);

impl TaskGroup {
    /// An empty group.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts a task on the current tokio runtime.
    pub fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        // Ended tasks are reaped here, so that a long-lived group does not grow.
        while self.0.try_join_next().is_some() {}
        self.0.spawn(task);
    }

    /// Waits until every task has ended by itself.
    pub async fn join(mut self) {
        while self.0.join_next().await.is_some() {}
    }

    /// Waits until every task that there is has ended by itself. Cancel safe: the tasks go on.
    pub async fn settle(&mut self) {
        while self.0.join_next().await.is_some() {}
    }

    /// Aborts every task and waits until they are gone.
    pub async fn abort(mut self) {
        self.0.shutdown().await;
    }
}
