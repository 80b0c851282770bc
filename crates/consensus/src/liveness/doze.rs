//! openraft's election timers, stopped while nothing depends on them.
//!
//! A ticking follower wakes five times per heartbeat only to ask whether its leader fell silent: measured, two
//! thirds of what an idle group costs. While the leader is heard regularly the detector, which looks at every group
//! anyway, asks in its place. Nothing else hangs on a follower's tick.

use openraft::async_runtime::watch::WatchReceiver;

use crate::replica::Replica;

/// Stops the timer of a replica that follows a lively leader, and starts every other one.
pub(crate) fn pace(replica: &Replica) {
    let Some(core) = replica.core() else { return };
    let vote = core.raft.server_metrics().borrow_watched().vote;
    let followed = vote.committed
        && vote.leader_id.voted_for != replica.spec.replica.0
        && replica.heard_leader_of(vote.leader_id.term);
    core.raft.runtime_config().tick(!followed);
}
