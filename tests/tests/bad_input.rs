//! What nobody should send: each gets its documented error and exit code, nothing is stored, and no node goes down.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::fs;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::Status;
use tonic::transport::Channel;
use weir_client::{Client, NewTopic, Outputs, ProducerOptions, ReaderOptions, ReceiveOptions, Record};
use weir_proto::error_from_status;
use weir_proto::v1::peer_client::PeerClient;
use weir_proto::v1::queue_client::QueueClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_proto::v1::{
    AckAndAppend, CommitOffsetRequest, OutputBatch, PeerRequest, ProduceRequest, ReadRequest, ReceiveRequest,
    SettleItem, SettleRequest,
};
use weir_tests::{Cluster, Dice, Settings, Site, Weir, within};
use weir_types::limits::{BATCH_BYTES_MAX, KEY_BYTES_MAX, RECORD_BYTES_MAX};
use weir_types::{BatchBuilder, Codec, ErrorKind, ProducerEpoch, ProducerId, ProducerSequence};

/// From here on, a batch is covered by its CRC.
const CRC_FROM: usize = 21;

/// One node with a queue and a stream of one partition each.
struct Bench {
    cluster: Cluster,
    client: Client,
    channel: Channel,
    queue: u32,
    stream: u32,
}

impl Bench {
    async fn start(site: &Site) -> Self {
        let mut cluster = Cluster::start(site, 1).await;
        let client = cluster.client().await;
        for topic in [NewTopic::queue("tasks"), NewTopic::stream("events")] {
            client.admin().create_topic(topic.partitions(1).replicas(1)).await.unwrap();
        }
        cluster.whole(&client).await;
        let group = async |topic| client.admin().describe_topic(topic).await.unwrap().partitions[0].group_id;
        let (queue, stream) = (group("tasks").await, group("events").await);
        let address = format!("http://{}", cluster.seeds()[0]);
        let channel = Channel::from_shared(address).unwrap().connect().await.unwrap();
        Self { cluster, client, channel, queue, stream }
    }

    async fn send(&self, batch: Bytes) -> Result<(), Status> {
        let request = ProduceRequest { correlation_id: 1, group_id: self.queue, batch };
        QueueClient::new(self.channel.clone()).send(request).await.map(drop)
    }

    async fn append(&self, batch: Bytes) -> Result<(), Status> {
        let request = ProduceRequest { correlation_id: 1, group_id: self.stream, batch };
        StreamClient::new(self.channel.clone()).append(request).await.map(drop)
    }

    /// Both doors refuse the batch in the same words.
    async fn refuses(&self, what: &str, batch: Bytes, kind: ErrorKind, code: &str) {
        for (door, answer) in
            [("queue", self.send(batch.clone()).await), ("stream", self.append(batch).await)]
        {
            let error = error_from_status(&answer.expect_err(what));
            assert_eq!((error.kind, error.code.as_str()), (kind, code), "{what}, at the {door}: {error}");
        }
    }

    /// Nothing came in, nothing went down, and what is right is taken.
    async fn is_unharmed(&mut self) {
        self.cluster.check();
        let stats = self.client.admin().queue_stats("tasks").await.unwrap()[0];
        assert_eq!((stats.ready, stats.leased, stats.scheduled, stats.parked), (0, 0, 0, 0));
        assert_eq!(stats.enqueued_total, 0);
        assert_eq!(self.client.admin().offsets("events", None).await.unwrap()[0].end_offset, 0);
        self.send(batch(&[b"right"])).await.unwrap();
        self.append(batch(&[b"right"])).await.unwrap();
        self.cluster.nodes()[0].ready().await;
    }
}

fn builder(values: &[&[u8]]) -> BatchBuilder {
    let mut builder = BatchBuilder::new();
    for value in values {
        builder.push(None, Some(value), &[], 1_700_000_000_000).unwrap();
    }
    builder
}

fn batch(values: &[&[u8]]) -> Bytes {
    builder(values).build(None).unwrap()
}

fn changed(batch: &Bytes, at: usize, to: &[u8]) -> Bytes {
    let mut bytes = batch.to_vec();
    bytes[at..at + to.len()].copy_from_slice(to);
    bytes.into()
}

