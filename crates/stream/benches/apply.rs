//! Appends and commits in the stream machine: `cargo bench -p weir-stream`.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_stream::{Append, Command, CommitOffset, GroupEpoch, Movement, Stream};
use weir_types::{At, Offset, Output, ProducerEpoch, ProducerId, ProducerSequence, StreamPolicy, Term};

/// Records of a batch.
const RECORDS: u32 = 100;
const PRODUCERS: u64 = 1_000;
const GROUPS: u64 = 1_000;

struct Partition {
    stream: Stream,
    at: At,
}

impl Partition {
    fn new() -> Self {
        Self { stream: Stream::new(StreamPolicy::default()), at: At { term: Term(1), ..At::default() } }
    }

    fn apply(&mut self, command: Command) {
        self.at.index = self.at.index.next();
        self.stream.apply(self.at, command, &mut Output::default()).unwrap().unwrap();
    }

    fn append(&mut self, producer: Option<ProducerSequence>) {
        let batch =
            Append { position: 0, length: RECORDS * 100, count: RECORDS, producer, max_timestamp_ms: 0 };
        self.apply(Command::Append(batch));
    }
}

fn appends(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("append");
    group.throughput(Throughput::Elements(RECORDS.into()));
    let mut partition = Partition::new();
    group.bench_function("without a producer", |timer| timer.iter(|| partition.append(None)));
    let mut partition = Partition::new();
    let mut turn = 0u64;
    group.bench_function(format!("of {PRODUCERS} producers in turn"), |timer| {
        timer.iter(|| {
            let (round, id) = (turn / PRODUCERS, ProducerId(turn % PRODUCERS));
            let base_sequence = ProducerSequence::advance(0, (round * u64::from(RECORDS)) as u32);
            partition.append(Some(ProducerSequence { id, epoch: ProducerEpoch(0), base_sequence }));
            turn += 1;
        });
    });
}

fn commits(bench: &mut Criterion) {
    let mut partition = Partition::new();
    partition.append(None);
    let mut turn = 0u64;
    bench.bench_function(&format!("commits of {GROUPS} groups in turn"), |timer| {
        timer.iter(|| {
            partition.apply(Command::CommitOffset(CommitOffset {
                group: format!("group {}", turn % GROUPS),
                epoch: GroupEpoch(0),
                offset: Offset(turn / GROUPS % u64::from(RECORDS)),
                metadata: String::new(),
                movement: Movement::Reset,
            }));
            turn += 1;
        });
    });
}

criterion_group!(benches, appends, commits);
criterion_main!(benches);
