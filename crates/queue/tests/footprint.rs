//! What a backlog costs, by number of entries and rows: numbers do not depend on the machine that counts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::num::NonZeroU64;

use weir_queue::{
    Action, Attributes, Command, Enqueue, Lease, MessageRun, Queue, Relocate, RelocatedBatch, Reply, Run,
    Settle, SettleItem, TenantRun,
};
use weir_types::limits::{LEASE_MESSAGES_MAX, PRODUCERS_PER_PARTITION_MAX, TIMERS_PER_ENTRY_MAX};
use weir_types::{
    At, KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, Output, ProducerEpoch, ProducerId, QueuePolicy,
    RequestId, RowChange, TenantHash, Term, WallClock,
};

struct Partition {
    queue: Queue,
    at: At,
    requests: u64,
}

impl Partition {
    fn new(policy: QueuePolicy) -> Self {
        Self { queue: Queue::new(policy, LeaseId(0)), at: At { term: Term(1), ..At::default() }, requests: 0 }
    }

    fn apply(&mut self, command: Command) -> (Reply, Vec<RowChange>) {
        self.at.index = self.at.index.next();
        let mut out = Output::default();
        let reply = self.queue.apply(self.at, command, &mut out).unwrap().unwrap();
        (reply, out.changes)
    }

    fn lease(&mut self, max_messages: u32, lease_ms: u64) -> (Vec<weir_queue::Granted>, Vec<RowChange>) {
        self.requests += 1;
        let request = Lease {
            request: RequestId(self.requests),
            session: None,
            max_messages,
            max_bytes: u64::MAX,
            lease_ms: Some(lease_ms),
        };
        match self.apply(Command::Lease(request)) {
            (Reply::Leased { messages }, changes) => (messages, changes),
            other => panic!("{other:?}"),
        }
    }
}

fn batch(count: u32, attributes: Attributes) -> Enqueue {
    Enqueue {
        position: 0,
        length: count * 100,
        count,
        bytes: u64::from(count) * 100,
        producer: None,
        runs: vec![Run { count, attributes }],
        dedup: Vec::new(),
    }
}

#[test]
fn ten_million_untouched_messages_cost_one_small_row_per_batch() {
    let mut partition = Partition::new(QueuePolicy { ttl_ms: Some(1_000_000), ..QueuePolicy::default() });
    let batches = 10_000;
    let (mut rows, mut bytes) = (0, 0);
    for _ in 0..batches {
        let (_, changes) = partition.apply(Command::Enqueue(batch(1_000, Attributes::default())));
        rows += changes.len();
        bytes += changes
            .iter()
            .map(|change| change.key.len() + change.value.as_ref().unwrap().len())
            .sum::<usize>();
    }
    assert_eq!(partition.queue.stats().messages, 10_000_000);
    // Each entry writes its span and the header; the first one the policy too.
    assert_eq!(rows, 2 * batches + 1);
    assert!(bytes < 80 * batches, "{bytes} bytes of rows");
    // A span, and its place in the ready list, among the TTLs and among the bodies.
    assert_eq!(partition.queue.entries(), 4 * batches);

    let (granted, changes) = partition.lease(10, 1_000);
    assert_eq!(granted.len(), 10);
    // Ten messages, their span, the request, the header.
    assert_eq!(changes.len(), 13);
    let ack = SettleItem { message: granted[4].message, lease: granted[4].lease, action: Action::Ack };
    let (_, changes) = partition.apply(Command::Settle(Settle { request: None, items: vec![ack] }));
    assert_eq!(changes.len(), 2, "an ack writes the message's row and the header: {changes:?}");
    partition.queue.check_invariants();
}

