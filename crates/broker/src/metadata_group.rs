//! Group 0 as this node sees it: its own replica of the registry, and the way to the group's leader.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};
use weir_metadata::{Command, Registry, Reply};
use weir_runtime::Runtime;
use weir_types::{ErrorKind, WeirError};

use crate::partition::Partition;
use crate::remote::{self, Answer, Remote, Request};

/// How long a change to the registry is tried before its caller is told.
const PROPOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause before asking again while there is no leader.
const PAUSE: Duration = Duration::from_millis(50);

/// The metadata group. Cheap to clone.
#[derive(Clone)]
pub(crate) struct MetadataGroup {
    partition: Partition<Registry>,
    remote: Arc<dyn Remote>,
    runtime: Runtime,
}

impl MetadataGroup {
    pub(crate) fn new(partition: Partition<Registry>, remote: Arc<dyn Remote>, runtime: Runtime) -> Self {
        Self { partition, remote, runtime }
    }

    /// The replica on this node.
    pub(crate) fn partition(&self) -> &Partition<Registry> {
        &self.partition
    }

    /// Reads this node's copy of the registry; it may be a moment old.
    pub(crate) fn read<T>(&self, look: impl FnOnce(&Registry) -> T) -> T {
        self.partition.read(|replica| look(replica.state()))
    }

    /// Changes the registry, wherever its leader is. Commands are idempotent, so an unknown outcome is tried
    /// again.
    pub(crate) async fn propose(&self, command: Command) -> Result<Reply, WeirError> {
        let deadline = Instant::now() + PROPOSE_TIMEOUT;
        loop {
            let error = match self.propose_once(&command).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let again =
                matches!(error.kind, ErrorKind::Retry | ErrorKind::Redirect | ErrorKind::OutcomeUnknown);
            if !again || Instant::now() >= deadline {
                return Err(error);
            }
            sleep(self.runtime.jittered(PAUSE)).await;
        }
    }

    async fn propose_once(&self, command: &Command) -> Result<Reply, WeirError> {
        match self.partition.propose(command.clone()).await {
            Err(error) if error.kind == ErrorKind::Redirect => {
                let Some(address) = error.leader.clone() else { return Err(error) };
                let request = Request::Metadata(command.clone());
                match remote::ask(&*self.remote, &address, &request).await? {
                    Answer::Metadata(reply) => Ok(reply),
                    other => Err(remote::unexpected(&other)),
                }
            }
            outcome => outcome,
        }
    }

    /// Waits until this node's copy has reached `condition`, at most for `patience`; whether it has.
    pub(crate) async fn wait_for(&self, patience: Duration, condition: impl Fn(&Registry) -> bool) -> bool {
        let mut applied = self.partition.applied();
        let reached = async {
            loop {
                applied.borrow_and_update();
                if self.read(&condition) {
                    return;
                }
                if applied.changed().await.is_err() {
                    std::future::pending::<()>().await;
                }
            }
        };
        timeout(patience, reached).await.is_ok()
    }
}
