//! Entries through the log writer into `RocksDB`, each waited for until it is synced: `cargo bench -p weir-storage`. What is
//! measured is the disk as much as the code; several groups show how syncs are shared.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures::future::join_all;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use weir_storage::{GroupStore, LogClass, LogRecord, Options, Store};
use weir_types::{GroupId, LogIndex, Term};

/// Entries are deleted behind the newest ones, as retention would, so that the disk does not fill.
const KEPT: u64 = 1_000;

struct Log {
    store: GroupStore,
    next: u64,
}

impl Log {
    async fn append(&mut self, payload: Bytes) {
        let (done, synced) = oneshot::channel();
        let record = LogRecord { index: LogIndex(self.next), term: Term(1), kind: 0, payload };
        let tell = |result| done.send(result).expect("it is waited for");
        self.store.append(vec![record], tell).await.unwrap();
        synced.await.unwrap().unwrap();
        self.next += 1;
        if self.next.is_multiple_of(KEPT) {
            self.store.retire_before(LogIndex(self.next - KEPT)).await.unwrap();
        }
    }
}

fn appends(bench: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::rocks(directory.path());
    options.free_bytes_min = 0;
    let (store, _) = Store::open(&options).unwrap();
    let mut group = bench.benchmark_group("append and sync");
    let mut number = 0;
    for (groups, bytes) in [(1, 1 << 10), (1, 100 << 10), (16, 1 << 10), (16, 100 << 10)] {
        let mut logs: Vec<Log> = (0..groups)
            .map(|_| {
                number += 1;
                Log { store: store.group(GroupId(number), LogClass::Stream), next: 1 }
            })
            .collect();
        let payload = Bytes::from(vec![7; bytes]);
        group.throughput(Throughput::Bytes((bytes * logs.len()) as u64));
        group.bench_function(BenchmarkId::new(format!("{groups} groups"), bytes), |timer| {
            timer.iter(|| runtime.block_on(join_all(logs.iter_mut().map(|log| log.append(payload.clone())))));
        });
    }
}

criterion_group!(benches, appends);
criterion_main!(benches);