fn varint(value: usize) -> Vec<u8> {
    let mut left = (value as u64) << 1;
    let mut bytes = Vec::new();
    while left >= 0x80 {
        bytes.push(left as u8 | 0x80);
        left >>= 7;
    }
    bytes.push(left as u8);
    bytes
}

/// A batch with one record that the builder would not write: its key and value may have any size.
fn record_of(key: usize, value: usize) -> Bytes {
    let mut record = vec![0, 0, 0];
    for part in [key, value] {
        record.extend(varint(part));
        record.extend(vec![b'x'; part]);
    }
    record.push(0);
    let mut section = varint(record.len());
    section.extend(record);
    builder(&[b"one"]).build_compressed(None, Codec::None, &section).unwrap()
}

#[tokio::test]
async fn a_damaged_or_oversized_batch_is_refused_at_the_door() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let good = batch(&[b"one", b"two"]);
    let last = good.len() - 1;
    let malformed = "batch-malformed";
    bench.refuses("no bytes", Bytes::new(), ErrorKind::Invalid, malformed).await;
    bench.refuses("half a header", good.slice(..30), ErrorKind::Invalid, malformed).await;
    bench.refuses("half a batch", good.slice(..last), ErrorKind::Invalid, malformed).await;
    bench.refuses("another format", changed(&good, 16, &[1]), ErrorKind::Invalid, malformed).await;
    bench
        .refuses("a wrong crc", changed(&good, 17, &[1, 2, 3, 4]), ErrorKind::Corrupt, "batch-crc-mismatch")
        .await;
    bench
        .refuses("a changed body", changed(&good, last, b"?"), ErrorKind::Corrupt, "batch-crc-mismatch")
        .await;
    let doubled: Bytes = [good.clone(), good.clone()].concat().into();
    bench.refuses("two batches", doubled, ErrorKind::Invalid, malformed).await;

    let mut large = good.to_vec();
    large.resize(BATCH_BYTES_MAX + 1, 0);
    let length = (large.len() - 12) as u32;
    let large = changed(&large.into(), 8, &length.to_be_bytes());
    bench.refuses("a batch over the limit", large, ErrorKind::Invalid, "batch-too-large").await;
    let large = record_of(0, RECORD_BYTES_MAX + 1);
    bench.refuses("a record over the limit", large, ErrorKind::Invalid, "record-too-large").await;
    let key = record_of(1 << 20, 0);
    bench.refuses("a key of 1 MiB", key, ErrorKind::Invalid, "key-too-large").await;
    bench
        .refuses("a key over the limit", record_of(KEY_BYTES_MAX + 1, 1), ErrorKind::Invalid, "key-too-large")
        .await;

    let zeros = vec![0; 256 << 20];
    for codec in [Codec::Zstd, Codec::Gzip, Codec::Lz4] {
        let bomb = weir_compression::compress(codec, &zeros).unwrap();
        let bomb = builder(&[b"one"]).build_compressed(None, codec, &bomb).unwrap();
        bench.refuses("a decompression bomb", bomb, ErrorKind::Invalid, "batch-too-large").await;
    }
    let garbage = builder(&[b"one"]).build_compressed(None, Codec::Zstd, b"no zstd at all").unwrap();
    bench.refuses("what is not compressed", garbage, ErrorKind::Invalid, malformed).await;
    bench.is_unharmed().await;
}

#[tokio::test]
async fn every_flipped_bit_of_a_batch_is_found() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let good = batch(&[b"one", b"two", b"three"]);
    let mut dice = Dice::new(1);
    for _ in 0..150 {
        let at = CRC_FROM - 4 + dice.below((good.len() - CRC_FROM + 4) as u64) as usize;
        let flipped = good[at] ^ (1 << dice.below(8));
        let bad = changed(&good, at, &[flipped]);
        let error = error_from_status(&bench.send(bad.clone()).await.expect_err("a flipped bit"));
        assert!([ErrorKind::Corrupt, ErrorKind::Invalid].contains(&error.kind), "byte {at}: {error}");
        bench.append(bad).await.expect_err("a flipped bit");
    }
    bench.is_unharmed().await;
}

