//! Groups in which nothing happens: their leaders' hearts rest, and one message per node and second speaks for all of them.
//!
//! ```text
//! a group's turn   everything in its log is applied here and held by all ──► settled: one more heartbeat, which says so
//! the next turn    unchanged, and all have answered that heartbeat       ──► quiet: no more of them
//! every second     "these groups I lead, in these terms"                 ──► each member's node; it answers which are not so
//! ```
//!
//! What a heartbeat is for, the roll does: followers hear of their leader, and the leader hears of its majority. Whoever does
//! not answer, or knows better, has the groups woken: all else is left to real heartbeats. openraft knows nothing of rolls, and
//! takes proposals only from a leader whose heartbeats were answered lately: so whoever proposes has the group woken first.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::FutureExt;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Instant as _, RaftMetrics};
use tokio::time::{Instant, timeout};
use weir_types::{GroupId, NodeId, Term};

use crate::context::Context;
use crate::raft::{Core, TypeConfig};
use crate::registry::Registry;
use crate::replica::Replica;
use crate::status::contact;
use crate::transport::{Answer, Call, LaneKind, RollCall};

/// Groups of one message.
const ROLL_MAX: usize = 4_096;
/// How long the answers to the heartbeat that wakes a group are waited for.
const WAKING_MAX: Duration = Duration::from_secs(1);

/// Whether a led group has come to rest. Followers' replicas stay at the default.
#[derive(Debug, Default)]
pub(crate) struct Rest {
    settled: Option<Settled>,
    /// When a majority last answered while the group was quiet, before it stirred.
    answered: Option<Instant>,
}

/// Everything of the log is applied here, and held by every member.
#[derive(Clone, Debug)]
struct Settled {
    term: Term,
    last: u64,
    /// Since then; right after it the last heartbeat was sent.
    since: Instant,
    /// The other voters' nodes.
    voters: Vec<NodeId>,
    /// The nodes of learners.
    learners: Vec<NodeId>,
    /// Since when it is quiet, and its group in every roll.
    quiet: Option<Instant>,
}

impl Rest {
    pub(crate) fn is_quiet(&self) -> bool {
        self.settled.as_ref().is_some_and(|settled| settled.quiet.is_some())
    }

    /// Something happened: the next turn begins anew.
    pub(crate) fn stir(&mut self, now: Instant, rolled: impl Fn(NodeId) -> Option<Instant>) {
        self.answered = self.answered(now, rolled);
        self.settled = None;
    }

    /// When a majority of the voters last answered while the group was quiet. Their nodes answered rolls that were called at
    /// the moments that `rolled` knows.
    pub(crate) fn answered(
        &self,
        now: Instant,
        rolled: impl Fn(NodeId) -> Option<Instant>,
    ) -> Option<Instant> {
        let Some((settled, quiet)) =
            self.settled.as_ref().and_then(|settled| Some((settled, settled.quiet?)))
        else {
            return self.answered;
        };
        // Rolls from before were not about it.
        let heard = |node: &NodeId| rolled(*node).filter(|at| *at >= quiet).unwrap_or(settled.since);
        let mut heard: Vec<Instant> = settled.voters.iter().map(heard).collect();
        heard.sort_unstable_by_key(|at| std::cmp::Reverse(*at));
        // With this replica itself they are one more: a majority is itself and half of the others, rounded up.
        let needed = settled.voters.len().div_ceil(2);
        needed.checked_sub(1).map_or(Some(now), |place| heard.get(place).copied())
    }
}

/// Ends the rest of a replica's group.
pub(crate) fn stir(replica: &Replica) {
    replica.rest.lock().stir(Instant::now(), |node| replica.context.pulses.rolled(node));
}

