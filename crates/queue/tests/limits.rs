//! Both sides of each limit of a queue: what is just within is taken, one more gets its code and stores nothing.
//! Limits of bytes, messages and leases that a policy sets have stories of their own (`scenarios/limits*.txt`).

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use weir_queue::limits::{
    DEDUP_IDS_REMEMBERED_MAX, INHERITED_PER_STEP_MAX, LEASE_BASE_MAX, PRIORITY_MAX, REASON_BYTES_MAX,
    REPLAYS_REMEMBERED_MAX, SESSIONS_PER_PARTITION_MAX, SETTLE_ITEMS_MAX,
};
use weir_queue::{
    AckAndAppend, Action, Attributes, Command, DedupId, DedupRecord, Enqueue, Granted, Inherit, InheritedId,
    Lease, MessageState, Move, ParkReason, ProducerBatch, Queue, Replay, Reply, Run, SessionEnding, Settle,
    SettleItem, Settled, Waiting,
};
use weir_types::limits::{
    BATCH_RECORDS_MAX, DEDUP_WINDOW_MS, DELAY_MS_MAX, LEASE_MESSAGES_MAX, LEASE_MS_MAX,
    LEASES_PER_PARTITION_MAX, OUTBOX_BATCHES_MAX, OUTPUTS_MAX, PRODUCER_BATCHES_REMEMBERED_MAX,
    REQUESTS_REMEMBERED_MAX,
};
use weir_types::{
    At, GroupId, KeyHash, KeyRange, LeaseClock, LeaseId, LogIndex, MessageId, Output, OutputBatch,
    ProducerEpoch, ProducerId, QueuePolicy, RequestId, SessionId, Term, WallClock,
};

const NOW: WallClock = WallClock(1_000_000);

struct Partition {
    queue: Queue,
    at: At,
    requests: u64,
}

impl Partition {
    /// With so many messages.
    fn with(messages: u32) -> Self {
        let mut new = Self::of(QueuePolicy::default());
        for first in (0..messages).step_by(BATCH_RECORDS_MAX as usize) {
            let count = BATCH_RECORDS_MAX.min(messages - first);
            new.ask(Command::Enqueue(batch(count))).unwrap();
        }
        new
    }

    fn of(policy: QueuePolicy) -> Self {
        let at = At { term: Term(1), index: LogIndex(0), lease_clock: LeaseClock(0), wall_clock: NOW };
        let mut new = Self { queue: Queue::new(policy, LeaseId(0)), at, requests: 1 << 32 };
        new.ask(Command::Tick).unwrap();
        new
    }

    /// The answer, or its code: then nothing but the clocks was stored.
    fn ask(&mut self, command: Command) -> Result<Reply, &'static str> {
        self.at.index = self.at.index.next();
        let mut out = Output::default();
        let answer = self.queue.apply(self.at, command, &mut out).unwrap();
        assert!(answer.is_ok() || out.changes.len() == 1, "a refusal stored {:?}", out.changes);
        answer.map_err(|rejection| rejection.code())
    }

    fn lease(&mut self, max_messages: u32, lease_ms: Option<u64>) -> Vec<Granted> {
        self.requests += 1;
        let request = RequestId(self.requests);
        let asked = Lease { request, session: None, max_messages, max_bytes: u64::MAX, lease_ms };
        match self.ask(Command::Lease(asked)) {
            Ok(Reply::Leased { messages }) => messages,
            other => panic!("{other:?}"),
        }
    }

    /// So many messages under leases.
    fn hold(&mut self, count: usize) -> Vec<(MessageId, LeaseId)> {
        let mut held = Vec::new();
        while held.len() < count {
            let max = LEASE_MESSAGES_MAX.min((count - held.len()) as u32);
            held.extend(self.lease(max, None).iter().map(|granted| (granted.message, granted.lease)));
        }
        held
    }

    fn settle(&mut self, request: Option<RequestId>, (message, lease): (MessageId, LeaseId), action: Action) {
        let items = vec![SettleItem { message, lease, action }];
        self.ask(Command::Settle(Settle { request, items })).unwrap();
    }
}