#[tokio::test]
async fn requests_that_make_no_sense_get_their_codes() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let (queue, stream) = (bench.queue, bench.stream);
    let code = |status: Status| error_from_status(&status).code;
    let mut queues = QueueClient::new(bench.channel.clone());
    let mut streams = StreamClient::new(bench.channel.clone());
    let produce = |group_id| ProduceRequest { correlation_id: 1, group_id, batch: batch(&[b"one"]) };

    assert_eq!(code(queues.send(produce(stream)).await.unwrap_err()), "wrong-topic-kind");
    assert_eq!(code(streams.append(produce(queue)).await.unwrap_err()), "wrong-topic-kind");
    assert_eq!(code(queues.send(produce(99_999)).await.unwrap_err()), "partition-not-found");
    let receive = |group_id, max_messages, wait_ms, lease_ms| ReceiveRequest {
        group_id,
        max_messages,
        wait_ms,
        lease_ms,
        request_id: 7,
    };
    assert_eq!(code(queues.receive(receive(stream, 1, 0, 0)).await.unwrap_err()), "wrong-topic-kind");
    assert_eq!(
        code(queues.receive(receive(queue, 0, 0, 0)).await.unwrap_err()),
        "lease-messages-out-of-range"
    );
    assert_eq!(
        code(queues.receive(receive(queue, 5_000, 0, 0)).await.unwrap_err()),
        "lease-messages-out-of-range"
    );
    assert_eq!(code(queues.receive(receive(queue, 1, 0, u64::MAX)).await.unwrap_err()), "lease-too-long");
    let read = ReadRequest { group_id: queue, offset: 0, bytes_max: 1, wait_ms: 0 };
    assert_eq!(code(streams.read(read).await.unwrap_err()), "wrong-topic-kind");
    let beyond = ReadRequest { group_id: stream, offset: u64::MAX, bytes_max: 1, wait_ms: 0 };
    assert_eq!(code(streams.read(beyond).await.unwrap_err()), "offset-out-of-range");
    // The position of a subscription is kept under a name that no group may have.
    let commit = CommitOffsetRequest {
        group_id: stream,
        consumer_group: "subscription/1".to_owned(),
        ..Default::default()
    };
    assert_eq!(code(streams.commit_offset(commit).await.unwrap_err()), "invalid-name");
    let items = vec![SettleItem { token: "nonsense".to_owned(), action: 1, ..SettleItem::default() }];
    let settle = SettleRequest { items, request_id: 8, ..SettleRequest::default() };
    let refused = match queues.settle(settle).await {
        Err(status) => error_from_status(&status).kind,
        Ok(answer) => {
            let error = answer.into_inner().results[0].error.clone().unwrap();
            weir_types::WeirError::from(error).kind
        }
    };
    assert_eq!(refused, ErrorKind::Invalid);
    let mut peers = PeerClient::new(bench.channel.clone());
    for length in [0, 1, 7, 100, 10_000] {
        let request = Dice::new(length as u64).bytes(length);
        let error =
            error_from_status(&peers.call(PeerRequest { request: request.into() }).await.unwrap_err());
        assert_eq!(error.kind, ErrorKind::Invalid, "{error}");
    }
    bench.is_unharmed().await;
}

#[tokio::test]
async fn outputs_that_no_partition_would_take_are_refused_and_nothing_is_acked() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let (queue, stream) = (bench.queue, bench.stream);
    bench
        .client
        .producer("tasks", ProducerOptions::default())
        .await
        .unwrap()
        .send(Record::new("one"))
        .await
        .unwrap()
        .await
        .unwrap();
    let leased = bench.client.receive("tasks", ReceiveOptions::default()).await.unwrap();
    let token = leased[0].token.to_string();
    let mut queues = QueueClient::new(bench.channel.clone());
    let stamp = ProducerSequence { id: ProducerId(1), epoch: ProducerEpoch(0), base_sequence: 0 };
    let stamped = builder(&[b"one"]).build(Some(stamp)).unwrap();
    let large = batch(&[&vec![7; RECORD_BYTES_MAX - 100][..]; 2]);
    for (outputs, code) in [
        (vec![(99_999, batch(&[b"one"]))], "partition-not-found"),
        (vec![(0, batch(&[b"one"]))], "partition-not-found"),
        (vec![(stream, batch(&[b"one"])), (stream, Bytes::from_static(b"no batch"))], "batch-malformed"),
        (vec![(stream, stamped)], "output-with-producer"),
        (vec![(stream, large.clone()), (queue, large), (stream, batch(&[&[7; 1_000]]))], "outputs-too-large"),
    ] {
        let outputs = outputs.into_iter().map(|(group_id, batch)| OutputBatch { group_id, batch }).collect();
        let step = AckAndAppend { tokens: vec![token.clone()], outputs };
        let settle = SettleRequest { ack_and_appends: vec![step], ..SettleRequest::default() };
        let settled = queues.settle(settle).await;
        let refused = match settled {
            Err(status) => error_from_status(&status).code,
            Ok(answer) => answer.into_inner().results[0].error.clone().unwrap().code,
        };
        assert_eq!(refused, code);
    }
    let stats = bench.client.admin().queue_stats("tasks").await.unwrap();
    assert_eq!((stats[0].leased, stats[0].acked_total, stats[0].outbox_batches), (1, 0, 0));
    assert_eq!(bench.client.admin().offsets("events", None).await.unwrap()[0].end_offset, 0);
    bench.client.ack_and_append(&[leased[0].token], Outputs::new()).await.unwrap();
    bench.cluster.check();
}

