//! P4 and P15 across the partitions of a FIFO queue that are split and merged again and again, whatever is under way between
//! them: messages of a key are leased in order of arrival, never by two partitions at once, under rising leases, and
//! in the end nothing is stuck.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod world;

use proptest::collection::vec;
use proptest::prelude::*;
use weir_types::{Backoff, ParkPolicy, QueuePolicy};

use world::{Act, World};

fn policies() -> impl Strategy<Value = QueuePolicy> {
    let park =
        prop_oneof![Just(ParkPolicy::ParkMessage), Just(ParkPolicy::ParkKey), Just(ParkPolicy::BlockKey)];
    let (backoff, ttl) =
        (prop_oneof![Just(0), Just(50)], prop_oneof![3 => Just(None), 1 => Just(Some(2_000))]);
    (1..3_u32, 1..4_u32, park, backoff, ttl).prop_map(|(inflight, attempts_max, park, base_ms, ttl_ms)| {
        QueuePolicy {
            fifo: true,
            max_inflight_per_key: inflight,
            attempts_max,
            park,
            backoff: Backoff { base_ms, max_ms: 200 },
            ttl_ms,
            ..QueuePolicy::default()
        }
    })
}

fn acts() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => vec(prop_oneof![2 => Just(0), 1 => 0..8_u32], 1..4).prop_map(Act::Enqueue),
        8 => (any::<u8>(), 1..4_u32, 1..200_u64)
            .prop_map(|(partition, max, lease_ms)| Act::Lease { partition, max, lease_ms }),
        8 => (any::<u8>(), 0..6_u8).prop_map(|(back, action)| Act::Settle { back, action }),
        3 => (1..120_u64).prop_map(Act::Pause),
        2 => any::<u8>().prop_map(Act::Discard),
        1 => any::<u8>().prop_map(Act::Redrive),
        2 => any::<u8>().prop_map(Act::Purge),
        2 => any::<u8>().prop_map(Act::Split),
        2 => any::<u8>().prop_map(Act::Merge),
        3 => any::<u8>().prop_map(Act::Seal),
        3 => any::<u8>().prop_map(Act::Hand),
        3 => any::<u8>().prop_map(Act::Tell),
        12 => (any::<u8>(), any::<bool>()).prop_map(|(letter, again)| Act::Deliver { letter, again }),
        3 => Just(Act::DeliverAll),
        1 => any::<u8>().prop_map(Act::Restart),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_key_keeps_its_order_across_all_partitions_that_it_comes_through(
        policy in policies(),
        history in vec(acts(), 1..250),
    ) {
        let mut world = World::new(policy);
        for act in &history {
            world.act(act);
        }
        world.finish();
    }
}
