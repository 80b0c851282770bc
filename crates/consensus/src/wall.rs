//! A leader's wall clock, kept near the clocks of its group's voters.
//!
//! A machine's wall clock never falls, so one leader whose clock is an hour ahead for a moment would hold every delay
//! and backoff of its partitions up for an hour, and let every TTL run out; one that is an hour behind would make them
//! stand still. The median of three or more clocks is right as long as most of them are.

use openraft::async_runtime::watch::WatchReceiver;
use weir_types::WallClock;
use weir_types::limits::WALL_CLOCK_APART_MS_MAX;

use crate::liveness::Reading;
use crate::replica::Replica;

/// What this node's wall clock shows, held within [`WALL_CLOCK_APART_MS_MAX`] of the median of the voters' clocks, as
/// far as their nodes have told theirs.
pub(crate) fn now(replica: &Replica) -> WallClock {
    let context = &replica.context;
    let own = context.pulses.own_time(context.runtime.clock().wall());
    let Some(core) = replica.core() else { return own.last };
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

/// `own`, held near the median of all clocks. To go ahead, most clocks must have been ahead for one to two seconds: two
/// that jump one right after the other were never wrong together, and look so, as what we know of each is a ping old.
fn held(own: Reading, others: impl Iterator<Item = Reading>) -> WallClock {
    let clocks: Vec<Reading> = others.chain([own]).collect();
    let behind = median(clocks.iter().map(|clock| clock.last)).0.saturating_sub(WALL_CLOCK_APART_MS_MAX);
    let ahead = median(clocks.iter().map(|clock| clock.least)).0.saturating_add(WALL_CLOCK_APART_MS_MAX);
    let held = own.last.0.max(behind).min(ahead);
    if held != own.last.0 {
        metrics::counter!("weir_wall_clock_refused_total").increment(1);
    }
    WallClock(held)
}

/// The one in the middle. Of an even number the earlier of the two: what has run out cannot be taken back.
fn median(clocks: impl Iterator<Item = WallClock>) -> WallClock {
    let mut clocks: Vec<WallClock> = clocks.collect();
    clocks.sort_unstable();
    clocks[(clocks.len() - 1) / 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Clocks that have not jumped lately.
    fn steady(ms: u64) -> Reading {
        Reading { last: WallClock(ms), least: WallClock(ms) }
    }

    fn with(own: u64, others: &[u64]) -> u64 {
        held(steady(own), others.iter().copied().map(steady)).0
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

    #[test]
    fn two_clocks_that_jumped_ahead_just_now_carry_nobody_along() {
        let jumped = Reading { last: WallClock(1_808_000), least: WallClock(10_000) };
        assert_eq!(held(steady(10_050), [jumped, jumped].into_iter()).0, 10_500);
        let own = Reading { last: WallClock(1_030_000), least: WallClock(10_100) };
        assert_eq!(held(own, [jumped, steady(9_900)].into_iter()).0, 10_500);
    }

    #[test]
    fn two_clocks_that_were_behind_just_now_hold_nobody_back_for_good() {
        let own = Reading { last: WallClock(3_610_000), least: WallClock(10_000) };
        assert_eq!(held(own, [own, steady(3_610_100)].into_iter()).0, 10_500, "for the next seconds");
        assert_eq!(with(3_610_000, &[3_610_000, 3_610_100]), 3_610_000);
    }
}