#[tokio::test]
async fn the_client_library_refuses_what_cannot_be_sent() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let client = bench.client.clone();
    let producer = client.producer("tasks", ProducerOptions::default()).await.unwrap();
    for record in [
        Record::new(vec![0; RECORD_BYTES_MAX + 1]),
        Record::new(vec![0; 64 << 20]),
        Record::new("small").key(vec![0; 1 << 20]),
        (0..200).fold(Record::new("small"), |record, n| record.header(n.to_string(), "value")),
    ] {
        let error = producer.send(record).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "record-invalid"), "{error}");
    }
    for record in [Record::new("urgent").priority(10), Record::new("late").deliver_at_ms(u64::MAX)] {
        let error = producer.send(record).await.unwrap().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    let unknown = client.producer("nowhere", ProducerOptions::default()).await.unwrap_err();
    assert_eq!(unknown.code(), "topic-not-found");
    let reader = client.stream_reader("tasks", ReaderOptions::default()).await.unwrap_err();
    assert_eq!(reader.code(), "wrong-topic-kind");
    let receive = client.receive("events", ReceiveOptions::default()).await.unwrap_err();
    assert_eq!(receive.code(), "wrong-topic-kind");
    drop(producer);
    bench.is_unharmed().await;
}

#[tokio::test]
async fn commands_exit_with_the_documented_codes() {
    let site = Site::take().await;
    let mut bench = Bench::start(&site).await;
    let weir = bench.cluster.weir();
    for (line, exit, code) in [
        ("queue send nowhere hello", 3, "topic-not-found"),
        ("queue receive nowhere", 3, "topic-not-found"),
        ("topic describe nowhere", 3, "topic-not-found"),
        ("topic delete nowhere --yes", 3, "topic-not-found"),
        ("stream read nowhere", 3, "topic-not-found"),
        ("group describe nobody", 3, "group-not-found"),
        ("topic create tasks --kind queue -p 1 -r 1", 4, "topic-exists"),
        ("topic create tasks --kind stream -p 1 -r 1", 4, "topic-differs"),
        ("topic create none --kind queue -p 0 -r 1", 5, "no-partitions"),
        ("topic create none --kind queue -p 5000 -r 1", 5, "too-many-partitions"),
        ("topic create none --kind queue -p 1 -r 0", 5, "no-replicas"),
        ("topic create none --kind queue -p 1 -r 3", 5, "not-enough-nodes"),
        ("topic create .hidden --kind queue -p 1 -r 1", 5, "invalid-name"),
        ("topic create 'two words' --kind queue -p 1 -r 1", 5, "invalid-name"),
        ("topic create '' --kind queue -p 1 -r 1", 5, "invalid-name"),
        ("topic create _own --kind queue -p 1 -r 1", 5, "invalid-name"),
        ("topic create none --kind queue -p 1 -r 1 --retention 1d", 2, "usage"),
        ("stream read tasks", 5, "wrong-topic-kind"),
        ("queue receive events", 5, "wrong-topic-kind"),
        ("queue ack v1.99999.1.1", 3, "partition-not-found"),
        ("topic alter tasks --retention 1d", 2, "usage"),
    ] {
        weir.run(line).await.fails(exit, code);
    }
    let long = "n".repeat(201);
    weir.run(&format!("topic create {long} --kind queue -p 1 -r 1")).await.fails(5, "invalid-name");
    for (line, says) in [
        ("topic create none --kind heap", "queue"),
        ("topic create none", "--kind"),
        ("queue ack nonsense", "token"),
        ("queue send tasks --priority 11 hello", "priority"),
        ("frobnicate", "frobnicate"),
    ] {
        let answer = weir.run(line).await;
        assert!(answer.exit == 2 && answer.err.contains(says), "{answer:?}");
    }
    let nobody = Weir::at("127.0.0.1:1").run("topic list --timeout 1s").await;
    nobody.fails(7, "no-seed-reachable");
    bench.is_unharmed().await;
}

