//! The bytes of commands and rows are part of what later versions must read. `golden/*.txt` pins them: a line
//! that changes is a format that breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use weir_metadata::{
    Addresses, Command, Described, Founder, Level, LinkKind, PolicyChange, Registry, ReplicaMove, Reshape,
};
use weir_types::{
    At, Backoff, ClusterId, Corrupt, GroupId, Incarnation, KeyHash, NodeId, Offset, Output, ParkPolicy,
    ReplicaId, RequestId, TopicId, TopicKind, TopicPolicy, WallClock,
};

#[test]
fn commands_keep_their_bytes() {
    let mut text = String::new();
    for command in commands().into_iter().chain(reshaping()) {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).unwrap(), command);
        writeln!(text, "{}\n  {command:?}", hex(&bytes)).unwrap();
    }
    expected::compare(&expected::path("golden/commands.txt"), &text);
}

#[test]
fn rows_keep_their_bytes() {
    let mut registry = Registry::default();
    let mut text = String::new();
    for command in commands().into_iter().chain(reshaping()) {
        let mut out = Output::default();
        let at = At { wall_clock: WallClock(1_700_000_000_000), ..At::default() };
        let answer = registry.apply(at, command.clone(), &mut out).unwrap();
        answer.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
        for change in out.changes {
            let value = change.value.as_deref().map_or_else(|| "deleted".to_owned(), hex);
            writeln!(text, "{} = {value}", hex(&change.key)).unwrap();
        }
    }
    expected::compare(&expected::path("golden/rows.txt"), &text);
}

/// What a backup keeps of that registry, and what a restore of it writes.
#[test]
fn a_backup_and_its_restore_keep_their_bytes() {
    let text = backed_up_and_restored(&commands(), |request, described| {
        assert!(described.lineages.is_empty());
        Command::BeginRestore { request, described: described.description }
    });
    expected::compare(&expected::path("golden/restore.txt"), &text);
}

/// The same while there are parents and children.
#[test]
fn a_backup_with_lineages_and_its_restore_keep_their_bytes() {
    let reshaped: Vec<_> = commands().into_iter().chain(reshaping().into_iter().take(13)).collect();
    let text = backed_up_and_restored(&reshaped, |request, described| {
        assert_eq!(described.lineages.len(), 5);
        Command::BeginRestoreOf { request, described }
    });
    expected::compare(&expected::path("golden/restore_lineages.txt"), &text);
}

fn backed_up_and_restored(all: &[Command], begin: fn(RequestId, Described) -> Command) -> String {
    let apply = |registry: &mut Registry, command: Command| {
        let mut out = Output::default();
        let at = At { wall_clock: WallClock(1_700_000_000_000), ..At::default() };
        registry.apply(at, command, &mut out).unwrap().unwrap();
        out.changes
    };
    let mut registry = Registry::default();
    for command in all {
        apply(&mut registry, command.clone());
    }
    let described = registry.describe().unwrap();
    assert_eq!(Described::decode(&described.encode()).unwrap(), described);
    let mut text = format!("{}\n", hex(&described.encode()));
    let mut other = Registry::default();
    apply(&mut other, all[0].clone());
    apply(&mut other, all[3].clone());
    let request = RequestId(7);
    for command in [begin(request, described), Command::AbandonRestore { request }] {
        assert_eq!(Command::decode(&command.encode()).unwrap(), command);
        writeln!(text, "{}", hex(&command.encode())).unwrap();
        for change in apply(&mut other, command) {
            let value = change.value.as_deref().map_or_else(|| "deleted".to_owned(), hex);
            writeln!(text, "  {} = {value}", hex(&change.key)).unwrap();
        }
    }
    writeln!(text, "{}", hex(&Command::FinishRestore { request }.encode())).unwrap();
    text
}

