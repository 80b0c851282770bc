//! A leader's wall clock, kept near the clocks of its group's voters.
//!
//! A machine's wall clock never falls, so one leader whose clock is an hour ahead for a moment would hold every delay
//! and backoff of its partitions up for an hour, and let every TTL run out; one that is an hour behind would make them
//! stand still. The median of three or more clocks is right as long as most of them are.

use openraft::async_runtime::watch::WatchReceiver;
use weir_types::WallClock;
use weir_types::limits::WALL_CLOCK_APART_MS_MAX;

use crate::replica::Replica;

/// What this node's wall clock shows, held within [`WALL_CLOCK_APART_MS_MAX`] of the median of the voters' clocks, as
/// far as their nodes have told theirs.
pub(crate) fn now(replica: &Replica) -> WallClock {
    let context = &replica.context;
    let own = context.runtime.clock().wall();
    let Some(core) = replica.core() else { return own };
    let server = core.raft.server_metrics();
    let metrics = server.borrow_watched();
    let membership = metrics.membership_config.membership();
    let others = membership
        .voter_ids()
        .filter_map(|voter| membership.get_node(&voter))
        .filter(|member| member.node != context.node)
        .filter_map(|member| context.pulses.wall_of(member.node));
    held(own, others)
}

/// `own`, held near the median of all clocks. Of an even number the earlier of the two in the middle counts: what has
/// run out cannot be taken back.
fn held(own: WallClock, others: impl Iterator<Item = WallClock>) -> WallClock {
    let mut clocks: Vec<u64> = others.map(|clock| clock.0).collect();
    clocks.push(own.0);
    clocks.sort_unstable();
    let median = clocks[(clocks.len() - 1) / 2];
    let held = own.0.clamp(
        median.saturating_sub(WALL_CLOCK_APART_MS_MAX),
        median.saturating_add(WALL_CLOCK_APART_MS_MAX),
    );
    if held != own.0 {
        metrics::counter!("weir_wall_clock_refused_total").increment(1);
    }
    WallClock(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(own: u64, others: &[u64]) -> u64 {
        held(WallClock(own), others.iter().copied().map(WallClock)).0
    }

    #[test]
    fn a_clock_among_those_of_most_voters_is_taken_as_it_is() {
        assert_eq!(with(10_000, &[10_400, 9_700]), 10_000);
        assert_eq!(with(10_000, &[]), 10_000);
    }

    #[test]
    fn a_clock_that_jumped_is_held_near_the_median() {
        assert_eq!(with(3_610_000, &[10_000, 10_100]), 10_600);
        assert_eq!(with(10_000, &[3_610_000, 3_610_100]), 3_609_500);
    }

    #[test]
    fn of_two_clocks_the_earlier_counts() {
        assert_eq!(with(3_610_000, &[10_000]), 10_500);
        assert_eq!(with(10_000, &[3_610_000]), 10_000);
    }
}
