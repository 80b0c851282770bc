//! Read barriers that share a round: whoever asks while one is running gets the next.

use std::sync::Arc;

use openraft::ReadPolicy;
use openraft::errors::{LinearizableReadError, RaftError};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use weir_types::mutants::{self, Mutant};
use weir_types::{LogIndex, NodeId};

use crate::ProposeError;
use crate::raft::TypeConfig;
use crate::replica::{Replica, other_node};

/// Callers waiting for the next round.
const WAITING_MAX: usize = 65_536;

type Outcome = Result<LogIndex, ProposeError>;

/// The barrier of one replica.
#[derive(Default)]
pub(crate) struct Barrier(Mutex<Rounds>);

#[derive(Default)]
struct Rounds {
    running: bool,
    waiting: Vec<oneshot::Sender<Outcome>>,
}

/// Waits until everything committed before the call is applied here. A round that was already under way may
/// have read the commit index before the call, so it does not count.
pub(crate) async fn wait(replica: &Arc<Replica>) -> Outcome {
    let (sender, receiver) = oneshot::channel();
    let start = {
        let mut rounds = replica.barrier.0.lock();
        if rounds.waiting.len() >= WAITING_MAX {
            return Err(ProposeError::Overloaded);
        }
        rounds.waiting.push(sender);
        !std::mem::replace(&mut rounds.running, true)
    };
    if start {
        replica.context.data.spawn(run(Arc::clone(replica)));
    }
    receiver.await.unwrap_or(Err(ProposeError::Stopped))
}

async fn run(replica: Arc<Replica>) {
    loop {
        let round = {
            let mut rounds = replica.barrier.0.lock();
            if rounds.waiting.is_empty() {
                rounds.running = false;
                return;
            }
            std::mem::take(&mut rounds.waiting)
        };
        let outcome = ask(&replica).await;
        for waiter in round {
            let _ = waiter.send(outcome);
        }
    }
}

async fn ask(replica: &Replica) -> Outcome {
    let Some(core) = replica.core() else {
        return Err(replica.without_core());
    };
    if mutants::on(Mutant::M09) {
        return Ok(LogIndex(core.shared.applied().last.map_or(0, |last| last.index())));
    }
    match core.raft.ensure_linearizable(ReadPolicy::ReadIndex).await {
        Ok(read) => Ok(LogIndex(read.index())),
        Err(error) => {
            Err(ProposeError::NotLeader { leader: other_node(leader_of(error), replica.context.node) })
        }
    }
}

fn leader_of(error: RaftError<TypeConfig, LinearizableReadError<TypeConfig>>) -> Option<NodeId> {
    match error {
        RaftError::APIError(LinearizableReadError::ForwardToLeader(forward)) => {
            forward.leader_node.map(|member| member.node)
        }
        // No majority answered, or the core died: nobody to point at.
        RaftError::APIError(LinearizableReadError::QuorumNotEnough(_)) | RaftError::Fatal(_) => None,
    }
}