#[test]
fn bytes_of_another_version_or_length_are_refused() {
    let good = Command::RemoveNode { node: NodeId(3) }.encode();
    let refused = |bytes: &[u8]| Command::decode(bytes).unwrap_err();
    assert_eq!(refused(&[]), Corrupt("metadata command is empty".to_owned()));
    let mut newer = good.clone();
    newer[0] = 2;
    assert_eq!(refused(&newer), Corrupt("metadata command has version 2, this program reads 1".to_owned()));
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(refused(&longer), Corrupt("metadata command has 1 bytes too many".to_owned()));
    assert!(refused(&good[..good.len() - 1]).0.starts_with("metadata command cannot be read"));
}

fn link(kind: LinkKind, starts: &[(GroupId, Offset)]) -> Command {
    let (from, to) = (TopicId(1), TopicId(2));
    Command::CreateLink { kind, from, to, starts: starts.iter().copied().collect() }
}

fn groups() -> Vec<PolicyChange> {
    vec![PolicyChange::RetentionGroups(["audit".to_owned(), "sum".to_owned()].into())]
}

fn compaction() -> Vec<PolicyChange> {
    vec![
        PolicyChange::RetentionGroups(BTreeSet::new()),
        PolicyChange::Compact(true),
        PolicyChange::CompactAfterMs(1_000),
        PolicyChange::TombstoneMs(2_000),
    ]
}

