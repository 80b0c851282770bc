//! One openraft instance over a group's stored state.

use std::io;
use std::sync::Arc;

use super::{Applier, LogStore, PeerNetworkFactory, Raft, Shared, raft_config, with_seed};
use crate::Error;
use crate::context::Context;

/// A running openraft core and what its parts share. A rebuild makes a new one.
#[derive(Clone)]
pub(crate) struct Core {
    pub(crate) raft: Raft,
    pub(crate) shared: Arc<Shared>,
}

impl Core {
    /// Builds a core over what is stored and sets it going.
    pub(crate) async fn start(context: &Context, shared: Shared) -> Result<Self, Error> {
        let shared = Arc::new(shared);
        let config = raft_config(shared.group, &context.timings)
            .validate()
            .map_err(|error| Error::Rejected { reason: error.to_string() })?;
        let network = PeerNetworkFactory {
            shared: Arc::clone(&shared),
            peers: Arc::clone(&context.peers),
            slots: Arc::clone(&context.slots),
        };
        let log = LogStore::open(Arc::clone(&shared)).await.map_err(unusable)?;
        let applier = Applier::new(Arc::clone(&shared));
        let id = shared.replica.0;
        let build = async {
            let raft = Raft::build(id, Arc::new(config), network, log, applier).await?;
            raft.run();
            Ok::<_, super::Fatal>(raft)
        };
        let raft = Box::pin(with_seed(context.runtime.random_u64(), build)).await.map_err(unusable)?;
        Ok(Self { raft, shared })
    }

    /// Stops the core and everything of it that could still touch the store.
    pub(crate) async fn stop(&self) {
        self.shared.fence();
        if let Err(error) = self.raft.shutdown().await {
            tracing::warn!(group = %self.shared.group, %error, "core did not shut down in order");
        }
        // A batch that was being applied when the fence went up is through once the gate is free.
        drop(self.shared.gate.lock().await);
    }

    /// Moves openraft's purge pointer to where few entries are kept: notes a snapshot position, then purges
    /// up to what the limits say. Entries stay readable until the machine has no use for them.
    pub(crate) async fn compact(&self, needed: Option<u64>) -> io::Result<()> {
        let Some(target) = self.shared.take_compaction_target(needed) else { return Ok(()) };
        self.raft.trigger().snapshot().await.map_err(io::Error::other)?;
        let wait = self.raft.wait(Some(COMPACTION_TIMEOUT));
        let noted = wait.metrics(
            |metrics| metrics.snapshot.is_some_and(|snapshot| snapshot.index() >= target),
            "snapshot position noted",
        );
        // A core that is busy (or dead) is asked again at the next mark.
        if noted.await.is_ok() {
            self.raft.trigger().purge_log(target).await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

const COMPACTION_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

fn unusable(error: impl std::fmt::Display) -> Error {
    Error::Corrupt(weir_types::Corrupt(error.to_string()))
}