#[tokio::test]
async fn all_problems_of_a_configuration_are_listed_at_once() {
    let site = Site::take().await;
    let config = site.path().join("weir.toml");
    fs::write(
        &config,
        "[node]\nnmae = \"a\"\ndata_dir = 3\n[cluster]\nbootstrap_expect = 2\n\
         [listen]\nclient = \"0.0.0.0:7400\"\nhttp = \"nonsense\"\n[stroage]\nballast = \"1 MiB\"\n",
    )
    .unwrap();
    let weir = Weir::at("127.0.0.1:1");
    for line in ["server --config", "server --print-config --config"] {
        let said = weir.run(&format!("{line} {}", config.display())).await.fails(2, "usage");
        for problem in [
            "7 problems",
            "node.nmae",
            "node.data_dir",
            "cluster.bootstrap_expect",
            "cluster.seeds",
            "listen.client",
            "listen.http",
            "stroage.ballast",
        ] {
            assert!(said.contains(problem), "{problem} is missing in {said}");
        }
    }
    let missing = weir.run("server --config /nowhere/weir.toml").await.fails(2, "usage");
    assert!(missing.contains("/nowhere/weir.toml"), "{missing}");
    let printed = weir.run("server --print-config --node-name seven").await.ok();
    assert!(printed.contains("name = \"seven\""), "{printed}");
}

/// Writes bytes to a port and reads until the other side closes or is quiet; what happens to the connection is the
/// node's business.
async fn poke(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.expect("the port is open");
    let talk = async {
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = [0; 4096];
        while stream.read(&mut answer).await.is_ok_and(|count| count > 0) {}
    };
    let _ = tokio::time::timeout(Duration::from_millis(500), talk).await;
}

#[tokio::test]
async fn random_and_truncated_bytes_on_every_port_harm_nobody() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let site = Site::take().await;
    let mut cluster = Cluster::start_with(&site, 3, &Settings::default()).await;
    let client = cluster.client().await;
    client.admin().create_topic(NewTopic::queue("tasks").partitions(3).replicas(3)).await.unwrap();
    cluster.whole(&client).await;
    let mut dice = Dice::new(2);
    let request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nX: ";
    let mut pokes: Vec<Vec<u8>> = vec![
        Vec::new(),
        b"\0".to_vec(),
        vec![0xff; 1 << 20],
        vec![0; 1 << 20],
        PREFACE[..11].to_vec(),
        [PREFACE, &[0xff; 64]].concat(),
        [PREFACE, &[0, 0, 0, 4, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 1, 5, 0, 0, 0, 1]].concat(),
        request[..20].to_vec(),
        [request, &vec![b'y'; 1 << 20][..]].concat(),
        b"POST /readyz HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n".to_vec(),
    ];
    pokes.extend((0..20).map(|_| {
        let length = dice.below(2_000) as usize;
        dice.bytes(length)
    }));
    // Lengths that promise gigabytes, in both byte orders.
    pokes.extend([1_u32 << 30, u32::MAX].map(|length| [length.to_be_bytes(), length.to_le_bytes()].concat()));
    let ports = cluster.nodes()[0].ports().all();
    within("all bytes are sent", Duration::from_mins(2), async {
        for address in ports {
            futures::future::join_all(pokes.iter().map(|bytes| poke(address, bytes))).await;
        }
    })
    .await;
    cluster.whole(&client).await;
    let log = cluster.nodes()[0].log();
    assert!(!log.contains("panicked"), "{log}");
    let producer = client.producer("tasks", ProducerOptions::default()).await.unwrap();
    producer.send(Record::new("still here")).await.unwrap().await.unwrap();
    let received = client.receive("tasks", ReceiveOptions::default()).await.unwrap();
    assert_eq!(received[0].value.as_deref(), Some(b"still here".as_slice()));
}
