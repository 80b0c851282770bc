//! Handing a leadership to another voter, with a bound on how long the group takes no proposals.
//!
//! openraft's own trigger is not used. It tells every voter once, and from then on its leader refuses proposals
//! and sends no heartbeats until somebody else leads. A message that is lost, on a connection just being made for
//! instance, then costs two election timeouts, and any voter may win. Here the leader goes on leading until the
//! successor has won:
//!
//! ```text
//! does its node answer?            a node that is gone or frozen costs no write
//! close the intake                 nothing is proposed any more, so the successor can catch up
//! wait until it has all of the log
//! ask it to campaign in our name   voters pass over the lease that they hold for us
//! wait until it leads, open the intake in any case
//! ```

use std::sync::Arc;
use std::time::Duration;

use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use weir_types::{NodeId, ReplicaId, Term};

use crate::Error;
use crate::liveness::Way;
use crate::membership::{running, unfinished};
use crate::raft::{Core, LogId, Vote};
use crate::replica::{Replica, other_node};
use crate::transport::{Answer, Call, LaneKind, Target, TransferAnswer, TransferCall};

/// Longest time for which a transfer keeps proposals out. A successor that has not won by then may still win, as
/// the request cannot be taken back; the leader then learns of it like any deposed one.
const CLOSED_MAX: Duration = Duration::from_secs(1);

/// Everything up to `last_log` is this leader's to hand over.
struct Mandate {
    vote: Vote,
    last_log: Option<LogId>,
}

/// Hands the leadership to `to`. `Ok` says that it leads.
pub(crate) async fn transfer(replica: &Replica, to: ReplicaId) -> Result<(), Error> {
    let core = running(replica)?;
    check_leads(replica)?;
    if to == replica.spec.replica {
        return Ok(());
    }
    let node = voter_node(&core, to)?;
    check_answers(replica, node).await?;
    let handing = async {
        let _closed = replica.intake.close(node).await;
        let mandate = mandate(replica, &core).await?;
        let term = Term(mandate.vote.leader_id.term);
        wait_caught_up(&core, to, mandate.last_log).await?;
        ask(replica, node, to, mandate).await?;
        wait_taken_over(replica, to, term).await
    };
    let outcome = timeout(CLOSED_MAX, handing).await.unwrap_or_else(|_| {
        Err(Error::Unfinished { reason: format!("replica {to} did not take the leadership over in time") })
    });
    let label = if outcome.is_ok() { "done" } else { "not_done" };
    metrics::counter!("weir_leader_transfers_total", "outcome" => label).increment(1);
    outcome
}

/// Hands the leadership, if it is here, to any voter that takes it, the most promising first, until `deadline`.
pub(crate) async fn hand_over(replica: Arc<Replica>, deadline: Instant) {
    let handing = async {
        loop {
            for to in successors(&replica) {
                match transfer(&replica, to).await {
                    // Somebody else leads, or is being elected without our help.
                    Ok(()) | Err(Error::NotLeader { .. } | Error::Stopped) => return,
                    Err(error) => {
                        tracing::info!(group = %replica.spec.group, %to, %error, "leadership not handed over");
                    }
                }
            }
            if check_leads(&replica).is_err() || is_alone(&replica) {
                return;
            }
            // A voter that could not be reached may be by the next ping.
            sleep(replica.context.timings.ping).await;
        }
    };
    // What was not handed over in time is elected anew when this node is gone.
    let _ = timeout_at(deadline, handing).await;
}

fn check_leads(replica: &Replica) -> Result<(), Error> {
    let leader = replica.leadership.borrow().leader;
    match leader {
        Some((leader, _)) if leader == replica.spec.replica => Ok(()),
        other => Err(Error::NotLeader { leader: other.map(|(_, node)| node) }),
    }
}

fn voter_node(core: &Core, to: ReplicaId) -> Result<NodeId, Error> {
    let metrics = core.raft.server_metrics();
    let metrics = metrics.borrow_watched();
    let votes = metrics.membership_config.voter_ids().any(|voter| voter == to.0);
    let member = metrics.membership_config.membership().get_node(&to.0).filter(|_| votes);
    let reason = || format!("replica {to} does not vote in this group");
    member.map(|member| member.node).ok_or_else(|| Error::Rejected { reason: reason() })
}