fn batch(count: u32) -> Enqueue {
    let (position, length, bytes) = (0, 1, u64::from(count));
    Enqueue { position, length, count, bytes, producer: None, runs: Vec::new(), dedup: Vec::new() }
}

fn one_with(attributes: Attributes) -> Command {
    Command::Enqueue(Enqueue { runs: vec![Run { count: 1, attributes }], ..batch(1) })
}

fn outputs(count: usize) -> Vec<OutputBatch> {
    vec![OutputBatch { destination: GroupId(7), position: 0, length: 1 }; count]
}

fn ack_and_append(messages: &[(MessageId, LeaseId)], count: usize) -> Command {
    let (request, messages) = (None, messages.to_vec());
    Command::AckAndAppend(AckAndAppend { request, messages, outputs: outputs(count) })
}

fn moved(messages: u64, count: usize) -> Command {
    let messages = (0..messages).map(MessageId).collect();
    Command::Move(Move { waiting: Waiting::Ready, messages, outputs: outputs(count) })
}

#[test]
fn a_command_is_taken_up_to_its_limit_and_refused_beyond() {
    let mut partition = Partition::with(SETTLE_ITEMS_MAX as u32 + 2);
    let all = SETTLE_ITEMS_MAX as u64;
    let held = partition.hold(SETTLE_ITEMS_MAX + 1);
    let items = |count: usize| {
        let item = |(message, lease)| SettleItem { message, lease, action: Action::Release };
        let items = held.iter().copied().take(count).map(item).collect();
        Command::Settle(Settle { request: None, items })
    };
    let priority = |priority| one_with(Attributes { priority, ..Attributes::default() });
    let delay = |ms| one_with(Attributes { deliver_at: Some(NOW + ms), ..Attributes::default() });
    let records = |count| Command::Enqueue(batch(count));
    // What is refused comes first: it must not disturb what is taken.
    for (what, beyond, within) in [
        ("records of a batch", records(BATCH_RECORDS_MAX + 1), records(BATCH_RECORDS_MAX)),
        ("no record", records(0), records(1)),
        ("a priority", priority(PRIORITY_MAX + 1), priority(PRIORITY_MAX)),
        ("a delay", delay(DELAY_MS_MAX + 1), delay(DELAY_MS_MAX)),
        (
            "outputs of an ack",
            ack_and_append(&held[..1], OUTPUTS_MAX + 1),
            ack_and_append(&held[..1], OUTPUTS_MAX),
        ),
        ("items of a settle", items(SETTLE_ITEMS_MAX + 1), items(SETTLE_ITEMS_MAX)),
    ] {
        assert_eq!(partition.ask(beyond), Err("invalid-command"), "{what}");
        assert!(partition.ask(within).is_ok(), "{what}");
    }
    let mut partition = Partition::with(SETTLE_ITEMS_MAX as u32 + 1);
    assert_eq!(partition.ask(moved(all + 1, 1)), Err("invalid-command"));
    assert_eq!(partition.ask(moved(all, OUTPUTS_MAX + 1)), Err("invalid-command"));
    assert_eq!(partition.ask(moved(all, OUTPUTS_MAX)), Ok(Reply::Moved { count: all as u32 }));
    let mut partition = Partition::with(SETTLE_ITEMS_MAX as u32 + 1);
    let held = partition.hold(SETTLE_ITEMS_MAX + 1);
    assert_eq!(partition.ask(ack_and_append(&held, 1)), Err("invalid-command"));
    assert!(partition.ask(ack_and_append(&held[1..], 1)).is_ok());
}

