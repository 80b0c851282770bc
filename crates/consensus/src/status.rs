//! What a group reports about itself.

use std::collections::BTreeMap;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant, RaftMetrics, ServerState};
use weir_types::{LogIndex, NodeId, ReplicaId, Term};

use crate::raft::{Member, StoredMembership, TypeConfig};
use crate::replica::Replica;

/// Who leads a group, as this replica knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The current term.
    pub term: Term,
    /// The leader, when one is known.
    pub leader: Option<(ReplicaId, NodeId)>,
    /// This replica leads, and has applied the first entry of its term: it has everything that was committed
    /// before.
    pub here: bool,
}

/// The part a replica plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Receives entries, does not vote.
    Learner,
    /// Votes and follows.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Its core has died and is being rebuilt, or it was closed.
    Stopped,
}

/// Who takes part in a group, by an entry that is committed and so will never be taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members {
    /// The entry. Of two memberships of a group the one with the higher index is the later.
    pub index: LogIndex,
    /// Voting replicas (of both sides while a change is under way).
    pub voters: BTreeMap<ReplicaId, NodeId>,
    /// Replicas that do not vote.
    pub learners: BTreeMap<ReplicaId, NodeId>,
}

/// A replica's state at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupStatus {
    /// The part it plays.
    pub role: Role,
    /// The current term.
    pub term: Term,
    /// The leader, when known.
    pub leader: Option<(ReplicaId, NodeId)>,
    /// The last entry of its log.
    pub last_log: Option<LogIndex>,
    /// The last entry known to be committed.
    pub committed: Option<LogIndex>,
    /// The last entry applied.
    pub applied: Option<LogIndex>,
    /// The first entry that its machine still needs.
    pub retained_from: LogIndex,
    /// Voting replicas by the last entry in its log that says so, committed or not (of both sides while a change is
    /// under way).
    pub voters: BTreeMap<ReplicaId, NodeId>,
    /// Replicas that do not vote, by the same entry.
    pub learners: BTreeMap<ReplicaId, NodeId>,
    /// The last membership known to be committed; none before the group is formed.
    pub members: Option<Members>,
    /// On the leader: the last entry that each replica is known to hold.
    pub matched: BTreeMap<ReplicaId, Option<LogIndex>>,
    /// On the leader: how long ago a majority last answered.
    pub since_quorum: Option<Duration>,
    /// On the leader: nothing happens in the group, so its heart rests.
    pub quiet: bool,
}

/// Reads a replica's state from openraft's metrics.
pub(crate) fn of(replica: &Replica) -> GroupStatus {
    let retained_from = replica.machine.retained_from();
    let Some(core) = replica.core() else { return stopped(retained_from) };
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let (voters, learners) = located(metrics.membership_config.membership());
    let matched = metrics.replication.iter().flatten();
    GroupStatus {
        role: role(metrics.state),
        term: Term(metrics.current_term),
        leader: replica.leadership.borrow().leader,
        last_log: metrics.last_log_index.map(LogIndex),
        committed: metrics.local_committed.map(|id| LogIndex(id.index())),
        applied: metrics.last_applied.map(|id| LogIndex(id.index())),
        retained_from,
        voters,
        learners,
        members: members(&metrics.committed_membership_config),
        matched: matched
            .map(|(id, last)| (ReplicaId(*id), last.map(|last| LogIndex(last.index()))))
            .collect(),
        since_quorum: contact(replica, &metrics),
        quiet: replica.rest.lock().is_quiet(),
    }
}

type Places = BTreeMap<ReplicaId, NodeId>;

/// Voters and learners with their nodes.
fn located(membership: &openraft::Membership<u64, Member>) -> (Places, Places) {
    let located = |id: u64| {
        let node = membership.get_node(&id).map(|member| member.node).unwrap_or_default();
        (ReplicaId(id), node)
    };
    (membership.voter_ids().map(located).collect(), membership.learner_ids().map(located).collect())
}

fn members(committed: &StoredMembership) -> Option<Members> {
    let index = LogIndex(committed.log_id().as_ref()?.index());
    let (voters, learners) = located(committed.membership());
    Some(Members { index, voters, learners })
}

/// On the leader, the time since a majority answered.
pub(crate) fn quorum_contact(replica: &Replica) -> Option<Duration> {
    let core = replica.core()?;
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    contact(replica, &metrics)
}

/// On the leader, the time since a majority answered a heartbeat, entries, or the roll of the quiet groups.
pub(crate) fn contact(replica: &Replica, metrics: &RaftMetrics<TypeConfig>) -> Option<Duration> {
    if !metrics.state.is_leader() {
        return None;
    }
    // A leader alone is its own majority.
    if metrics.membership_config.voter_ids().eq([metrics.id]) {
        return Some(Duration::ZERO);
    }
    let acked = metrics.last_quorum_acked.map(|acked| acked.elapsed());
    let now = tokio::time::Instant::now();
    let rolled = replica.rest.lock().answered(now, |node| replica.context.pulses.rolled(node));
    acked.into_iter().chain(rolled.map(|at| now.duration_since(at))).min()
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Learner => Role::Learner,
        ServerState::Follower => Role::Follower,
        ServerState::Candidate => Role::Candidate,
        ServerState::Leader => Role::Leader,
        ServerState::Shutdown => Role::Stopped,
    }
}

fn stopped(retained_from: LogIndex) -> GroupStatus {
    GroupStatus {
        role: Role::Stopped,
        term: Term::default(),
        leader: None,
        last_log: None,
        committed: None,
        applied: None,
        retained_from,
        voters: BTreeMap::new(),
        learners: BTreeMap::new(),
        members: None,
        matched: BTreeMap::new(),
        since_quorum: None,
        quiet: false,
    }
}
