//! A message's way through the queue machine, from its batch to its ack: `cargo bench -p weir-queue`.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use weir_queue::{Action, Attributes, Command, Enqueue, Lease, Queue, Reply, Run, Settle, SettleItem};
use weir_types::{At, KeyHash, LeaseId, Output, QueuePolicy, RequestId, Term};

/// Messages of a batch, of a lease and of a settle.
const MESSAGES: u32 = 100;
/// Left in the queue while others go through it.
const BACKLOG: u32 = 100_000;

struct Partition {
    queue: Queue,
    at: At,
}

impl Partition {
    fn new(policy: QueuePolicy) -> Self {
        Self { queue: Queue::new(policy, LeaseId(0)), at: At { term: Term(1), ..At::default() } }
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.at.index = self.at.index.next();
        self.queue.apply(self.at, command, &mut Output::default()).unwrap().unwrap()
    }

    /// Enqueues a batch, leases as many messages, and acks them.
    fn cycle(&mut self, runs: &[Run]) {
        self.enqueue(runs.to_vec());
        let lease = Lease {
            request: RequestId(self.at.index.0),
            session: None,
            max_messages: MESSAGES,
            max_bytes: u64::MAX,
            lease_ms: None,
        };
        let Reply::Leased { messages } = self.apply(Command::Lease(lease)) else { unreachable!("leases") };
        assert_eq!(messages.len(), MESSAGES as usize);
        let ack = |granted: &weir_queue::Granted| SettleItem {
            message: granted.message,
            lease: granted.lease,
            action: Action::Ack,
        };
        let items = messages.iter().map(ack).collect();
        self.apply(Command::Settle(Settle { request: None, items }));
    }

    fn enqueue(&mut self, runs: Vec<Run>) {
        let count = runs.iter().map(|run| run.count).sum();
        let batch = Enqueue {
            position: 0,
            length: count * 100,
            count,
            bytes: u64::from(count) * 100,
            producer: None,
            runs,
            dedup: Vec::new(),
        };
        self.apply(Command::Enqueue(batch));
    }
}

fn plain() -> Vec<Run> {
    vec![Run { count: MESSAGES, attributes: Attributes::default() }]
}

/// Each message has a key of its own.
fn keyed() -> Vec<Run> {
    let attributes = |number| Attributes { key: Some(KeyHash(number)), ..Attributes::default() };
    (0..MESSAGES).map(|number| Run { count: 1, attributes: attributes(number) }).collect()
}

fn cycles(bench: &mut Criterion) {
    let fifo = QueuePolicy { fifo: true, ..QueuePolicy::default() };
    let mut group = bench.benchmark_group("enqueue, lease, ack");
    group.throughput(Throughput::Elements(MESSAGES.into()));
    for (name, policy, runs) in [("plain", QueuePolicy::default(), plain()), ("fifo", fifo, keyed())] {
        let mut partition = Partition::new(policy.clone());
        group.bench_function(name, |timer| timer.iter(|| partition.cycle(&runs)));
        let mut partition = Partition::new(policy);
        for _ in 0..BACKLOG / MESSAGES {
            partition.enqueue(runs.clone());
        }
        group.bench_function(format!("{name}, a backlog of {BACKLOG}"), |timer| {
            timer.iter(|| partition.cycle(&runs));
        });
    }
}

criterion_group!(benches, cycles);
criterion_main!(benches);