#[test]
fn a_lease_has_as_many_messages_and_as_much_time_as_it_may() {
    let mut partition = Partition::with(LEASE_MESSAGES_MAX + 10);
    let leased = partition.lease(LEASE_MESSAGES_MAX + 1, Some(LEASE_MS_MAX + 1));
    assert_eq!(leased.len(), LEASE_MESSAGES_MAX as usize);
    assert!(leased.iter().all(|granted| granted.deadline == LeaseClock(LEASE_MS_MAX)));
    assert_eq!(partition.lease(1, Some(LEASE_MS_MAX))[0].deadline, LeaseClock(LEASE_MS_MAX));
}

#[test]
fn the_reason_of_a_reject_is_kept_up_to_its_limit() {
    let mut partition = Partition::with(2);
    let held = partition.hold(2);
    for (held, bytes) in [(held[0], REASON_BYTES_MAX), (held[1], REASON_BYTES_MAX + 1)] {
        partition.settle(None, held, Action::Reject { reason: "r".repeat(bytes) });
    }
    for view in partition.queue.parked(None, MessageId(0), 10) {
        let MessageState::Parked { reason: ParkReason::Rejected(reason), .. } = view.state else {
            panic!("{view:?}");
        };
        assert_eq!(reason.len(), REASON_BYTES_MAX);
    }
}

#[test]
fn a_partition_has_as_many_sessions_as_it_may() {
    let mut partition = Partition::with(0);
    let open = |number: usize| Command::OpenSession { session: SessionId(number as u64) };
    for number in 1..=SESSIONS_PER_PARTITION_MAX {
        assert_eq!(partition.ask(open(number)), Ok(Reply::Done));
    }
    assert_eq!(partition.ask(open(SESSIONS_PER_PARTITION_MAX + 1)), Err("too-many-sessions"));
    assert_eq!(partition.ask(open(1)), Ok(Reply::Done), "one that is there is opened again");
    let ending = SessionEnding::Clean;
    partition.ask(Command::CloseSession { session: SessionId(1), ending }).unwrap();
    assert_eq!(partition.ask(open(SESSIONS_PER_PARTITION_MAX + 1)), Ok(Reply::Done));
}

#[test]
fn a_partition_has_as_many_leases_as_it_may() {
    let mut partition = Partition::with(LEASES_PER_PARTITION_MAX as u32 + 1);
    let held = partition.hold(LEASES_PER_PARTITION_MAX);
    let more = Lease { request: RequestId(1), session: None, max_messages: 1, max_bytes: 1, lease_ms: None };
    assert_eq!(partition.ask(Command::Lease(more)), Err("too-many-leases"));
    partition.settle(None, held[0], Action::Ack);
    assert_eq!(partition.lease(2, None).len(), 1, "one lease came free");
}

#[test]
fn a_partition_remembers_as_many_dedup_ids_as_it_may() {
    let mut partition = Partition::with(0);
    let named = |first: usize, count: usize| {
        let dedup = (0..count).map(|at| DedupRecord { record: at as u32, id: DedupId((first + at) as u128) });
        Command::Enqueue(Enqueue { dedup: dedup.collect(), ..batch(count as u32) })
    };
    let step = BATCH_RECORDS_MAX as usize;
    for first in (0..DEDUP_IDS_REMEMBERED_MAX).step_by(step) {
        partition.ask(named(first, step.min(DEDUP_IDS_REMEMBERED_MAX - first))).unwrap();
    }
    assert_eq!(partition.ask(named(DEDUP_IDS_REMEMBERED_MAX, 1)), Err("too-many-dedup-ids"));
    assert!(partition.ask(named(0, 1)).is_ok(), "a duplicate needs no room");
    assert!(partition.ask(Command::Enqueue(batch(1))).is_ok(), "nor does a message without an id");
    partition.at.lease_clock = LeaseClock(DEDUP_WINDOW_MS);
    partition.ask(Command::Tick).unwrap();
    assert!(partition.ask(named(DEDUP_IDS_REMEMBERED_MAX, 1)).is_ok(), "the window has passed");
}

