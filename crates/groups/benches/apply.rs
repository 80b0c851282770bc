//! Members of consumer groups in the coordinator's machine: `cargo bench -p weir-groups`.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::collections::BTreeSet;

use criterion::{Criterion, criterion_group, criterion_main};
use weir_groups::{Command, Coordinator, Epoch, MemberId, Reply};
use weir_types::{At, GroupId, Output, RequestId, Term, TopicId};

const TOPIC: TopicId = TopicId(1);
const PARTITIONS: u32 = 300;
const MEMBERS: u64 = 100;

struct Shard {
    coordinator: Coordinator,
    at: At,
}

impl Shard {
    /// A topic, and a group with so many members, none of which has said that it gave anything up.
    fn new(members: u64) -> (Self, Vec<(MemberId, Epoch)>) {
        let mut shard =
            Self { coordinator: Coordinator::default(), at: At { term: Term(1), ..At::default() } };
        let partitions = (1..=PARTITIONS).map(GroupId).collect();
        shard.apply(Command::SetPartitions { topic: TOPIC, partitions, version: 1 });
        let joined = (0..members).map(|number| shard.join(number)).collect();
        (shard, joined)
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.at.index = self.at.index.next();
        self.coordinator.apply(self.at, command, &mut Output::default()).unwrap().unwrap()
    }

    fn join(&mut self, number: u64) -> (MemberId, Epoch) {
        let member = MemberId(format!("member {number}"));
        let join = Command::Join {
            group: "group".to_owned(),
            member: member.clone(),
            topics: BTreeSet::from([TOPIC]),
            session_timeout_ms: 10_000,
            request: RequestId(number),
        };
        let Reply::Joined { epoch, .. } = self.apply(join) else { unreachable!("joins") };
        (member, epoch)
    }
}

fn members(bench: &mut Criterion) {
    let (mut shard, joined) = Shard::new(MEMBERS);
    let mut turns = joined.iter().cycle();
    bench.bench_function(&format!("heartbeats of {MEMBERS} members in turn"), |timer| {
        timer.iter(|| {
            let (member, epoch) = turns.next().unwrap().clone();
            let group = "group".to_owned();
            shard.apply(Command::Heartbeat { group, member, epoch, owned: BTreeSet::new() })
        });
    });
    bench.bench_function(&format!("{MEMBERS} members join, {PARTITIONS} partitions"), |timer| {
        timer.iter(|| Shard::new(MEMBERS));
    });
}

criterion_group!(benches, members);
criterion_main!(benches);
