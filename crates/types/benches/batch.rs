//! Building a batch of records and checking one as a node does at its door: `cargo bench -p weir-types`.

#![expect(clippy::unwrap_used, reason = "a benchmark may panic")]

use std::hint::black_box;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use weir_types::{BatchBuilder, BatchView};

/// Records of a batch and bytes of each.
const SHAPES: [(u32, usize); 3] = [(1, 1 << 10), (1_000, 100), (100, 1 << 10)];

fn build(records: u32, body: &[u8]) -> Bytes {
    let mut builder = BatchBuilder::new();
    for number in 0..records {
        builder.push(Some(&number.to_le_bytes()), Some(body), &[], 0).unwrap();
    }
    builder.build(None).unwrap()
}

fn batches(bench: &mut Criterion) {
    for (records, bytes) in SHAPES {
        let body = vec![7; bytes];
        let shape = format!("{records} x {bytes} B");
        let mut group = bench.benchmark_group("batch");
        group.throughput(Throughput::Elements(records.into()));
        group.bench_function(BenchmarkId::new("build", &shape), |timer| {
            timer.iter(|| build(black_box(records), &body));
        });
        let batch = build(records, &body);
        group.bench_function(BenchmarkId::new("verify", &shape), |timer| {
            timer.iter(|| {
                let view = BatchView::verify(black_box(&batch)).unwrap();
                view.check_records(view.section()).unwrap();
            });
        });
    }
}

criterion_group!(benches, batches);
criterion_main!(benches);