#[test]
fn the_outbox_takes_as_many_batches_as_it_may() {
    let steps = OUTBOX_BATCHES_MAX.div_ceil(OUTPUTS_MAX);
    let mut partition = Partition::with(steps as u32 + 1);
    let held = partition.hold(steps + 1);
    for (step, held) in held[..steps].iter().enumerate() {
        let count = OUTPUTS_MAX.min(OUTBOX_BATCHES_MAX - step * OUTPUTS_MAX);
        assert!(partition.ask(ack_and_append(&[*held], count)).is_ok());
    }
    assert_eq!(partition.queue.outbox().len(), OUTBOX_BATCHES_MAX);
    assert_eq!(partition.ask(ack_and_append(&held[steps..], 1)), Err("outbox-full"));
    assert!(partition.ask(ack_and_append(&held[steps..], 0)).is_ok(), "an ack alone needs no room");
}

#[test]
fn the_last_requests_batches_and_replays_are_remembered_and_no_more() {
    let mut partition = Partition::with(2);
    let held = partition.hold(2);
    partition.settle(Some(RequestId(1)), held[0], Action::Ack);
    let again = |lease: (MessageId, LeaseId)| {
        let items = vec![SettleItem { message: lease.0, lease: lease.1, action: Action::Ack }];
        Command::Settle(Settle { request: Some(RequestId(1)), items })
    };
    let outcomes = |settled| Ok(Reply::Settled { outcomes: vec![settled] });
    // The lease of both messages is a request, too.
    for number in 2..REQUESTS_REMEMBERED_MAX as u64 {
        let request = Some(RequestId(number));
        partition.at.lease_clock = LeaseClock(number);
        partition.ask(Command::Settle(Settle { request, items: Vec::new() })).unwrap();
    }
    assert_eq!(partition.ask(again(held[0])), outcomes(Settled::Done));
    for number in 1..=2 {
        let request = Some(RequestId(number << 20));
        partition.ask(Command::Settle(Settle { request, items: Vec::new() })).unwrap();
    }
    assert_eq!(partition.ask(again(held[0])), outcomes(Settled::LeaseLost), "it was forgotten");

    let of_producer = |sequence| {
        let producer = ProducerBatch { id: ProducerId(1), epoch: ProducerEpoch(0), sequence };
        Command::Enqueue(Enqueue { producer: Some(producer), ..batch(1) })
    };
    for sequence in 0..=PRODUCER_BATCHES_REMEMBERED_MAX as u32 {
        partition.ask(of_producer(sequence)).unwrap();
    }
    assert_eq!(partition.ask(of_producer(0)), Err("out-of-sequence"));
    assert!(matches!(partition.ask(of_producer(1)), Ok(Reply::Enqueued { repeated: true, .. })));

    let replay = |number| {
        let (request, from) = (RequestId(number), MessageId(0));
        Command::Replay(Replay { request, from, next: from, end: from, batch: None })
    };
    for number in 0..=REPLAYS_REMEMBERED_MAX as u64 {
        partition.ask(replay(number)).unwrap();
    }
    assert!(partition.queue.replayed(RequestId(0)).is_none());
    assert!(partition.queue.replayed(RequestId(1)).is_some());
}

fn inherit(keys: usize, ids: usize) -> Inherit {
    let id = |id: usize| InheritedId { id: DedupId(id as u128), message: MessageId(0), left_ms: 1_000 };
    Inherit {
        parent: GroupId(7),
        lease_base: LeaseId(0),
        sources: Vec::new(),
        dedup: (0..ids).map(id).collect(),
        keys: (0..keys).map(|key| KeyHash(key as u32)).collect(),
    }
}

