//! What a replica knows of its group's leader, asked of itself and of others.

use openraft::async_runtime::watch::WatchReceiver;
use weir_types::{NodeId, ReplicaId, Term};

use super::reach::{Doubt, reaches_majority};
use super::signs::Way;
use crate::raft::{Core, StoredMembership, Vote};
use crate::registry::Registry;
use crate::replica::Replica;
use crate::transport::{SurveyAnswer, SurveyQuestion};

/// Why a group has no leader, as far as one of its voters can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The leader's node is not heard.
    NodeLost,
    /// The leader's node is heard, but nothing comes over its data lane.
    DataLost,
    /// The leader said that it does not lead.
    Disclaimed,
    /// This replica is the leader by its stored vote, but does not lead: it restarted or its core died.
    Restarted,
    /// Nothing was heard from the leader since this process started.
    Boot,
    /// An election brought no leader.
    Undecided,
}

impl Cause {
    /// The label under which elections are counted.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NodeLost => "node_lost",
            Self::DataLost => "data_lost",
            Self::Disclaimed => "disclaimed",
            Self::Restarted => "restarted",
            Self::Boot => "boot",
            Self::Undecided => "undecided",
        }
    }
}

/// A voter that misses its leader.
pub(crate) struct Missing {
    pub(crate) core: Core,
    pub(crate) cause: Cause,
    pub(crate) vote: Vote,
    pub(crate) membership: StoredMembership,
}

impl Missing {
    pub(crate) fn question(&self) -> SurveyQuestion {
        SurveyQuestion {
            group: self.core.shared.group,
            term: Term(self.vote.leader_id.term),
            disclaims: self.cause == Cause::Restarted,
        }
    }
}

/// Whether a replica votes in its group and misses the group's leader.
pub(crate) fn missing(replica: &Replica) -> Option<Missing> {
    let core = replica.core()?;
    let (vote, leads, membership) = {
        let server = core.raft.server_metrics();
        let metrics = server.borrow_watched();
        (metrics.vote, metrics.state.is_leader(), metrics.membership_config.clone())
    };
    let us = replica.spec.replica.0;
    if leads || !membership.voter_ids().any(|voter| voter == us) {
        return None;
    }
    let cause =
        cause(replica, &vote, membership.get_node(&vote.leader_id.voted_for).map(|member| member.node))?;
    Some(Missing { core, cause, vote, membership: (*membership).clone() })
}

fn cause(replica: &Replica, vote: &Vote, leader: Option<NodeId>) -> Option<Cause> {
    let term = Term(vote.leader_id.term);
    if !vote.committed {
        return Some(Cause::Undecided);
    }
    if vote.leader_id.voted_for == replica.spec.replica.0 {
        return Some(Cause::Restarted);
    }
    if replica.is_disclaimed(term) {
        return Some(Cause::Disclaimed);
    }
    // A leader that is no longer a member is leaving; its node is not known here.
    let Some(node) = leader else { return Some(Cause::Undecided) };
    if !replica.context.pulses.hears(node) {
        return Some(Cause::NodeLost);
    }
    if replica.context.pulses.is_mute(node, Way::DataIn) {
        return Some(Cause::DataLost);
    }
    (!replica.was_contacted_in(term)).then_some(Cause::Boot)
}

/// This replica's view of its group, for itself or for another voter.
pub(crate) fn view(replica: &Replica) -> Option<SurveyAnswer> {
    let core = replica.core()?;
    let (vote, leads) = {
        let server = core.raft.server_metrics();
        let metrics = server.borrow_watched();
        (metrics.vote, metrics.state.is_leader())
    };
    let last_log = core.raft.data_metrics().borrow_watched().last_log;
    // openraft campaigns past the leases of others only in the name of a leader that it got entries from.
    let flushed = core.raft.watch_log_progress().get();
    let ready = vote.committed
        && vote.leader_id.voted_for != replica.spec.replica.0
        && flushed.is_some_and(|flushed| flushed.vote == vote)
        && reaches_majority(replica, &core, Doubt::Candidate);
    Some(SurveyAnswer {
        group: replica.spec.group,
        replica: replica.spec.replica,
        vote: (&vote).into(),
        last_log: last_log.as_ref().map(Into::into),
        // One that is sure to replicate nothing does not insist.
        leads: leads && reaches_majority(replica, &core, Doubt::Leader),
        lost: missing(replica).is_some() || is_unmet(replica, &core),
        ready,
    })
}

/// Whether no leader ever called on this replica: it does not know yet that it has a vote. Whoever asks does, and cannot be
/// elected without it when only the two are left.
fn is_unmet(replica: &Replica, core: &Core) -> bool {
    let server = core.raft.server_metrics();
    let knows_voters = server.borrow_watched().membership_config.voter_ids().next().is_some();
    !knows_voters && !replica.was_contacted_in(Term(0))
}

/// Answers a peer's survey for the groups that are open here.
pub(crate) fn answer(registry: &Registry, questions: &[SurveyQuestion]) -> Vec<SurveyAnswer> {
    questions
        .iter()
        .filter_map(|question| {
            let replica = registry.get(question.group)?;
            if question.disclaims {
                replica.note_disclaimer(question.term);
            }
            view(&replica)
        })
        .collect()
}

/// The nodes of the other voters.
pub(crate) fn other_voters(missing: &Missing, us: ReplicaId) -> impl Iterator<Item = NodeId> + '_ {
    missing
        .membership
        .voter_ids()
        .filter(move |voter| *voter != us.0)
        .filter_map(|voter| missing.membership.get_node(&voter).map(|member| member.node))
}
