//! Changes of a group's members.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, InitializeError, RaftError};
use tokio::time::timeout;
use weir_types::{NodeId, ReplicaId};

use crate::Error;
use crate::raft::{Core, Member, TypeConfig};
use crate::replica::{Replica, other_node};

/// Longest wait for a change to be committed. It goes on in the background and may be repeated.
const CHANGE_TIMEOUT: Duration = Duration::from_secs(30);

type Change = ChangeMembers<u64, Member>;

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
    let (core, membership) = (running(replica)?, members(replica)?);
    match membership.get(&new) {
        Some(known) if *known == node => Ok(()),
        Some(known) => {
            Err(Error::Rejected { reason: format!("replica {new} exists already, on node {known}") })
        }
        None => {
            let added = core.raft.add_learner(new.0, Member { node }, false);
            finish(replica, async { added.await.map(|_| ()) }).await
        }
    }
}

pub(crate) async fn change_voters(replica: &Replica, voters: BTreeSet<ReplicaId>) -> Result<(), Error> {
    change(replica, Change::ReplaceAllVoters(voters.into_iter().map(|id| id.0).collect()), true).await
}

pub(crate) async fn remove(replica: &Replica, gone: ReplicaId) -> Result<(), Error> {
    if !members(replica)?.contains_key(&gone) {
        return Ok(());
    }
    let ids = BTreeSet::from([gone.0]);
    let votes = running(replica)?.raft.voter_ids().any(|voter| voter == gone.0);
    let removal = if votes { Change::RemoveVoters(ids) } else { Change::RemoveNodes(ids) };
    change(replica, removal, false).await
}

async fn change(replica: &Replica, change: Change, retain: bool) -> Result<(), Error> {
    let core = running(replica)?;
    finish(replica, async { core.raft.change_membership(change, retain).await.map(|_| ()) }).await
}

async fn finish(
    replica: &Replica,
    change: impl Future<Output = Result<(), RaftError<TypeConfig, ClientWriteError<TypeConfig>>>>,
) -> Result<(), Error> {
    // An entry that its successor lacks could cost it the election.
    if replica.intake.pass(|| ()).is_err() {
        return Err(Error::Unfinished { reason: "the leadership is being handed over".to_owned() });
    }
    match timeout(CHANGE_TIMEOUT, Box::pin(change)).await {
        Ok(outcome) => outcome.map_err(|error| change_error(error, replica.context.node)),
        Err(_) => Err(Error::Unfinished { reason: "the change is not committed yet".to_owned() }),
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

fn members(replica: &Replica) -> Result<BTreeMap<ReplicaId, NodeId>, Error> {
    let metrics = running(replica)?.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let nodes = metrics.membership_config.nodes();
    Ok(nodes.map(|(replica, member)| (ReplicaId(*replica), member.node)).collect())
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
