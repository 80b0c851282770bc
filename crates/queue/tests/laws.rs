//! Laws that hold for every history, checked on generated ones. Later commands of a history derive from earlier
//! answers: it acks what was really leased, cancels what is really scheduled, and also tries what it lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod oracle;
mod turns;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use weir_queue::{Command, ParkKind, Queue};
use weir_types::{Backoff, LeaseId, Output, ParkPolicy, QueuePolicy, Row};

use oracle::{Oracle, Record, Step};

/// One entry: time passes, then some steps are taken.
#[derive(Clone, Debug)]
struct Entry {
    lease_ms: u64,
    wall_ms: u64,
    steps: Vec<Step>,
    /// Whether the second replica restarts from its rows after this entry.
    restart: bool,
}

fn policies() -> impl Strategy<Value = QueuePolicy> {
    let park =
        prop_oneof![Just(ParkPolicy::ParkMessage), Just(ParkPolicy::ParkKey), Just(ParkPolicy::BlockKey)];
    let (backoff, ttl) = (prop_oneof![Just(0), Just(50)], prop_oneof![3 => Just(None), 1 => Just(Some(600))]);
    let limits = (option::of(1..6_u32), option::of(1..3_u32));
    let keep =
        (option::of(prop_oneof![Just(500), Just(2_000)]), prop_oneof![3 => Just(1 << 30), 1 => Just(300)]);
    let fair_by = prop_oneof![Just(None), Just(Some("tenant".to_owned()))];
    (any::<bool>(), 1..4_u32, 1..4_u32, park, backoff, ttl, limits, keep, fair_by).prop_map(
        |(fifo, max_inflight_per_key, attempts_max, park, base_ms, ttl_ms, limits, keep, fair_by)| {
            QueuePolicy {
                fifo,
                max_inflight_per_key,
                attempts_max,
                park,
                backoff: Backoff { base_ms, max_ms: 200 },
                ttl_ms,
                messages_max: 60,
                max_inflight: limits.0,
                max_inflight_per_session: limits.1,
                keep_ms: keep.0,
                keep_bytes_max: keep.1,
                fair_by,
                ..QueuePolicy::default()
            }
        },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let key_and_priority = (0..4_u32, prop_oneof![3 => Just(0_u8), 1 => 0..10_u8], 0..4_u8);
    let times =
        (prop_oneof![4 => Just(0_u64), 1 => 1..300_u64], prop_oneof![4 => Just(0_u64), 1 => 1..400_u64]);
    let kinds = prop_oneof![Just(None), Just(Some(ParkKind::Rejected)), Just(Some(ParkKind::AttemptsUsedUp))];
    prop_oneof![
        6 => (vec((key_and_priority, times, 1..4_usize), 1..4), any::<bool>()).prop_map(|(runs, sequenced)| {
            let records = runs.into_iter().flat_map(|((key, priority, tenant), (delay, ttl), count)| {
                std::iter::repeat_n(Record { key, priority, delay, ttl, tenant }, count)
            });
            Step::Enqueue { records: records.collect(), sequenced }
        }),
        1 => vec(0..20_u8, 1..4).prop_map(|ids| Step::EnqueueWithIds { ids }),
        1 => any::<u8>().prop_map(|back| Step::RepeatBatch { back }),
        7 => (1..6_u32, 0..3_u64, 0..200_u64).prop_map(|(max, session, lease_ms)| {
            Step::Lease { max, session, lease_ms }
        }),
        1 => any::<u8>().prop_map(|back| Step::RepeatLease { back }),
        8 => vec((any::<u8>(), 0..6_u8, 0..120_u64), 1..5).prop_map(|items| Step::Settle { items }),
        1 => any::<u8>().prop_map(|back| Step::RepeatSettle { back }),
        1 => (1..3_u64).prop_map(Step::Open),
        1 => (1..3_u64).prop_map(Step::Keep),
        1 => (1..3_u64, any::<bool>()).prop_map(|(session, clean)| Step::Close { session, clean }),
        1 => (kinds.clone(), 1..4_u32).prop_map(|(kind, max)| Step::Redrive { kind, max }),
        1 => (kinds, 1..4_u32).prop_map(|(kind, max)| Step::Discard { kind, max }),
        2 => any::<u8>().prop_map(|pick| Step::Cancel { pick }),
        1 => (any::<u8>(), 1..6_u32).prop_map(|(pick, max)| Step::Purge { pick, max }),
        3 => (vec(any::<u8>(), 1..4), vec(1..4_u8, 0..4))
            .prop_map(|(backs, destinations)| Step::AckAndAppend { backs, destinations }),
        1 => any::<u8>().prop_map(|back| Step::RepeatAckAndAppend { back }),
        3 => (1..4_u8, any::<bool>()).prop_map(|(destination, told)| Step::Send { destination, told }),
        2 => (0..3_u8, vec(0..4_u8, 1..4)).prop_map(|(skew, tenants)| Step::Transfer { skew, tenants }),
        1 => any::<bool>().prop_map(Step::Share),
        2 => (0..2_u8, 1..4_usize, option::of(any::<u8>()))
            .prop_map(|(id, max, again)| Step::Replay { id, max, again }),
        2 => (any::<u8>(), 1..20_usize, option::of(any::<u8>()))
            .prop_map(|(back, rows, again)| Step::Relocate { back, rows, again }),
        2 => (any::<bool>(), 1..4_usize, 1..4_u8)
            .prop_map(|(parked, max, destination)| Step::Move { parked, max, destination }),
        1 => prop_oneof![9 => Just(Step::Keep(1)), 1 => Just(Step::Seal)],
        1 => (0..2_u8, 0..2_000_u64, vec(1..4_u32, 0..3), vec((0..20_u8, 0..400_000_u64), 0..3))
            .prop_map(|(parent, base, keys, ids)| Step::Inherit { parent, base, keys, ids }),
        1 => (0..2_u8, vec(1..4_u32, 0..4)).prop_map(|(parent, keys)| Step::Drained { parent, keys }),
        1 => (0..4_usize).prop_map(Step::ConfirmDrained),
        1 => (1..4_u8, 1..4_usize, vec(1..4_u8, 1..3))
            .prop_map(|(destination, max, into)| Step::Recut { destination, max, into }),
    ]
}

fn entries() -> impl Strategy<Value = Entry> {
    let wait = prop_oneof![6 => 0..60_u64, 1 => 200..12_000_u64];
    (wait.clone(), wait, vec(steps(), 0..4), any::<bool>())
        .prop_map(|(lease_ms, wall_ms, steps, restart)| Entry { lease_ms, wall_ms, steps, restart })
}

fn run(policy: &QueuePolicy, history: &[Entry]) {
    let mut leader = Queue::new(policy.clone(), LeaseId(1_000));
    let mut follower = leader.clone();
    let mut oracle = Oracle::new(policy.clone());
    for entry in history {
        oracle.advance(entry.lease_ms, entry.wall_ms);
        let commands: Vec<Command> =
            entry.steps.iter().filter_map(|step| oracle.command_for(step, &leader)).collect();

        let (mut out, mut again) = (Output::default(), Output::default());
        let answers = leader.apply_entry(oracle.at, commands.clone(), &mut out).unwrap();
        let same = follower.apply_entry(oracle.at, commands.clone(), &mut again).unwrap();
        assert_eq!(answers, same, "P12: replicas answer alike");
        assert_eq!(out.changes, again.changes, "P12: replicas write the same bytes");
        assert_eq!(out.effects, again.effects);
        leader.check_invariants();

        oracle.store(out.changes);
        let restored = Queue::restore(oracle.rows()).unwrap();
        assert_eq!(restored, leader, "the rows are the state");
        if entry.restart {
            follower = restored;
        }
        oracle.judge(&commands, &answers, &leader);
    }
    drain(&mut leader, &mut oracle);
}

/// P9: with a willing consumer and time, everything that is not parked is handed out and acked.
fn drain(queue: &mut Queue, oracle: &mut Oracle) {
    for _ in 0..400 {
        let parked_only = queue.stats().messages == queue.stats().parked;
        let held = queue.peek(weir_types::MessageId(0), 100).iter().all(|view| {
            matches!(view.state, weir_queue::MessageState::Parked { .. }) || view.waits_behind.is_some()
        });
        if parked_only || held && queue.stats().parked > 0 && queue.next_deadlines().wall.is_none() {
            return;
        }
        oracle.advance(300, 400);
        let commands = oracle.drain_commands(queue);
        let mut out = Output::default();
        let answers = queue.apply_entry(oracle.at, commands.clone(), &mut out).unwrap();
        queue.check_invariants();
        oracle.judge(&commands, &answers, queue);
    }
    panic!("P9: {:?} after draining: {:?}", queue.stats(), queue.peek(weir_types::MessageId(0), 100));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_promises(policy in policies(), history in vec(entries(), 1..60)) {
        run(&policy, &history);
    }

    #[test]
    fn no_bytes_make_restore_panic(
        rows in vec((prop_oneof![Just(1_u8), Just(2), Just(3), Just(0x10), Just(0x11), Just(0x12), Just(0x34), Just(0x20), Just(0x30), Just(0x31),
            Just(0x32), Just(0x33), Just(0x40), Just(0x41), Just(0x42), Just(0x50), Just(0x51), Just(0x52), Just(0x53), any::<u8>()], vec(any::<u8>(), 0..18), vec(any::<u8>(), 0..40), 1..3_u8), 0..6)
    ) {
        let rows = rows.into_iter().map(|(kind, name, mut value, version)| {
            let mut key = vec![kind];
            key.extend(name);
            value.insert(0, version);
            Row { key, value }
        });
        drop(Queue::restore(rows));
    }
}