/// Every command and every setting once, in an order in which none is rejected.
#[expect(clippy::too_many_lines, reason = "one of each command")]
fn commands() -> Vec<Command> {
    let addresses =
        |at: &str| Addresses { peer: format!("{at}:1"), client: format!("{at}:2"), http: "h:3".into() };
    let founder = |n: u64| Founder {
        node: NodeId(n),
        replica: ReplicaId(n),
        incarnation: Incarnation(0x0100 + n),
        name: format!("n{n}"),
        addresses: addresses(&format!("n{n}")),
        rack: (n == 1).then(|| "east".to_owned()),
    };
    let queue = vec![
        PolicyChange::MaxInflightPerKey(2),
        PolicyChange::LeaseMs(60_000),
        PolicyChange::AttemptsMax(3),
        PolicyChange::Backoff(Backoff { base_ms: 10, max_ms: 1_000 }),
        PolicyChange::TtlMs(Some(5_000)),
        PolicyChange::Park(ParkPolicy::ParkKey),
        PolicyChange::BytesMax(1 << 20),
        PolicyChange::MessagesMax(1_000),
        PolicyChange::MaxInflight(Some(10)),
        PolicyChange::MaxInflightPerSession(Some(2)),
        PolicyChange::KeepMs(Some(7_000)),
        PolicyChange::KeepBytesMax(1 << 20),
    ];
    let stream = vec![PolicyChange::RetentionAgeMs(None), PolicyChange::RetentionBytes(Some(1 << 30))];
    let create = |request: u64, name: &str, kind| Command::CreateTopic {
        request: RequestId(request),
        name: name.to_owned(),
        policy: TopicPolicy::default_for(kind),
        partitions: 1,
        replicas: 2,
    };
    let voters = BTreeMap::from([(ReplicaId(1), NodeId(1)), (ReplicaId(2), NodeId(2))]);
    let learners = BTreeMap::from([(ReplicaId(9), NodeId(3))]);
    let registered = |incarnation: u64, at: &str| Command::RegisterNode {
        incarnation: Incarnation(incarnation),
        name: at.to_owned(),
        addresses: addresses(at),
        rack: Some("west".to_owned()),
    };
    vec![
        Command::FormCluster {
            cluster: ClusterId(0xabcd),
            founders: vec![founder(1), founder(2)],
            coordinator_shards: 1,
        },
        create(1, "tasks", TopicKind::Queue),
        create(2, "events", TopicKind::Stream),
        registered(0x0200, "n3"),
        registered(0x0201, "n4"),
        Command::AlterTopic { topic: TopicId(1), changes: queue },
        Command::AlterTopic { topic: TopicId(2), changes: stream },
        Command::InitProducer { name: None, request: RequestId(3) },
        Command::InitProducer { name: Some("orders".to_owned()), request: RequestId(4) },
        Command::PartitionFormed { group: GroupId(1) },
        Command::MembershipChanged { group: GroupId::METADATA, voters, learners, generation: 7 },
        Command::ReissueReplicas {
            node: NodeId(1),
            incarnation: Incarnation(0x0101),
            request: RequestId(0xffff_ffff_ffff_ffff),
        },
        Command::RemoveNode { node: NodeId(2) },
        registered(0x0300, "n3"),
        link(LinkKind::Forward, &[(GroupId(300), Offset(301))]),
        Command::DeleteLink { kind: LinkKind::Forward, from: TopicId(1), to: TopicId(2) },
        link(LinkKind::DeadLetter, &[]),
        Command::DeleteTopic { topic: TopicId(1) },
        Command::AlterTopic { topic: TopicId(2), changes: groups() },
        Command::AlterTopic { topic: TopicId(2), changes: compaction() },
        registered(0x0301, "n6"),
        registered(0x0302, "n7"),
        create(5, "later", TopicKind::Queue),
        Command::MoveReplicas {
            moves: vec![ReplicaMove { group: GroupId(4), from: NodeId(1), to: NodeId(6) }],
        },
        Command::CancelMoves { groups: vec![GroupId(4)] },
        Command::DrainNode { node: NodeId(7), down: BTreeSet::from([NodeId(4)]) },
        Command::CancelDrain { node: NodeId(7) },
        Command::RecoverNode { node: NodeId(1), down: BTreeSet::from([NodeId(1), NodeId(4)]) },
        Command::AlterTopic {
            topic: TopicId(3),
            changes: vec![PolicyChange::FairBy(Some("customer".to_owned()))],
        },
        Command::SetReplicas {
            topic: TopicId(3),
            replicas: 3,
            changes: vec![PolicyChange::LeaseMs(1_000)],
            down: BTreeSet::from([NodeId(7)]),
        },
        registered(0x0303, "n8"),
        Command::ReplaceNode { node: NodeId(7), by: NodeId(8), down: BTreeSet::from([NodeId(7)]) },
        Command::RaiseLevel { level: Level(2), known: (1..=8).map(|n| (NodeId(n), Level(2))).collect() },
        Command::JoinNode {
            incarnation: Incarnation(0x0304),
            name: "n9".to_owned(),
            addresses: addresses("n9"),
            rack: None,
            knows: Level(2),
        },
        Command::FoundCluster {
            cluster: ClusterId(0xabcd),
            founders: vec![founder(1)],
            coordinator_shards: 1,
            level: Level(2),
        },
    ]
}

/// What splits and merges partitions of a topic that [`commands`] leave, until the last parents are gone.
fn reshaping() -> Vec<Command> {
    let reshape = |request: u64, steps: &[Reshape]| Command::Reshape {
        topic: TopicId(2),
        request: RequestId(request),
        steps: steps.to_vec(),
        down: BTreeSet::from([NodeId(4)]),
    };
    let formed = |group: u32| Command::PartitionFormed { group: GroupId(group) };
    let sealed = |group: u32| Command::PartitionSealed { group: GroupId(group) };
    let at = Some(KeyHash(0x4000_0000));
    vec![
        reshape(6, &[Reshape::Split { parent: GroupId(3), at }]),
        formed(5),
        formed(6),
        sealed(3),
        Command::RetirePartition { group: GroupId(3) },
        reshape(7, &[Reshape::Split { parent: GroupId(6), at: None }]),
        formed(7),
        formed(8),
        sealed(6),
        reshape(8, &[Reshape::Merge { left: GroupId(5), right: GroupId(7) }]),
        formed(9),
        sealed(5),
        sealed(7),
        Command::RetirePartition { group: GroupId(5) },
        Command::RetirePartition { group: GroupId(6) },
        Command::DeleteTopic { topic: TopicId(2) },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
