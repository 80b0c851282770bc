//! Carrying a decision out.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use weir_types::Term;

use super::survey::Missing;
use crate::raft::TransferRequest;
use crate::replica::Replica;

/// Elections under way at once on this node. Measured: with a thousand groups and no bound, elections take
/// longer than the fallback, candidates collide, and nobody wins for seconds.
pub(crate) const CAMPAIGNS_MAX: usize = 32;
/// How long one election holds its place.
const CAMPAIGN_TIMEOUT: Duration = Duration::from_secs(1);

/// Campaigns for this replica, and waits a moment for the outcome.
pub(crate) async fn campaign(replica: Arc<Replica>, missing: Missing, ready: bool, slots: Arc<Semaphore>) {
    let _slot = slots.acquire().await.expect("the semaphore is never closed");
    let (group, us) = (replica.spec.group, replica.spec.replica);
    let term = Term(missing.vote.leader_id.term);
    metrics::counter!("weir_elections_total", "cause" => missing.cause.name()).increment(1);
    tracing::info!(%group, replica = %us, %term, cause = missing.cause.name(), "campaigning");
    let mut leadership = replica.leadership.subscribe();
    let begun = if ready {
        // In the name of the lost leader: voters pass over the lease that they still hold for it. A no-op when
        // another vote was cast meanwhile.
        let request = TransferRequest::new(missing.vote, us.0, None);
        missing.core.raft.handle_transfer_leader(request).await.map(|_| ())
    } else {
        missing.core.raft.trigger().elect(true).await
    };
    if begun.is_err() {
        return;
    }
    let decided = leadership.wait_for(|known| known.term > term && known.leader.is_some());
    // No decision in time is no error: the detector looks again.
    let _ = timeout(CAMPAIGN_TIMEOUT, decided).await;
}

/// Gives up this replica's lease of a lost leader, so that neither its own election nor that of the designated
/// candidate is refused.
pub(crate) async fn give_up_lease(missing: &Missing) {
    if !missing.vote.committed {
        return;
    }
    // Named as its own successor, the lost leader keeps this replica from campaigning here and now.
    let request = TransferRequest::new(missing.vote, missing.vote.leader_id.voted_for, None);
    if missing.vote.leader_id.voted_for != missing.core.shared.replica.0 {
        // A dead core has no lease either.
        let _ = missing.core.raft.handle_transfer_leader(request).await;
    }
}
