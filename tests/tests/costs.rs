//! What a message costs, in figures that a busy machine does not change: allocations, bytes allocated, bytes logged. A
//! change that makes messages dearer fails here; a benchmark would blame the machine.
//!
//! Three nodes and the client share this process, and the figures are those of all four. Every copy of a body needs memory
//! to be copied into, so the bytes allocated per byte of large bodies bound how often one is copied (`RocksDB`, which is no
//! Rust, copies each once more per node into its memtable, and the kernel at each socket and file). Whoever makes messages cheaper
//! lowers the limits; they lie about a quarter above what was measured.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::cast_precision_loss, reason = "counts of a test are far below 2^52")]

use std::alloc::System;
use std::sync::LazyLock;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tempfile::TempDir;
use weir_client::{
    Client, NewTopic, Producer, ProducerOptions, ReadUntil, ReaderOptions, ReceiveOptions, Record, Settle,
    SettleAction,
};
use weir_server::{DevCluster, DevOptions};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Of the process: the tests run in one each, or else one after the other.
static METRICS: LazyLock<PrometheusHandle> =
    LazyLock::new(|| PrometheusBuilder::new().install_recorder().unwrap());

const TOPIC: &str = "costs";
const SMALL: usize = 1 << 10;
const LARGE: usize = 64 << 10;
/// Records of a batch of small ones; large ones fill batches by their bytes.
const BATCH_RECORDS: u32 = 100;
/// Sent at once, ten times over.
const ROUND: usize = 1_000;
const ROUNDS: usize = 10;

/// A cluster in this process, and a client of it.
struct Bench {
    cluster: DevCluster,
    client: Client,
    _data: TempDir,
}

/// What may be spent.
struct Limits {
    /// Allocations per message.
    allocations: f64,
    /// Bytes allocated per byte of bodies.
    allocated: f64,
    /// Bytes given to log writers per byte of bodies: three, and what surrounds them.
    logged: f64,
}

impl Bench {
    async fn start(topic: NewTopic) -> Self {
        LazyLock::force(&METRICS);
        let data = tempfile::tempdir().unwrap();
        let options = DevOptions { nodes: 3, data: data.path().to_owned(), port: 0 };
        let cluster = DevCluster::start(&options).await.unwrap();
        let client = Client::connect(weir_client::ClientOptions::new(cluster.seeds())).await.unwrap();
        client.admin().create_topic(topic).await.unwrap();
        Self { cluster, client, _data: data }
    }

    async fn producer(&self) -> Producer {
        let options = ProducerOptions { batch_records_max: BATCH_RECORDS, ..ProducerOptions::default() };
        self.client.producer(TOPIC, options).await.unwrap()
    }

    /// Does some work on `messages` bodies of `bytes` each, and holds its costs against the limits.
    async fn spend(
        &self,
        (messages, bytes): (usize, usize),
        work: impl Future<Output = ()>,
        limits: &Limits,
    ) {
        let logged = Self::logged();
        let heap = Region::new(HEAP);
        work.await;
        let heap = heap.change();
        let (messages, bodies) = (messages as f64, (messages * bytes) as f64);
        let allocations = (heap.allocations + heap.reallocations) as f64 / messages;
        let allocated = heap.bytes_allocated as f64 / bodies;
        let logged = (Self::logged() - logged) / bodies;
        eprintln!(
            "{allocations:.2} allocations per message; per byte {allocated:.2} allocated, {logged:.3} logged"
        );
        assert!(allocations <= limits.allocations, "{allocations} allocations per message");
        assert!(allocated <= limits.allocated, "{allocated} bytes allocated per byte");
        assert!(logged <= limits.logged, "{logged} bytes logged per byte");
    }

    /// Bytes that log writers were given so far.
    fn logged() -> f64 {
        let page = METRICS.render();
        let line = page.lines().find_map(|line| line.strip_prefix("weir_storage_sync_bytes_sum "));
        line.unwrap().parse().unwrap()
    }

    async fn stop(self) {
        drop(self.client);
        self.cluster.run_until(std::future::ready(())).await.unwrap();
    }
}

async fn publish(producer: &Producer, rounds: usize, size: usize) {
    let body = bytes::Bytes::from(vec![7; size]);
    // The buffer of a producer holds a round of small bodies, or as many bytes of large ones.
    for _ in 0..rounds {
        let mut sent = Vec::with_capacity(ROUND);
        for _ in 0..ROUND {
            sent.push(producer.send(Record::new(body.clone())).await.unwrap());
        }
        for delivery in sent {
            delivery.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_record_of_a_stream_costs_no_more_than_it_did() {
    let bench = Bench::start(NewTopic::stream(TOPIC)).await;
    let producer = bench.producer().await;
    publish(&producer, 1, SMALL).await;
    let limits = Limits { allocations: 2.9, allocated: 14.5, logged: 3.2 };
    bench.spend((ROUNDS * ROUND, SMALL), publish(&producer, ROUNDS, SMALL), &limits).await;

    let limits = Limits { allocations: 0.5, allocated: 5.6, logged: 0.1 };
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = bench.client.stream_reader(TOPIC, options).await.unwrap();
    let read = async {
        let mut count = 0;
        while let Some(record) = reader.next().await {
            record.unwrap();
            count += 1;
        }
        assert_eq!(count, (ROUNDS + 1) * ROUND);
    };
    bench.spend(((ROUNDS + 1) * ROUND, SMALL), read, &limits).await;
    producer.close().await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_body_is_copied_no_more_often_than_it_was() {
    let bench = Bench::start(NewTopic::stream(TOPIC)).await;
    let producer = bench.producer().await;
    publish(&producer, 1, LARGE).await;
    let limits = Limits { allocations: 60.0, allocated: 12.5, logged: 3.2 };
    bench.spend((2 * ROUND, LARGE), publish(&producer, 2, LARGE), &limits).await;
    producer.close().await;
    bench.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_a_queue_costs_no_more_from_its_publish_to_its_ack_than_it_did() {
    let bench = Bench::start(NewTopic::queue(TOPIC)).await;
    let producer = bench.producer().await;
    publish(&producer, 1, SMALL).await;
    work_off(&bench.client, ROUND).await;
    let limits = Limits { allocations: 63.0, allocated: 28.5, logged: 3.4 };
    let cycle = async {
        publish(&producer, ROUNDS, SMALL).await;
        work_off(&bench.client, ROUNDS * ROUND).await;
    };
    bench.spend((ROUNDS * ROUND, SMALL), cycle, &limits).await;
    producer.close().await;
    bench.stop().await;
}

/// Leases and acks so many messages, a hundred at a time.
async fn work_off(client: &Client, mut left: usize) {
    let options = ReceiveOptions {
        max_messages: BATCH_RECORDS,
        wait: Duration::from_secs(10),
        ..ReceiveOptions::default()
    };
    while left > 0 {
        let messages = client.receive(TOPIC, options).await.unwrap();
        left -= messages.len();
        let acks: Vec<_> = messages
            .into_iter()
            .map(|message| Settle { token: message.token, action: SettleAction::Ack })
            .collect();
        for settled in client.settle(&acks).await {
            settled.unwrap();
        }
    }
}