/// Has a quiet group's leader send a heartbeat, and waits until a majority has answered it: then it may propose. Returns at
/// once where that is so already, or no use.
pub(crate) async fn wake(replica: &Replica) {
    let Some(core) = replica.core() else { return };
    let lease = replica.context.timings.election_max;
    let may_propose = |metrics: &RaftMetrics<TypeConfig>| {
        let leads_others =
            metrics.state.is_leader() && !metrics.membership_config.voter_ids().eq([metrics.id]);
        !leads_others || metrics.last_quorum_acked.is_some_and(|acked| acked.elapsed() < lease / 2)
    };
    let mut metrics = core.raft.metrics();
    {
        let metrics = metrics.borrow_watched();
        if may_propose(&metrics) || contact(replica, &metrics).is_none_or(|silent| silent >= lease) {
            return;
        }
    }
    stir(replica);
    beat(replica, &core);
    let woken = async {
        while !may_propose(&metrics.borrow_watched()) {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    };
    // Otherwise the proposal is refused, as of any leader whose majority is lost.
    let _ = timeout(WAKING_MAX, woken).await;
}

/// A group's turn: a heartbeat if this replica leads it, unless nothing has happened since all answered the last one. Whether
/// that is so.
pub(crate) fn turn(replica: &Replica) -> bool {
    let Some(core) = replica.core() else { return false };
    {
        let metrics = core.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            return false;
        }
        let may_rest = replica.context.may_rest.load(Ordering::Relaxed);
        if may_rest && rests(&mut replica.rest.lock(), &metrics) {
            return true;
        }
    }
    beat(replica, &core);
    false
}

/// Whether the group may go without a heartbeat.
fn rests(rest: &mut Rest, metrics: &RaftMetrics<TypeConfig>) -> bool {
    // Whatever changes a group, its members too, is an entry of its log.
    let unchanged = |old: &&mut Settled| {
        old.term == Term(metrics.current_term) && metrics.last_log_index == Some(old.last)
    };
    if let Some(old) = rest.settled.as_mut().filter(unchanged) {
        if old.quiet.is_none() && all_answered_since(metrics, old.since) {
            old.quiet = Some(Instant::now());
        }
        return old.quiet.is_some();
    }
    rest.settled = settled(metrics);
    false
}

fn settled(metrics: &RaftMetrics<TypeConfig>) -> Option<Settled> {
    let last = metrics.last_log_index?;
    let done = |index: Option<u64>| index == Some(last);
    let members = metrics.membership_config.membership();
    let others = || members.nodes().filter(|(id, _)| **id != metrics.id);
    let matched = metrics.replication.as_ref()?;
    let held = |id: &u64| done(matched.get(id).and_then(|log| log.as_ref()).map(openraft::LogId::index));
    let settled = done(metrics.local_committed.map(|log| log.index()))
        && done(metrics.last_applied.map(|log| log.index()))
        && members.get_joint_config().len() == 1
        && others().all(|(id, _)| held(id));
    let votes = |id: &u64| members.voter_ids().any(|voter| voter == *id);
    settled.then(|| Settled {
        term: Term(metrics.current_term),
        last,
        since: Instant::now(),
        voters: others().filter(|(id, _)| votes(id)).map(|(_, member)| member.node).collect(),
        learners: others().filter(|(id, _)| !votes(id)).map(|(_, member)| member.node).collect(),
        quiet: None,
    })
}

fn all_answered_since(metrics: &RaftMetrics<TypeConfig>, since: Instant) -> bool {
    let Some(answered) = metrics.heartbeat.as_ref() else { return false };
    let mut others = metrics.membership_config.membership().nodes().filter(|(id, _)| **id != metrics.id);
    others.all(|(id, _)| {
        let at = answered.get(id).and_then(Option::as_ref);
        at.is_some_and(|at| at.elapsed() <= since.elapsed())
    })
}

/// Sends a heartbeat. One whose queue is full is busy replicating, which is as good.
///
/// A leader that no majority answers falls silent after a lease, or in a partition that lets its heartbeats pass and not the
/// answers it would keep the others from electing; now and then it tries whether it is answered again.
fn beat(replica: &Replica, core: &Core) {
    let timings = replica.context.timings;
    let silent = contact(replica, &core.raft.metrics().borrow_watched()).unwrap_or_default();
    if let Some(beyond) = silent.checked_sub(timings.election_max) {
        let period = 2 * timings.election_max + timings.heartbeat;
        if (beyond.as_millis() / period.as_millis().max(1)).is_multiple_of(2) {
            return;
        }
    }
    let _ = tokio::task::unconstrained(core.raft.trigger().heartbeat()).now_or_never();
}

