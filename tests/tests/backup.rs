//! A backup of a cluster in use, and a new cluster made of it: nothing acknowledged before the backup began is missing, and
//! nothing is there twice.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use weir_client::{Client, NewTopic, ProducerOptions, ReadUntil, ReaderOptions, Record, WorkerOptions};
use weir_proto::v1::ProduceRequest;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::stream_client::StreamClient;
use weir_tests::{Cluster, Settings, Site, Weir, eventually};
use weir_types::{BatchBuilder, ProducerEpoch, ProducerId, ProducerSequence};

/// For what comes to rest by itself.
const REST: Duration = Duration::from_mins(1);
/// Above every lease of a cluster that was not restored.
const RESTORED_LEASES_FROM: u64 = 1 << 33;

async fn start(site: &Site, prefix: &str) -> Cluster {
    let mut cluster = Cluster::prepare(site, prefix, 3, &Settings::default());
    cluster.start_all();
    cluster.ready().await;
    let client = cluster.client().await;
    cluster.whole(&client).await;
    cluster
}

/// What a command prints with `--json`.
async fn json(weir: &Weir, line: &str) -> Value {
    let out = weir.ok(&format!("{line} --json")).await;
    let last = out.lines().last().unwrap_or_default();
    serde_json::from_str(last)
        .unwrap_or_else(|error| panic!("`weir {line}` printed no JSON ({error}): {out}"))
}

async fn tokens(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["token"].as_str().unwrap().to_owned()).collect()
}

async fn values(weir: &Weir, line: &str) -> Vec<String> {
    let received = json(weir, line).await;
    let messages = received["messages"].as_array().unwrap();
    messages.iter().map(|message| message["value"].as_str().unwrap().to_owned()).collect()
}

/// So many lines.
fn numbered(what: &str, count: u32) -> String {
    let lines: Vec<String> = (0..count).map(|number| format!("{what} {number}")).collect();
    lines.join("\n")
}

fn lines(out: &str) -> Vec<String> {
    out.lines().map(str::to_owned).collect()
}

/// A batch of a producer of its own, as it would be repeated after a failure: the offset that it got.
async fn append_stamped(cluster: &Cluster, client: &Client, value: &'static [u8]) -> u64 {
    let leader = {
        let status = client.admin().cluster_status().await.unwrap();
        let partition = status.partitions.iter().find(|p| p.topic == "events" && p.partition == 0).unwrap();
        let node = status.nodes.iter().find(|node| Some(node.node_id) == partition.leader).unwrap();
        (node.client_address.clone(), partition.group_id)
    };
    assert!(cluster.seeds().contains(&leader.0));
    let stamp = ProducerSequence { id: ProducerId(77), epoch: ProducerEpoch(0), base_sequence: 0 };
    let mut builder = BatchBuilder::new();
    builder.push(None, Some(value), &[], 1_700_000_000_000).unwrap();
    let batch: Bytes = builder.build(Some(stamp)).unwrap();
    let channel = Channel::from_shared(format!("http://{}", leader.0)).unwrap().connect().await.unwrap();
    let request = ProduceRequest { correlation_id: 1, group_id: leader.1, batch };
    let answer = StreamClient::new(channel).append(request).await.unwrap().into_inner();
    match answer.outcome.unwrap() {
        Outcome::BaseOffset(offset) => offset,
        Outcome::Error(error) => panic!("{error:?}"),
    }
}

/// Appends numbers to a stream until it is stopped; all below `acked` are acknowledged.
async fn append(client: Client, acked: Arc<AtomicU64>, stop: CancellationToken) {
    let producer = client.producer("noise", ProducerOptions::default()).await.unwrap();
    while !stop.is_cancelled() {
        let number = acked.load(Ordering::Acquire);
        let record = Record::new(number.to_string()).key(format!("key-{}", number % 7));
        producer.send(record).await.unwrap().await.unwrap();
        acked.store(number + 1, Ordering::Release);
    }
    producer.close().await;
}

async fn numbers(client: &Client, topic: &str) -> Vec<u64> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(topic, options).await.unwrap();
    let mut numbers = Vec::new();
    while let Some(record) = reader.next().await {
        let value = record.unwrap().value.unwrap();
        numbers.push(String::from_utf8(value.to_vec()).unwrap().parse().unwrap());
    }
    numbers
}