/// A node that was heard a moment ago may be beyond our reach all the same: only an answer tells. One that takes no
/// entries cannot catch up.
async fn check_answers(replica: &Replica, node: NodeId) -> Result<(), Error> {
    if replica.context.pulses.is_mute(node, Way::DataOut) {
        return Err(Error::Unfinished { reason: format!("node {node} takes no entries") });
    }
    let ping = replica.context.peers.call(node, LaneKind::Control, Call::Ping, Vec::new());
    match timeout(replica.context.timings.suspect, ping).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(unfinished(&error)),
        Err(_) => Err(Error::Unfinished { reason: format!("node {node} does not answer") }),
    }
}

/// Passes through the core's queue, behind every proposal that passed the intake.
async fn mandate(replica: &Replica, core: &Core) -> Result<Mandate, Error> {
    let read = core.raft.with_raft_state(|state| (*state.vote_ref(), state.log_ids.last().copied()));
    let (vote, last_log) = read.await.map_err(|error| unfinished(&error))?;
    // Another transfer may have been done while this one waited for its turn.
    if !vote.committed || vote.leader_id.voted_for != replica.spec.replica.0 {
        return Err(Error::NotLeader { leader: None });
    }
    Ok(Mandate { vote, last_log })
}

async fn wait_caught_up(core: &Core, to: ReplicaId, last_log: Option<LogId>) -> Result<(), Error> {
    let mut metrics = core.raft.metrics();
    loop {
        {
            let metrics = metrics.borrow_watched();
            let Some(matched) = &metrics.replication else {
                return Err(Error::NotLeader { leader: None });
            };
            if matched.get(&to.0).copied().flatten() >= last_log {
                return Ok(());
            }
        }
        metrics.changed().await.map_err(|error| unfinished(&error))?;
    }
}

async fn ask(replica: &Replica, node: NodeId, to: ReplicaId, mandate: Mandate) -> Result<(), Error> {
    let call = Call::Transfer(TransferCall {
        target: Target { group: replica.spec.group, replica: to },
        from: (&mandate.vote).into(),
        to,
        last_log: mandate.last_log.as_ref().map(Into::into),
    });
    match replica.context.peers.call(node, LaneKind::Control, call, Vec::new()).await {
        Ok(Answer::Transfer(TransferAnswer::Accepted)) => Ok(()),
        Ok(other) => Err(Error::Unfinished { reason: format!("replica {to} answered {other:?}") }),
        Err(error) => Err(unfinished(&error)),
    }
}

/// Waits for a leader of a later term.
async fn wait_taken_over(replica: &Replica, to: ReplicaId, term: Term) -> Result<(), Error> {
    let mut leadership = replica.leadership.subscribe();
    let next = leadership.wait_for(|known| known.term > term && known.leader.is_some()).await;
    let leader = next.map_err(|error| unfinished(&error))?.leader;
    match leader {
        Some((leader, _)) if leader == to => Ok(()),
        other => {
            let node = other_node(other.map(|(_, node)| node), replica.context.node);
            Err(Error::NotLeader { leader: node })
        }
    }
}

/// The voters that are heard, those with the most of the log first.
fn successors(replica: &Replica) -> Vec<ReplicaId> {
    let Some(core) = replica.core() else { return Vec::new() };
    let metrics = core.raft.metrics();
    let metrics = metrics.borrow_watched();
    let Some(matched) = metrics.replication.as_ref() else { return Vec::new() };
    let membership = metrics.membership_config.membership();
    let mut voters: Vec<u64> = membership
        .voter_ids()
        .filter(|voter| *voter != replica.spec.replica.0)
        .filter(|voter| {
            membership.get_node(voter).is_some_and(|member| replica.context.pulses.hears(member.node))
        })
        .collect();
    voters.sort_by_key(|voter| std::cmp::Reverse(matched.get(voter).copied().flatten()));
    voters.into_iter().map(ReplicaId).collect()
}

/// Whether there is nobody to hand over to.
fn is_alone(replica: &Replica) -> bool {
    replica.core().is_none_or(|core| core.raft.voter_ids().eq([replica.spec.replica.0]))
}