#[test]
fn a_message_in_a_thousand_needs_no_old_entry_once_it_is_written_anew() {
    let mut partition = Partition::new(QueuePolicy::default());
    let batches = 200;
    for _ in 0..batches {
        partition.apply(Command::Enqueue(batch(1_000, Attributes::default())));
    }
    let (leased, _) = partition.lease(LEASE_MESSAGES_MAX, 1_000_000);
    let mut left = leased;
    while !left.is_empty() {
        left.retain(|granted| !granted.message.0.is_multiple_of(1_000));
        let ack = |granted: &weir_queue::Granted| SettleItem {
            message: granted.message,
            lease: granted.lease,
            action: Action::Ack,
        };
        let items = left.iter().map(ack).collect();
        partition.apply(Command::Settle(Settle { request: None, items }));
        left = partition.lease(LEASE_MESSAGES_MAX, 1_000_000).0;
    }
    assert_eq!(partition.queue.stats().messages, batches);
    assert_eq!(partition.queue.retained_from(), Some(LogIndex(1)));

    let horizon = partition.at.index;
    let (mut from, mut steps) = (MessageId(0), 0);
    loop {
        let (bodies, next) = partition.queue.bodies_before(horizon, from, 64);
        let runs =
            bodies.iter().map(|bodies| MessageRun { first: bodies.first, count: bodies.count }).collect();
        let step = Relocate { batches: vec![RelocatedBatch { position: 0, length: 6_400, runs }] };
        let (reply, changes) = partition.apply(Command::Relocate(step));
        assert_eq!(reply, Reply::Relocated { messages: bodies.len() as u64 });
        // Each message's row, and the header.
        assert_eq!(changes.len(), bodies.len() + 1);
        steps += 1;
        let Some(next) = next else { break };
        from = next;
    }
    assert_eq!(steps, batches.div_ceil(64), "200 rows, 64 at a time");
    assert!(partition.queue.retained_from() > Some(horizon), "{:?}", partition.queue.retained_from());
    partition.queue.check_invariants();
}

#[test]
fn acked_messages_of_a_batch_that_are_kept_cost_one_row_however_many() {
    let policy = QueuePolicy { keep_ms: Some(1_000_000), ..QueuePolicy::default() };
    let mut partition = Partition::new(policy);
    partition.apply(Command::Enqueue(batch(60_000, Attributes::default())));
    let mut rows_of_acks = 0;
    loop {
        let (granted, _) = partition.lease(LEASE_MESSAGES_MAX, 1_000);
        let ack = |granted: &weir_queue::Granted| SettleItem {
            message: granted.message,
            lease: granted.lease,
            action: Action::Ack,
        };
        let items: Vec<SettleItem> = granted.iter().map(ack).collect();
        if items.is_empty() {
            break;
        }
        let (_, changes) = partition.apply(Command::Settle(Settle { request: None, items }));
        rows_of_acks += changes.len() - granted.len();
    }
    assert_eq!(partition.queue.stats().kept, 60_000);
    // Beside the rows of the messages each settle writes the run and the header.
    assert_eq!(rows_of_acks, 2 * 60_000_usize.div_ceil(LEASE_MESSAGES_MAX as usize));
    // The run, its time, and the entry whose bodies it needs.
    assert_eq!(partition.queue.entries(), 3);
    partition.queue.check_invariants();
}

#[test]
fn kept_runs_that_are_due_together_go_in_bounded_steps() {
    let policy = QueuePolicy { keep_ms: Some(1_000), ..QueuePolicy::default() };
    let mut partition = Partition::new(policy);
    for _ in 0..2 * TIMERS_PER_ENTRY_MAX {
        partition.apply(Command::Enqueue(batch(1, Attributes::default())));
    }
    loop {
        let (granted, _) = partition.lease(LEASE_MESSAGES_MAX, 1_000);
        if granted.is_empty() {
            break;
        }
        let items = granted.iter().map(|granted| SettleItem {
            message: granted.message,
            lease: granted.lease,
            action: Action::Ack,
        });
        let items = items.collect();
        partition.apply(Command::Settle(Settle { request: None, items }));
    }
    assert_eq!(partition.queue.stats().kept, 2 * TIMERS_PER_ENTRY_MAX as u64);
    partition.at.wall_clock = WallClock(20_000);
    partition.apply(Command::Tick);
    assert_eq!(partition.queue.stats().kept, TIMERS_PER_ENTRY_MAX as u64);
    let due = partition.queue.next_deadlines().wall;
    assert!(due.is_some_and(|due| due <= WallClock(20_000)), "the rest is due at once: {due:?}");
    partition.apply(Command::Tick);
    assert_eq!((partition.queue.stats().kept, partition.queue.retained_from()), (0, None));
}

