//! The bytes of commands and rows are part of what later versions must read. `golden/*.txt` pins them: a line
//! that changes is a format that breaks.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod expected;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use weir_groups::{Command, Coordinator, Epoch, MemberId};
use weir_types::{At, Corrupt, GroupId, LeaseClock, Output, RequestId, TopicId, WallClock};

#[test]
fn commands_keep_their_bytes() {
    let mut text = String::new();
    for command in commands() {
        let bytes = command.encode();
        assert_eq!(Command::decode(&bytes).unwrap(), command);
        writeln!(text, "{}\n  {command:?}", hex(&bytes)).unwrap();
    }
    expected::compare(&expected::path("golden/commands.txt"), &text);
}

#[test]
fn rows_keep_their_bytes() {
    let mut coordinator = Coordinator::default();
    let mut text = String::new();
    for (now, command) in (0..).map(|step| step * 4_000).zip(commands()) {
        let mut out = Output::default();
        let at = At {
            lease_clock: LeaseClock(now),
            wall_clock: WallClock(1_700_000_000_000 + now),
            ..At::default()
        };
        let answer = coordinator.apply(at, command.clone(), &mut out).unwrap();
        answer.unwrap_or_else(|rejection| panic!("{command:?}: {rejection}"));
        for change in out.changes {
            let value = change.value.as_deref().map_or_else(|| "deleted".to_owned(), hex);
            writeln!(text, "{} = {value}", hex(&change.key)).unwrap();
        }
    }
    expected::compare(&expected::path("golden/rows.txt"), &text);
}

#[test]
fn bytes_of_another_version_or_length_are_refused() {
    let good = Command::DeleteGroup { group: "readers".to_owned() }.encode();
    let refused = |bytes: &[u8]| Command::decode(bytes).unwrap_err();
    assert_eq!(refused(&[]), Corrupt("groups command is empty".to_owned()));
    let mut newer = good.clone();
    newer[0] = 2;
    assert_eq!(refused(&newer), Corrupt("groups command has version 2, this program reads 1".to_owned()));
    let mut longer = good.clone();
    longer.push(0);
    assert_eq!(refused(&longer), Corrupt("groups command has 1 bytes too many".to_owned()));
    assert!(refused(&good[..good.len() - 1]).0.starts_with("groups command cannot be read"));
}

/// Every command once, in an order in which none is rejected.
fn commands() -> Vec<Command> {
    let group = || "readers".to_owned();
    let partitions = |topic: u32, list: &[u32]| Command::SetPartitions {
        topic: TopicId(topic),
        partitions: list.iter().copied().map(GroupId).collect(),
        version: 300,
    };
    let five = || BTreeSet::from([GroupId(5)]);
    let join = |member: &str, request: u64| Command::Join {
        group: group(),
        member: MemberId::from(member),
        topics: BTreeSet::from([TopicId(1), TopicId(2)]),
        session_timeout_ms: 10_000,
        request: RequestId(request),
    };
    vec![
        partitions(1, &[5, 500]),
        join("a", 1),
        join("b", u64::MAX),
        Command::Heartbeat {
            group: group(),
            member: MemberId::from("a"),
            epoch: Epoch(1),
            owned: BTreeSet::from([GroupId(500)]),
        },
        Command::Leave { group: group(), member: MemberId::from("a"), epoch: Epoch(1) },
        Command::Tick,
        Command::DeleteGroup { group: group() },
        Command::RaiseEpochs { above: Epoch(300) },
        // After a split: 5 is sealed, 600 and 70000 have its keys.
        join("c", 3),
        Command::SetLineage {
            topic: TopicId(1),
            partitions: [5, 500, 600, 70_000].into_iter().map(GroupId).collect(),
            parents: BTreeMap::from([(GroupId(600), five()), (GroupId(70_000), five())]),
            version: 301,
        },
        Command::Finish {
            group: group(),
            member: MemberId::from("c"),
            partition: GroupId(5),
            epoch: Epoch((1 << 32) + 2),
        },
        Command::SetLineage {
            topic: TopicId(1),
            partitions: [500, 600, 70_000].into_iter().map(GroupId).collect(),
            parents: BTreeMap::new(),
            version: 302,
        },
    ]
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
