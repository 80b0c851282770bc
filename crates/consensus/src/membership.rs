//! Changes of a group's members.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use openraft::raft::ClientWriteResponse;
use tokio::time::timeout;
use weir_types::{NodeId, ReplicaId};

use crate::Error;
use crate::liveness::wake;
use crate::raft::{Core, LogId, Member, TypeConfig};
use crate::replica::{Replica, other_node};

/// Longest wait for a change to be committed. It goes on in the background and may be repeated.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) async fn initialize(replica: &Replica, voters: BTreeMap<ReplicaId, NodeId>) -> Result<(), Error> {
    let core = running(replica)?;
    let members: BTreeMap<u64, Member> =
        voters.into_iter().map(|(replica, node)| (replica.0, Member { node })).collect();
    match core.raft.initialize(members).await {
        // A replica that has a log or a vote was initialised before.
        Ok(()) | Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Ok(()),
        Err(RaftError::APIError(InitializeError::NotInMembers(error))) => {
            Err(Error::Rejected { reason: error.to_string() })
        }
        Err(RaftError::Fatal(error)) => Err(unfinished(&error)),
    }
}

pub(crate) async fn add_learner(replica: &Replica, new: ReplicaId, node: NodeId) -> Result<(), Error> {
    wake(replica).await;
    let core = running(replica)?;
    let known = settled(&core)?.get_node(&new.0).map(|member| member.node);
    match known {
        Some(known) if known == node => Ok(()),
        Some(known) => {
            Err(Error::Rejected { reason: format!("replica {new} exists already, on node {known}") })
        }
        None => finish(replica, &core, core.raft.add_learner(new.0, Member { node }, false)).await,
    }
}

pub(crate) async fn change_voters(replica: &Replica, voters: BTreeSet<ReplicaId>) -> Result<(), Error> {
    wake(replica).await;
    let core = running(replica)?;
    let change = Change::ReplaceAllVoters(voters.into_iter().map(|id| id.0).collect());
    finish(replica, &core, core.raft.change_membership(change, true)).await
}

pub(crate) async fn remove(replica: &Replica, gone: ReplicaId) -> Result<(), Error> {
    wake(replica).await;
    let core = running(replica)?;
    if settled(&core)?.voter_ids().any(|voter| voter == gone.0) {
        return Err(Error::Unfinished { reason: format!("replica {gone} has a vote") });
    }
    // One that is no member is removed by an entry all the same: whoever waits for its end is told of that entry.
    let removal = Change::RemoveNodes(BTreeSet::from([gone.0]));
    finish(replica, &core, core.raft.change_membership(removal, true)).await
}

/// The membership, when the last change of it is committed: what is not may yet be taken back.
fn settled(core: &Core) -> Result<openraft::Membership<u64, Member>, Error> {
    let metrics = core.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let committed = &metrics.committed_membership_config;
    if metrics.membership_config.log_id() != committed.log_id() {
        return Err(Error::Unfinished { reason: "the last change is not committed yet".to_owned() });
    }
    Ok(committed.membership().clone())
}

type Change = ChangeMembers<u64, Member>;
type Changed = Result<ClientWriteResponse<TypeConfig>, RaftError<TypeConfig, ClientWriteError<TypeConfig>>>;

/// Waits until a change is committed, and until the replica's status shows it.
async fn finish(replica: &Replica, core: &Core, change: impl Future<Output = Changed>) -> Result<(), Error> {
    // An entry that its successor lacks could cost it the election.
    if replica.intake.pass(|| ()).is_err() {
        return Err(Error::Unfinished { reason: "the leadership is being handed over".to_owned() });
    }
    let change = async {
        let changed = change.await.map_err(|error| change_error(error, replica.context.node))?;
        wait_shown(core, changed.log_id).await
    };
    timeout(CHANGE_TIMEOUT, Box::pin(change))
        .await
        .unwrap_or_else(|_| Err(Error::Unfinished { reason: "the change is not committed yet".to_owned() }))
}

/// An entry may be answered a moment before the metrics say that it is committed.
async fn wait_shown(core: &Core, entry: LogId) -> Result<(), Error> {
    let mut metrics = core.raft.server_metrics();
    loop {
        let shown = metrics.borrow_watched().committed_membership_config.log_id().map(|id| id.index());
        if shown >= Some(entry.index()) {
            return Ok(());
        }
        metrics.changed().await.map_err(|error| unfinished(&error))?;
    }
}

fn change_error(error: RaftError<TypeConfig, ClientWriteError<TypeConfig>>, us: NodeId) -> Error {
    let error = match error {
        RaftError::APIError(error) => error,
        RaftError::Fatal(error) => return unfinished(&error),
    };
    match error {
        ClientWriteError::ForwardToLeader(forward) => {
            Error::NotLeader { leader: other_node(forward.leader_node.map(|member| member.node), us) }
        }
        ClientWriteError::ChangeMembershipError(
            error @ (ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_)),
        ) => unfinished(&error),
        ClientWriteError::LogEntryDiscarded(error) => unfinished(&error),
        ClientWriteError::PreconditionFailed(error) => unfinished(&error),
        ClientWriteError::ChangeMembershipError(error) => Error::Rejected { reason: error.to_string() },
    }
}

pub(crate) fn running(replica: &Replica) -> Result<Core, Error> {
    match replica.core() {
        Some(core) => Ok(core),
        None if replica.is_closed() => Err(Error::Stopped),
        None => Err(Error::Unfinished { reason: "the replica is being rebuilt".to_owned() }),
    }
}

pub(crate) fn unfinished(error: &impl std::fmt::Display) -> Error {
    Error::Unfinished { reason: error.to_string() }
}
