//! Stored bytes and logged bytes outlive the program that wrote them: these may be added to, never changed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use weir_queue::{
    AckAndAppend, Action, Attributes, Command, DedupId, DedupRecord, Enqueue, Inherit, InheritedId, Lease,
    MessageRun, Move, ParkKind, ProducerBatch, Queue, Relocate, RelocatedBatch, Replay, Reply, Run, Select,
    SessionEnding, Settle, SettleItem, TenantRun, Transfer, Waiting,
};
use weir_types::{
    At, GroupId, KeyHash, LeaseClock, LeaseId, LogIndex, MessageId, Output, OutputBatch, ParkPolicy,
    ProducerEpoch, ProducerId, QueuePolicy, Recut, RequestId, SessionId, TenantHash, Term, TransferSequence,
    TransferSource, WallClock,
};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn at(index: u64, lease_ms: u64) -> At {
    let (lease_clock, wall_clock) = (LeaseClock(lease_ms), WallClock(1_700_000_000_000 + lease_ms));
    At { term: Term(3), index: LogIndex(index), lease_clock, wall_clock }
}

fn batch() -> Enqueue {
    let urgent = Attributes {
        key: Some(KeyHash(0x0102_0304)),
        priority: 7,
        deliver_at: Some(WallClock(1_700_000_009_000)),
        expires_at: Some(WallClock(1_700_000_099_000)),
    };
    Enqueue {
        position: 100,
        length: 300,
        count: 4,
        bytes: 400,
        producer: Some(ProducerBatch { id: ProducerId(5), epoch: ProducerEpoch(2), sequence: 0 }),
        runs: vec![Run { count: 3, attributes: Attributes::default() }, Run { count: 1, attributes: urgent }],
        dedup: vec![DedupRecord { record: 0, id: DedupId(0xabcd) }],
    }
}

fn tenants() -> Vec<TenantRun> {
    let run = |count, tenant| TenantRun { count, tenant };
    vec![run(2, Some(TenantHash::of(b"acme"))), run(2, None)]
}

fn shared() -> QueuePolicy {
    QueuePolicy { fair_by: Some("customer".to_owned()), ..QueuePolicy::default() }
}

fn lease(request: u64) -> Lease {
    Lease {
        request: RequestId(request),
        session: Some(SessionId(9)),
        max_messages: 2,
        max_bytes: 1_000,
        lease_ms: Some(5_000),
    }
}

fn settle() -> Settle {
    let item = |lease, action| SettleItem { message: MessageId(lease - 1), lease: LeaseId(lease), action };
    let items = vec![
        item(1, Action::Nack { delay_ms: Some(250) }),
        item(2, Action::Reject { reason: "broken".to_owned() }),
        item(3, Action::Ack),
        item(4, Action::Extend { lease_ms: 60_000 }),
        item(5, Action::Release),
    ];
    Settle { request: Some(RequestId(12)), items }
}

fn ack_and_append(lease: u64) -> AckAndAppend {
    AckAndAppend {
        request: Some(RequestId(14)),
        messages: vec![(MessageId(3), LeaseId(lease))],
        outputs: vec![OutputBatch { destination: GroupId(300), position: 7, length: 200 }],
    }
}

fn transfer() -> Transfer {
    Transfer {
        source: TransferSource { group: GroupId(301), channel: 2 },
        after: TransferSequence(0),
        sequence: TransferSequence(1),
        batch: Enqueue { producer: None, dedup: Vec::new(), ..batch() },
    }
}

/// `WEIR_UPDATE=1` writes the file anew, for bytes that were never released.
fn check(name: &str, got: &[String]) {
    let path = Path::new("tests/golden").join(name);
    let got = got.join("\n") + "\n";
    if std::env::var_os("WEIR_UPDATE").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    assert_eq!(got, std::fs::read_to_string(&path).unwrap(), "{name} changed");
}

fn replay() -> Replay {
    let batch = Enqueue { producer: None, dedup: Vec::new(), ..batch() };
    let (from, next) = (MessageId(0), MessageId(2));
    Replay { request: RequestId(17), from, next, end: MessageId(3), batch: Some(batch) }
}