#[test]
fn a_key_with_a_million_waiting_messages_slows_no_other() {
    let mut partition = Partition::new(QueuePolicy { fifo: true, ..QueuePolicy::default() });
    let of_key = |key| Attributes { key: Some(KeyHash(key)), ..Attributes::default() };
    for _ in 0..100 {
        partition.apply(Command::Enqueue(batch(10_000, of_key(1))));
    }
    partition.apply(Command::Enqueue(batch(1, of_key(2))));
    let (granted, changes) = partition.lease(100, 1_000);
    let messages: Vec<MessageId> = granted.iter().map(|granted| granted.message).collect();
    assert_eq!(messages, [MessageId(0), MessageId(1_000_000)]);
    // Two messages, their spans, the request, the header: nothing of what waits was touched.
    assert_eq!(changes.len(), 6);
    assert_eq!(partition.queue.leasable_by(None), 0, "both keys have their lease");
}

#[test]
fn a_queue_with_very_many_tenants_grants_without_looking_at_each() {
    let policy = QueuePolicy { fair_by: Some("customer".to_owned()), ..QueuePolicy::default() };
    let mut partition = Partition::new(policy);
    let tenants = 50_000;
    for first in (0..tenants).step_by(10_000) {
        let of = (first + 1..=first + 10_000)
            .map(|tenant| TenantRun { count: 1, tenant: NonZeroU64::new(tenant).map(TenantHash) });
        partition.apply(Command::enqueue(batch(10_000, Attributes::default()), of.collect()));
    }
    // A span for each, its place in line, and the same by arrival; each batch's entry among the bodies.
    assert_eq!(partition.queue.entries(), 3 * tenants as usize + 5);
    let (granted, changes) = partition.lease(10, 1_000);
    let messages: Vec<u64> = granted.iter().map(|granted| granted.message.0).collect();
    assert_eq!(messages, (0..10).collect::<Vec<_>>());
    // Ten messages and their ten spans, the turn, the request, the header.
    assert_eq!(changes.len(), 23);
    assert_eq!(partition.queue.next_ready(2).len(), 2);
    assert_eq!(partition.queue.stats().oldest_ready, Some(WallClock(0)));
    partition.queue.check_invariants();
}

#[test]
fn an_entry_fires_a_bounded_number_of_timers_and_the_rest_is_due_at_once() {
    let mut partition = Partition::new(QueuePolicy::default());
    partition.apply(Command::Enqueue(batch(20_000, Attributes::default())));
    let mut leased = 0;
    while leased <= TIMERS_PER_ENTRY_MAX {
        leased += partition.lease(LEASE_MESSAGES_MAX, 1_000).0.len();
    }
    partition.at.lease_clock = LeaseClock(1_000);
    assert_eq!(partition.queue.next_deadlines().lease, Some(LeaseClock(1_000)));
    partition.apply(Command::Tick);
    assert_eq!(partition.queue.stats().leased, (leased - TIMERS_PER_ENTRY_MAX) as u64);
    assert_eq!(partition.queue.next_deadlines().lease, Some(LeaseClock(1_000)), "a tick is due at once");
    partition.apply(Command::Tick);
    assert_eq!(partition.queue.stats().leased, 0);
    assert_eq!(partition.queue.next_deadlines().lease, None);
}

#[test]
fn a_million_delayed_messages_are_one_timer_per_batch() {
    let mut partition = Partition::new(QueuePolicy::default());
    let tomorrow = Attributes { deliver_at: Some(WallClock(86_400_000)), ..Attributes::default() };
    for _ in 0..100 {
        partition.apply(Command::Enqueue(batch(10_000, tomorrow)));
    }
    assert_eq!(partition.queue.stats().scheduled, 1_000_000);
    assert_eq!(partition.queue.entries(), 300);
    partition.at.wall_clock = WallClock(86_400_000);
    partition.apply(Command::Tick);
    assert_eq!(partition.queue.stats().ready, 1_000_000);
}