/// What the test has put into the first cluster, as the second one has to show it.
struct Books {
    stats: [Value; 2],
    leased: Vec<String>,
    acked: String,
    stamped: u64,
    read: BTreeSet<String>,
    positions: Vec<(u32, Option<u64>)>,
}

const QUEUES: [&str; 2] = ["tasks", "orders"];

async fn stats(weir: &Weir) -> [Value; 2] {
    let mut all = QUEUES.map(|_| Value::Null);
    for (of, queue) in all.iter_mut().zip(QUEUES) {
        *of = json(weir, &format!("queue stats {queue}")).await["total"].take();
    }
    all
}

/// Where the group is in each partition.
async fn positions(client: &Client) -> Vec<(u32, Option<u64>)> {
    let group = client.admin().describe_group("billing").await.unwrap();
    group.positions.iter().map(|of| (of.partition, of.committed)).collect()
}

async fn fill(cluster: &Cluster, client: &Client) -> Books {
    let weir = cluster.weir();
    weir.ok("topic create tasks --kind queue --partitions 2 --attempts 2").await;
    weir.ok("topic create orders --kind queue --fifo --partitions 1").await;
    weir.ok("topic create events --kind stream --partitions 2").await;
    weir.ok("topic create mails --kind queue --partitions 2").await;
    weir.ok("topic create noise --kind stream --partitions 2").await;
    weir.ok("topic subscribe events --as mails --from earliest").await;

    weir.ok("queue send tasks --delay 1h later").await;
    weir.ok("queue send tasks poison").await;
    let poison = tokens(&weir, "queue receive tasks --wait 5s").await.remove(0);
    weir.ok(&format!("queue nack {poison} --park --reason broken")).await;
    weir.run_with("queue send tasks", numbered("task", 40).as_bytes()).await.ok();
    let leased = tokens(&weir, "queue receive tasks --max 3 --lease 1h").await;
    let acked = tokens(&weir, "queue receive tasks --max 1 --lease 1h").await.remove(0);
    weir.ok(&format!("queue ack {acked}")).await;

    weir.ok("queue send orders --key a a1 a2").await;
    weir.ok("queue send orders --key b b1 b2").await;
    assert_eq!(values(&weir, "queue receive orders --lease 1h").await, ["a1"]);

    let stamped = append_stamped(cluster, client, b"stamped").await;
    weir.run_with("stream append events", numbered("event", 30).as_bytes()).await.ok();
    let read = lines(&weir.ok("stream read events --group billing --max 9").await).into_iter().collect();
    eventually("every event is a mail", REST, async || {
        match json(&weir, "queue stats mails").await["total"]["ready"].as_u64() {
            Some(31) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let positions = positions(client).await;
    Books { stats: stats(&weir).await, leased, acked, stamped, read, positions }
}

async fn check(cluster: &Cluster, client: &Client, books: &Books) {
    let weir = cluster.weir();
    assert_eq!(stats(&weir).await, books.stats);
    assert_eq!(json(&weir, "queue stats mails").await["total"]["ready"], 31);
    let parked = json(&weir, "queue parked list tasks").await;
    assert_eq!(parked["messages"][0]["value"], "poison", "{parked}");

    // A lease that ran when the backup was made is still its holder's; one that was settled is not.
    weir.ok(&format!("queue ack {}", books.leased[0])).await;
    weir.run(&format!("queue ack {}", books.acked)).await.fails(6, "lease-lost");
    let received = json(&weir, "queue receive tasks --lease 1m").await;
    let lease = received["messages"][0]["lease_id"].as_u64().unwrap();
    assert!(lease > RESTORED_LEASES_FROM, "a lease of the old cluster may have number {lease}");
    // Key a waits for the holder of a1.
    assert_eq!(values(&weir, "queue receive orders --max 9 --ack").await, ["b1"]);
    assert_eq!(values(&weir, "queue receive orders --max 9 --ack").await, ["b2"]);

    // The producer that repeats itself, the group that goes on, the link that sends nothing twice.
    assert_eq!(append_stamped(cluster, client, b"stamped").await, books.stamped);
    assert_eq!(positions(client).await, books.positions);
    weir.ok("queue send tasks 'one more'").await;
    weir.run_with("stream append events", b"event 30\n").await.ok();
    let rest = lines(&weir.ok("stream read events --group billing --max 23").await);
    let all: BTreeSet<String> = rest.iter().cloned().chain(books.read.iter().cloned()).collect();
    assert_eq!((rest.len(), all.len()), (23, 32), "{rest:?} after {:?}", books.read);
    eventually("the event is a mail", REST, async || {
        match json(&weir, "queue stats mails").await["total"]["enqueued_total"].as_u64() {
            Some(32) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

/// A file of a partition in a backup.
fn image(folder: &Path) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_string_lossy().contains("weir-tasks-0-")).min().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_goes_on_from_a_backup_that_was_made_under_load() {
    let site = Site::take().await;
    let mut first = start(&site, "a").await;
    let client = first.client().await;
    let books = fill(&first, &client).await;
    let (acked, stop) = (Arc::new(AtomicU64::new(0)), CancellationToken::new());
    let load = tokio::spawn(append(client.clone(), Arc::clone(&acked), stop.clone()));
    eventually("there is a load", REST, async || {
        if acked.load(Ordering::Acquire) > 200 { Ok(()) } else { Err("not yet".to_owned()) }
    })
    .await;

    let folder = site.path().join("backup");
    let backup = format!("cluster backup {}", folder.display());
    let acked_before = acked.load(Ordering::Acquire);
    let made = json(&first.weir(), &backup).await;
    assert_eq!((made["partitions"].as_u64(), made["copied"].as_u64()), (Some(9), Some(9)), "{made}");
    first.weir().ok(&format!("{backup} --verify")).await;
    // What has not changed is not copied again: only the stream under load, and what it may have woken.
    let again = json(&first.weir(), &backup).await;
    let copied = again["copied"].as_u64().unwrap();
    assert!((1..9).contains(&copied), "{again}");
    assert_eq!(json(&first.weir(), &format!("{backup} --verify")).await["files"], 10);
    first.weir().run(&format!("cluster restore {}", folder.display())).await.fails(4, "cluster-not-empty");
    stop.cancel();
    load.await.unwrap();
    first.kill_all().await;
    drop(client);

    let mut second = start(&site, "b").await;
    let weir = second.weir();
    let damaged = site.path().join("damaged");
    copy(&folder, &damaged);
    let victim = image(&damaged);
    let mut bytes = fs::read(&victim).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&victim, bytes).unwrap();
    weir.run(&format!("cluster backup {} --verify", damaged.display())).await.fails(1, "backup-damaged");
    weir.run(&format!("cluster restore {}", damaged.display())).await.fails(1, "backup-damaged");
    assert_eq!(json(&weir, "topic list").await["topics"].as_array().map(Vec::len), Some(0));

    let restored = json(&weir, &format!("cluster restore {}", folder.display())).await;
    assert_eq!(restored["partitions"], 9, "{restored}");
    let client = second.client().await;
    second.whole(&client).await;
    check(&second, &client, &books).await;
    let found = numbers(&client, "noise").await;
    let distinct: BTreeSet<u64> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "a record is there twice");
    assert!((0..acked_before).all(|number| distinct.contains(&number)), "an acknowledged record is missing");
    second.caught_up(&client).await;

    // It is a cluster like any other: it outlives a node, and is backed up.
    second.crash_busiest(&client).await;
    let other = site.path().join("backup-of-b");
    weir.ok(&format!("cluster backup {}", other.display())).await;
    weir.run(&format!("cluster backup {}", folder.display())).await.fails(2, "usage");
    weir.run(&format!("cluster restore {}", folder.display())).await.fails(4, "cluster-not-empty");
    second.check();
}

/// A folder with room for so many bytes, unmounted when it is dropped.
struct Small(PathBuf);

impl Small {
    /// Mounts one, or says why this machine cannot.
    fn mount(path: &Path, bytes: u64) -> Result<Self, String> {
        fs::create_dir_all(path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(path);
        match mount.output() {
            Ok(output) if output.status.success() => Ok(Self(path.to_owned())),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A target that is full says so, and keeps nothing.
async fn fill_up(weir: &Weir, folder: &Path) {
    let small = match Small::mount(folder, 4 << 20) {
        Ok(small) => small,
        Err(why) => {
            eprintln!("not tested, as no small file system can be mounted here: {why}");
            return;
        }
    };
    let backup = format!("cluster backup {}", small.0.display());
    weir.run(&backup).await.fails(8, "backup-target-full");
    assert_eq!(fs::read_dir(&small.0).unwrap().count(), 0);
    weir.run(&format!("{backup} --verify")).await.fails(3, "backup-not-found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_a_restore_go_on_while_nodes_are_killed() {
    const RECORDS: u64 = 30_000;
    let site = Site::take().await;
    let mut first = start(&site, "a").await;
    let client = first.client().await;
    client.admin().create_topic(NewTopic::stream("noise").partitions(6).replicas(3)).await.unwrap();
    let producer = client.producer("noise", ProducerOptions::default()).await.unwrap();
    let padding = vec![b'0'; 1_000];
    for number in 0..RECORDS {
        let value = [padding.as_slice(), number.to_string().as_bytes()].concat();
        drop(producer.send(Record::new(value).key(number.to_string())).await.unwrap());
    }
    producer.close().await;
    fill_up(&first.weir(), &site.path().join("small")).await;

    let folder = site.path().join("backup");
    let line = format!("cluster backup {}", folder.display());
    let (weir, victim) = (first.weir(), first.busiest(&client).await);
    let making = tokio::spawn(async move { weir.run(&line).await });
    eventually("the backup has begun", REST, async || {
        let files = fs::read_dir(&folder).map(Iterator::count).unwrap_or_default();
        if files > 0 { Ok(()) } else { Err("no file is there".to_owned()) }
    })
    .await;
    first.nodes()[victim].kill().await;
    making.await.unwrap().ok();
    first.weir().ok(&format!("cluster backup {} --verify", folder.display())).await;
    first.kill_all().await;
    drop(client);

    let mut second = start(&site, "b").await;
    let client = second.client().await;
    let line = format!("cluster restore {}", folder.display());
    let (weir, victim) = (second.weir(), second.busiest(&client).await);
    let restoring = tokio::spawn(async move { weir.run(&line).await });
    eventually("the restore has begun", REST, async || {
        let digests = client.admin().digests(None).await.map_err(|error| error.to_string())?;
        let mut replicas = digests.iter().filter_map(|node| node.replicas.as_ref().ok()).flatten();
        let begun = replicas.any(|replica| replica.topic == "noise");
        if begun { Ok(()) } else { Err("no replica is there".to_owned()) }
    })
    .await;
    second.nodes()[victim].kill().await;
    second.nodes()[victim].start();
    restoring.await.unwrap().ok();
    second.whole(&client).await;
    let found: BTreeSet<u64> = numbers(&client, "noise").await.into_iter().collect();
    assert_eq!(found.len() as u64, RECORDS);
    assert_eq!(found.last(), Some(&(RECORDS - 1)));
    second.check();
}

/// Keys of the numbers that are sent to topics which are split: a number tells its key.
const KEYS: u64 = 12;

async fn send(client: &Client, topic: &str, numbers: Range<u64>) {
    let producer = client.producer(topic, ProducerOptions::default()).await.unwrap();
    let mut pending = Vec::new();
    for number in numbers {
        let record = Record::new(number.to_string()).key(format!("key-{}", number % KEYS));
        pending.push(producer.send(record).await.unwrap());
    }
    for delivery in pending {
        delivery.await.unwrap();
    }
    producer.close().await;
}

/// Each key has its numbers once and in order, and there are no others.
fn check_order(found: &[u64], expected: impl IntoIterator<Item = u64>, what: &str) {
    let by_key = |numbers: &mut dyn Iterator<Item = u64>| {
        let mut keys: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        numbers.for_each(|number| keys.entry(number % KEYS).or_default().push(number));
        keys
    };
    assert_eq!(by_key(&mut found.iter().copied()), by_key(&mut expected.into_iter()), "{what}");
}

fn parsed(values: Vec<String>) -> Vec<u64> {
    values.into_iter().map(|value| value.parse().unwrap()).collect()
}

/// Takes so many messages of a queue and acks each.
async fn drain(client: &Client, queue: &str, count: usize) -> Vec<u64> {
    let mut worker = client.queue_worker(queue, WorkerOptions::default()).await.unwrap();
    let mut found = Vec::new();
    while found.len() < count {
        let next = tokio::time::timeout(REST, worker.next()).await;
        let message = next.unwrap_or_else(|_| panic!("{} of {count} messages came", found.len()));
        let message = message.unwrap().unwrap();
        let value = String::from_utf8(message.value.clone().unwrap_or_default().to_vec()).unwrap();
        found.push(value.parse().unwrap());
        message.ack().await.unwrap();
    }
    worker.close().await.unwrap();
    found
}

/// What was sent to topics that were split and merged, and what was consumed of it.
struct Halfway {
    sent: u64,
    read: Vec<u64>,
    handled: Vec<u64>,
}

/// Splits a stream and merges a child with a neighbour; splits a FIFO queue, and a child once more. All of them hold something.
async fn split_up(weir: &Weir, client: &Client) -> Halfway {
    weir.ok("topic create events --kind stream --partitions 2").await;
    weir.ok("topic create orders --kind queue --fifo --partitions 1").await;
    for topic in ["events", "orders"] {
        send(client, topic, 0..120).await;
        weir.ok(&format!("partition split {topic} 0")).await;
        send(client, topic, 120..240).await;
    }
    // The group is in the middle of the parents, and of the keys of the queue some are drained from the first partition, and some
    // not.
    let read = parsed(lines(&weir.ok("stream read events --group billing --max 50").await));
    let mut handled = drain(client, "orders", 100).await;
    weir.ok("partition merge events 3 1").await;
    weir.ok("partition split orders 2").await;
    for topic in ["events", "orders"] {
        send(client, topic, 240..360).await;
    }
    handled.extend(drain(client, "orders", 8).await);
    Halfway { sent: 360, read, handled }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn topics_that_were_split_and_merged_come_back_with_their_order() {
    let site = Site::take().await;
    let mut first = start(&site, "a").await;
    let client = first.client().await;
    let Halfway { sent, read, handled } = split_up(&first.weir(), &client).await;
    let folder = site.path().join("backup");
    // Five partitions of the stream and five of the queue are there, sealed or not.
    let made = json(&first.weir(), &format!("cluster backup {}", folder.display())).await;
    assert_eq!((made["partitions"].as_u64(), made["copied"].as_u64()), (Some(10), Some(10)), "{made}");
    let described = json(&first.weir(), "topic describe events").await["partition_status"].take();
    first.kill_all().await;
    drop(client);

    let mut second = start(&site, "b").await;
    let weir = second.weir();
    weir.ok(&format!("cluster restore {}", folder.display())).await;
    let client = second.client().await;
    second.whole(&client).await;
    let restored = json(&weir, "topic describe events").await["partition_status"].take();
    let lineage = |partitions: &Value| -> Vec<Value> {
        let partitions = partitions.as_array().unwrap().iter();
        let known = ["partition", "stage", "parents", "children"];
        partitions.map(|partition| known.map(|field| partition[field].clone()).into()).collect()
    };
    assert_eq!(lineage(&restored), lineage(&described));
    check_order(&numbers(&client, "events").await, 0..sent, "a reader");
    let rest = sent as usize - read.len();
    let more = parsed(lines(&weir.ok(&format!("stream read events --group billing --max {rest}")).await));
    let all: Vec<u64> = read.into_iter().chain(more).collect();
    check_order(&all, 0..sent, "the group that went on");

    // It goes on splitting, also what is still being drained.
    for split in ["events 4", "events 2", "orders 1", "orders 3"] {
        weir.ok(&format!("partition split {split}")).await;
    }
    for topic in ["events", "orders"] {
        send(&client, topic, sent..sent + 60).await;
    }
    let other = site.path().join("backup-of-b");
    weir.ok(&format!("cluster backup {}", other.display())).await;
    check_order(&numbers(&client, "events").await, 0..sent + 60, "a reader after more splits");
    let left = sent as usize + 60 - handled.len();
    let all: Vec<u64> = handled.into_iter().chain(drain(&client, "orders", left).await).collect();
    check_order(&all, 0..sent + 60, "the queue");
    second.check();
}