fn inherit() -> Inherit {
    Inherit {
        parent: GroupId(302),
        lease_base: LeaseId(1 << 34),
        sources: vec![(TransferSource { group: GroupId(301), channel: 2 }, TransferSequence(41))],
        dedup: vec![InheritedId { id: DedupId(0xef01), message: MessageId(8), left_ms: 200_000 }],
        keys: vec![KeyHash(7), KeyHash(0x0102_0304)],
    }
}

fn recut() -> Recut {
    let (after, through) = (TransferSequence(4), TransferSequence(6));
    Recut { destination: GroupId(301), after, through, outputs: ack_and_append(0).outputs }
}

#[test]
fn commands_are_logged_in_these_bytes() {
    let commands = [
        Command::Enqueue(batch()),
        Command::Lease(lease(11)),
        Command::Settle(settle()),
        Command::OpenSession { session: SessionId(9) },
        Command::KeepSession { session: SessionId(9) },
        Command::CloseSession { session: SessionId(9), ending: SessionEnding::Lost },
        Command::Redrive { select: Select::Reason(ParkKind::Rejected), max: 100 },
        Command::Discard { select: Select::One(MessageId(7)), max: 1 },
        Command::CancelScheduled { message: MessageId(3) },
        Command::Purge { before: Some(MessageId(500)), max: 10 },
        Command::SetPolicy { policy: QueuePolicy::default() },
        Command::Tick,
        Command::AckAndAppend(ack_and_append(4)),
        Command::ConfirmTransfer { destination: GroupId(300), through: TransferSequence(2) },
        Command::AcceptTransfer(transfer()),
        Command::Move(Move {
            waiting: Waiting::Parked,
            messages: vec![MessageId(300)],
            outputs: ack_and_append(0).outputs,
        }),
        Command::SetPolicy {
            policy: QueuePolicy {
                park: ParkPolicy::BlockKey,
                max_inflight: Some(300),
                max_inflight_per_session: Some(2),
                ..QueuePolicy::default()
            },
        },
        Command::Replay(replay()),
        Command::enqueue(batch(), tenants()),
        Command::accept_transfer(transfer(), tenants()),
        Command::replay(replay(), tenants()),
        Command::SetPolicy { policy: shared() },
        Command::Relocate(Relocate {
            batches: vec![RelocatedBatch {
                position: 300,
                length: 70_000,
                runs: vec![
                    MessageRun { first: MessageId(1), count: 2 },
                    MessageRun { first: MessageId(500), count: 1 },
                ],
            }],
        }),
        Command::RaiseLeases,
        Command::Seal,
        Command::Inherit(inherit()),
        Command::Drained { parent: GroupId(302), keys: vec![KeyHash(0x0102_0304), KeyHash(7)] },
        Command::ConfirmDrained { keys: vec![KeyHash(0x0102_0304)] },
        Command::Recut(recut()),
    ];
    let bytes: Vec<Vec<u8>> =
        commands.iter().map(|command| postcard::to_allocvec(command).unwrap()).collect();
    for (command, bytes) in commands.iter().zip(&bytes) {
        assert_eq!(postcard::from_bytes::<Command>(bytes).unwrap(), *command);
    }
    let got: Vec<String> = bytes.iter().map(|bytes| hex(bytes)).collect();
    check("commands.txt", &got);
}