#[test]
fn the_producer_that_was_quiet_for_longest_is_forgotten_first() {
    let mut partition = Partition::new(QueuePolicy::default());
    let from = |id, sequence| {
        let producer = weir_queue::ProducerBatch { id: ProducerId(id), epoch: ProducerEpoch(1), sequence };
        Command::Enqueue(Enqueue { producer: Some(producer), ..batch(1, Attributes::default()) })
    };
    for id in 0..PRODUCERS_PER_PARTITION_MAX as u64 {
        partition.at.lease_clock = LeaseClock(id);
        partition.apply(from(id, 0));
    }
    partition.apply(from(0, 1));
    let (_, changes) = partition.apply(from(u64::MAX, 0));
    let deleted = changes.iter().filter(|change| change.value.is_none()).count();
    assert_eq!(deleted, 2, "producer 1 and its one batch");
    let mut out = Output::default();
    let unknown = partition.queue.apply(partition.at, from(1, 1), &mut out).unwrap();
    assert!(
        matches!(unknown, Err(weir_queue::Rejection::OutOfSequence { expected: 0, got: 1 })),
        "{unknown:?}"
    );
    assert!(matches!(partition.apply(from(0, 0)).0, Reply::Enqueued { repeated: true, .. }));
}

#[test]
fn only_the_last_64_batches_of_a_producer_are_repeated() {
    let mut partition = Partition::new(QueuePolicy::default());
    let batch = |sequence| {
        let producer = weir_queue::ProducerBatch { id: ProducerId(1), epoch: ProducerEpoch(1), sequence };
        Command::Enqueue(Enqueue { producer: Some(producer), ..batch(1, Attributes::default()) })
    };
    for sequence in 0..65 {
        partition.apply(batch(sequence));
    }
    for sequence in 1..65 {
        let (reply, _) = partition.apply(batch(sequence));
        let first = MessageId(u64::from(sequence));
        assert!(
            matches!(reply, Reply::Enqueued { first: id, repeated: true, .. } if id == first),
            "{reply:?}"
        );
    }
    let forgotten = partition.queue.apply(partition.at, batch(0), &mut Output::default()).unwrap();
    assert!(matches!(forgotten, Err(weir_queue::Rejection::OutOfSequence { expected: 65, got: 0 })));
    assert_eq!(partition.queue.stats().messages, 65, "P10: each batch is in once");
}

#[test]
fn clocks_terms_and_indices_that_fall_are_corruption() {
    let mut partition = Partition::new(QueuePolicy::default());
    partition.at =
        At { term: Term(2), index: LogIndex(5), lease_clock: LeaseClock(7), wall_clock: WallClock(9) };
    partition.apply(Command::Tick);
    let at = partition.at;
    let fallen = [
        At { term: Term(1), ..at },
        At { index: LogIndex(4), ..at },
        At { lease_clock: LeaseClock(6), ..at },
        At { wall_clock: WallClock(8), ..at },
    ];
    for at in fallen {
        assert!(partition.queue.apply(at, Command::Tick, &mut Output::default()).is_err(), "{at:?}");
    }
}

#[test]
fn damaged_rows_are_corruption() {
    let mut partition = Partition::new(QueuePolicy::default());
    let (_, changes) = partition.apply(Command::Enqueue(batch(2, Attributes::default())));
    let rows = || {
        changes
            .iter()
            .map(|change| weir_types::Row { key: change.key.clone(), value: change.value.clone().unwrap() })
    };
    assert_eq!(Queue::restore(rows()).unwrap(), partition.queue);
    assert!(Queue::restore(rows().skip(1)).is_err(), "the header is missing");
    assert!(Queue::restore(rows().chain(rows().skip(2))).is_err(), "a row is there twice");
    for damaged in 0..rows().count() {
        let cut = rows().enumerate().map(|(number, mut row)| {
            if number == damaged {
                row.value.pop();
            }
            row
        });
        assert!(Queue::restore(cut).is_err(), "row {damaged} is cut short");
        let newer = rows().enumerate().map(|(number, mut row)| {
            row.value[0] += u8::from(number == damaged);
            row
        });
        assert!(Queue::restore(newer).is_err(), "row {damaged} is of a later version");
    }
}