/// Tells the nodes of the members which quiet groups this node leads, a message at a time to each; returns when all have
/// answered or failed to.
pub(crate) async fn call_roll(context: Arc<Context>, registry: Arc<Registry>, patience: Duration) {
    let mut rolls: BTreeMap<NodeId, Vec<RollCall>> = BTreeMap::new();
    for replica in registry.all() {
        let rest = replica.rest.lock();
        let Some(settled) = rest.settled.as_ref().filter(|settled| settled.quiet.is_some()) else { continue };
        for node in settled.voters.iter().chain(&settled.learners) {
            let call = RollCall { group: replica.spec.group, term: settled.term };
            rolls.entry(*node).or_default().push(call);
        }
    }
    let calling = rolls.into_iter().map(|(node, roll)| call(&context, &registry, node, roll, patience));
    futures::future::join_all(calling).await;
}

async fn call(context: &Context, registry: &Registry, node: NodeId, roll: Vec<RollCall>, patience: Duration) {
    let sent = Instant::now();
    let (mut woken, mut answered) = (Vec::new(), true);
    for part in roll.chunks(ROLL_MAX) {
        let asking = context.peers.call(node, LaneKind::Control, Call::Roll(part.to_vec()), Vec::new());
        if let Ok(Ok(Answer::Roll(not_so))) = timeout(patience, asking).await {
            woken.extend(not_so);
        } else {
            answered = false;
            woken.extend(part.iter().map(|call| call.group));
        }
    }
    for replica in woken.iter().filter_map(|group| registry.get(*group)) {
        stir(&replica);
        turn(&replica);
    }
    if answered {
        context.pulses.note_rolled(node, sent);
    }
}

/// Takes a roll: who leads is heard of. Answers the groups of which this node knows otherwise, or nothing.
pub(crate) fn answer_roll(registry: &Registry, roll: &[RollCall]) -> Vec<GroupId> {
    let follows = |call: &&RollCall| {
        let Some(replica) = registry.get(call.group) else { return false };
        let Some(core) = replica.core() else { return false };
        let vote = core.raft.server_metrics().borrow_watched().vote;
        let follows = vote.committed
            && Term(vote.leader_id.term) == call.term
            && vote.leader_id.voted_for != replica.spec.replica.0;
        if follows {
            replica.note_contact(call.term);
        }
        follows
    };
    roll.iter().filter(|call| !follows(call)).map(|call| call.group).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn quiet(voters: &[u64], since: Instant) -> Rest {
        let settled = Settled {
            term: Term(3),
            last: 9,
            since,
            voters: voters.iter().copied().map(NodeId).collect(),
            learners: vec![NodeId(9)],
            quiet: Some(since),
        };
        Rest { settled: Some(settled), answered: None }
    }

    #[test]
    fn a_quiet_leader_is_answered_as_long_as_a_majority_answers_its_rolls() {
        let began = Instant::now();
        let now = began + 10 * SECOND;
        let rest = quiet(&[2, 3, 4, 5], began);
        let answered = |nodes: &[u64]| {
            let nodes: Vec<NodeId> = nodes.iter().copied().map(NodeId).collect();
            rest.answered(now, move |node| nodes.contains(&node).then_some(now))
        };
        assert_eq!(answered(&[2, 5]), Some(now), "with itself three of five");
        assert_eq!(answered(&[2, 9]), Some(began), "a learner is none of the voters");
        assert_eq!(answered(&[]), Some(began), "all answered when it fell quiet");
    }

    #[test]
    fn an_answer_to_an_earlier_roll_says_nothing_of_a_group_that_fell_quiet_later() {
        let early = Instant::now();
        let since = early + 10 * SECOND;
        assert_eq!(quiet(&[2, 3], since).answered(since + SECOND, |_| Some(early)), Some(since));
    }

    #[test]
    fn a_group_that_stirs_is_not_quiet_and_was_answered_when_it_was() {
        let began = Instant::now();
        let mut rest = quiet(&[2, 3], began);
        assert!(rest.is_quiet());
        rest.stir(began + 5 * SECOND, |_| Some(began + 4 * SECOND));
        assert!(!rest.is_quiet());
        assert_eq!(rest.answered(began + 9 * SECOND, |_| None), Some(began + 4 * SECOND));
        rest.stir(began + 9 * SECOND, |_| None);
        assert_eq!(rest.answered(began + 9 * SECOND, |_| None), Some(began + 4 * SECOND));
    }

    #[test]
    fn a_leader_without_others_is_always_answered() {
        let now = Instant::now();
        assert_eq!(quiet(&[], now).answered(now + SECOND, |_| None), Some(now + SECOND));
    }
}