#[test]
fn rows_are_stored_in_these_bytes() {
    let mut queue = Queue::new(QueuePolicy::default(), LeaseId(0));
    let mut out = Output::default();
    let begin = [Command::OpenSession { session: SessionId(9) }, Command::Enqueue(batch())];
    queue.apply_entry(at(10, 1_000), begin, &mut out).unwrap();
    queue.apply(at(11, 2_000), Command::Lease(lease(11)), &mut out).unwrap().unwrap();
    queue.apply(at(12, 3_000), Command::Settle(settle()), &mut out).unwrap().unwrap();
    queue.apply(at(13, 4_000), Command::Lease(lease(13)), &mut out).unwrap().unwrap();
    let lost = Command::CloseSession { session: SessionId(9), ending: SessionEnding::Lost };
    queue.apply(at(14, 9_000), lost, &mut out).unwrap().unwrap();
    queue.apply(at(15, 9_000), Command::AcceptTransfer(transfer()), &mut out).unwrap().unwrap();
    let unbound = Command::Lease(Lease { session: None, ..lease(15) });
    let granted = queue.apply(at(16, 9_000), unbound, &mut out).unwrap().unwrap();
    let Reply::Leased { messages } = granted else { panic!("{granted:?}") };
    let done = (messages[0].message, messages[0].lease);
    let step = AckAndAppend { messages: vec![done], ..ack_and_append(0) };
    queue.apply(at(17, 9_000), Command::AckAndAppend(step), &mut out).unwrap().unwrap();
    let policy = QueuePolicy { keep_ms: Some(60_000), ..QueuePolicy::default() };
    queue.apply(at(18, 9_000), Command::SetPolicy { policy }, &mut out).unwrap().unwrap();
    let granted = queue.apply(at(19, 9_000), Command::Lease(Lease { session: None, ..lease(16) }), &mut out);
    let Ok(Ok(Reply::Leased { messages })) = granted else { panic!("{granted:?}") };
    let (message, lease) = (messages[0].message, messages[0].lease);
    let items = vec![SettleItem { message, lease, action: Action::Ack }];
    let ack = Command::Settle(Settle { request: None, items });
    queue.apply(at(20, 9_500), ack, &mut out).unwrap().unwrap();
    queue.apply(at(21, 9_500), Command::Replay(replay()), &mut out).unwrap().unwrap();

    check("rows.txt", &rows_in_words(&out));
}

fn rows_in_words<E>(out: &Output<E>) -> Vec<String> {
    let words = out.changes.iter().map(|change| {
        let value = change.value.as_ref().map_or_else(|| "-".to_owned(), |value| hex(value));
        format!("{} {value} {}", hex(&change.key), weir_queue::describe(change).unwrap())
    });
    words.collect()
}

#[test]
fn rows_of_tenants_are_stored_in_these_bytes() {
    let mut queue = Queue::new(shared(), LeaseId(0));
    let mut out = Output::default();
    queue.apply(at(10, 1_000), Command::enqueue(batch(), tenants()), &mut out).unwrap().unwrap();
    let unbound =
        |request, max_messages| Command::Lease(Lease { session: None, max_messages, ..lease(request) });
    queue.apply(at(11, 2_000), unbound(11, 1), &mut out).unwrap().unwrap();
    queue.apply(at(12, 3_000), unbound(12, 1), &mut out).unwrap().unwrap();
    // The last turn of the rank goes to a message without a tenant.
    queue.apply(at(13, 3_000), unbound(13, 2), &mut out).unwrap().unwrap();
    check("rows_of_tenants.txt", &rows_in_words(&out));
}

#[test]
fn rows_of_a_split_are_stored_in_these_bytes() {
    let policy = QueuePolicy { fifo: true, ..QueuePolicy::default() };
    let mut queue = Queue::new(policy, LeaseId(0));
    let mut out = Output::default();
    let mut apply = |index, command| queue.apply(at(index, 1_000), command, &mut out).unwrap().unwrap();
    // A child, which is sealed in its turn while it waits.
    apply(10, Command::Inherit(inherit()));
    let plain =
        Enqueue { count: 1, bytes: 100, producer: None, runs: Vec::new(), dedup: Vec::new(), ..batch() };
    let attributes = Attributes { key: Some(KeyHash(9)), ..Attributes::default() };
    apply(11, Command::Enqueue(Enqueue { runs: vec![Run { count: 1, attributes }], ..plain }));
    apply(12, Command::Seal);
    let granted = apply(13, Command::Lease(Lease { session: None, ..lease(18) }));
    let Reply::Leased { messages } = granted else { panic!("{granted:?}") };
    let items =
        vec![SettleItem { message: messages[0].message, lease: messages[0].lease, action: Action::Ack }];
    apply(14, Command::Settle(Settle { request: None, items }));
    apply(15, Command::Drained { parent: GroupId(302), keys: vec![KeyHash(7)] });
    apply(16, Command::ConfirmDrained { keys: vec![KeyHash(9)] });
    check("rows_of_a_split.txt", &rows_in_words(&out));
}