#[test]
fn a_step_of_an_inheritance_has_as_many_keys_and_dedup_ids_as_it_may() {
    let mut partition = Partition::of(QueuePolicy { fifo: true, ..QueuePolicy::default() });
    let max = INHERITED_PER_STEP_MAX;
    let keys = |count| inherit(count, 0).keys;
    let above = |lease| Inherit { lease_base: LeaseId(lease), ..inherit(0, 0) };
    for (what, beyond, within) in [
        ("keys", Command::Inherit(inherit(max + 1, 0)), Command::Inherit(inherit(max, 0))),
        ("dedup ids", Command::Inherit(inherit(0, max + 1)), Command::Inherit(inherit(0, max))),
        ("leases", Command::Inherit(above(LEASE_BASE_MAX + 1)), Command::Inherit(above(LEASE_BASE_MAX))),
        (
            "drained keys",
            Command::Drained { parent: GroupId(7), keys: keys(max + 1) },
            Command::Drained { parent: GroupId(7), keys: keys(max) },
        ),
        (
            "confirmed keys",
            Command::ConfirmDrained { keys: keys(max + 1) },
            Command::ConfirmDrained { keys: keys(max) },
        ),
    ] {
        assert_eq!(partition.ask(beyond), Err("invalid-command"), "{what}");
        assert_eq!(partition.ask(within), Ok(Reply::Done), "{what}");
    }
}

#[test]
fn what_does_not_fit_into_a_step_of_an_inheritance_comes_in_the_next() {
    let mut parent = Partition::of(QueuePolicy { fifo: true, ..QueuePolicy::default() });
    let all = INHERITED_PER_STEP_MAX as u32 + 1;
    let run =
        |key| Run { count: 1, attributes: Attributes { key: Some(KeyHash(key)), ..Attributes::default() } };
    let runs = (0..all).map(run).collect();
    parent.ask(Command::Enqueue(Enqueue { runs, ..batch(all) })).unwrap();
    parent.ask(Command::Seal).unwrap();
    let range = |last| KeyRange::new(KeyHash(0), KeyHash(last)).unwrap();
    assert_eq!(parent.queue.inheritance(GroupId(7), range(all - 2)).len(), 1);
    let steps = parent.queue.inheritance(GroupId(7), range(all));
    assert_eq!(steps.iter().map(|step| step.keys.len()).collect::<Vec<_>>(), [INHERITED_PER_STEP_MAX, 1]);
    let mut child = Partition::of(QueuePolicy { fifo: true, ..QueuePolicy::default() });
    for step in steps {
        child.ask(Command::Inherit(step)).unwrap();
    }
    let inherited = child.queue.inheritance(GroupId(8), KeyRange::ALL);
    assert_eq!(inherited.iter().map(|step| step.keys.len()).sum::<usize>(), all as usize);
    parent.ask(Command::Purge { before: None, max: u32::MAX }).unwrap();
    assert_eq!(parent.queue.drained().len(), 10_000, "a purge goes by steps");
    for _ in 0..5 {
        parent.ask(Command::Purge { before: None, max: u32::MAX }).unwrap();
    }
    assert_eq!(parent.queue.drained().len(), INHERITED_PER_STEP_MAX);
    assert_eq!(parent.queue.drained_in(range(9)).len(), 10);
}

#[test]
fn a_child_inherits_as_many_dedup_ids_as_it_can_remember() {
    let mut partition = Partition::with(0);
    let steps = DEDUP_IDS_REMEMBERED_MAX / INHERITED_PER_STEP_MAX;
    for step in 0..=steps {
        let mut more = inherit(0, INHERITED_PER_STEP_MAX);
        more.dedup.iter_mut().for_each(|known| known.id.0 += (step * INHERITED_PER_STEP_MAX) as u128);
        assert_eq!(partition.ask(Command::Inherit(more)), Ok(Reply::Done));
    }
    let known = partition.queue.inheritance(GroupId(8), KeyRange::ALL);
    assert_eq!(known.iter().map(|step| step.dedup.len()).sum::<usize>(), DEDUP_IDS_REMEMBERED_MAX);
}
