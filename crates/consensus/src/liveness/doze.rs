//! openraft's timers, stopped while nothing depends on them.
//!
//! A ticking replica wakes five times per heartbeat, a follower only to ask whether its leader fell silent, a leader to
//! send one heartbeat: measured, most of what an idle group costs. The detector asks in the follower's place while its
//! leader is heard regularly, and makes the leader's heart beat, group after group (quiet.rs). Nothing else hangs on a tick.

use openraft::async_runtime::watch::WatchReceiver;

use crate::replica::Replica;

/// Stops the timer of a replica that leads or follows a lively leader, and starts every other one.
pub(crate) fn pace(replica: &Replica) {
    let Some(core) = replica.core() else { return };
    let (vote, leads) = {
        let server = core.raft.server_metrics();
        let metrics = server.borrow_watched();
        (metrics.vote, metrics.state.is_leader())
    };
    let followed = vote.committed
        && vote.leader_id.voted_for != replica.spec.replica.0
        && replica.heard_leader_of(vote.leader_id.term);
    core.raft.runtime_config().tick(!followed && !leads);
}
