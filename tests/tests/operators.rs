//! Operators while nodes and operators are killed: each record's effects happen once, on outputs and on state (P11).

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_client::operator::{
    Aggregator, Flow, HandlerError, Operator, OperatorOptions, Source, Step, Window, Windowed, Windows,
};
use weir_client::{
    Client, ConsumerOptions, NewTopic, ProducerOptions, ReadUntil, ReaderOptions, Record, StreamRecord,
};
use weir_tests::{Cluster, Site, eventually};

const SENTENCES: u64 = 1_500;
const WORDS: [&str; 7] = ["weir", "water", "stone", "fish", "river", "bank", "reed"];
const WORDS_PER_SENTENCE: u64 = 4;
const KILLS: u64 = 3;
/// For everything to come to rest after the last node is back.
const REST: Duration = Duration::from_mins(2);

async fn create(client: &Client, topics: &[(&str, u32)], replicas: u32) {
    for (name, partitions) in topics {
        let topic = NewTopic::stream(*name).partitions(*partitions).replicas(replicas);
        client.admin().create_topic(topic).await.unwrap();
    }
}

fn options(replicas: u32) -> OperatorOptions {
    let consumer = ConsumerOptions { session_timeout: Duration::from_secs(3), ..ConsumerOptions::default() };
    OperatorOptions {
        consumer,
        batch_records_max: 50,
        changelog_replicas: replicas,
        ..OperatorOptions::default()
    }
}

fn split() -> Operator {
    let words = Flow::to("words").flat_map(|sentence| {
        let text = String::from_utf8(sentence.value.unwrap().to_vec()).unwrap();
        text.split(' ').map(|word| Record::new(word.to_owned()).key(word.to_owned())).collect()
    });
    Operator::new("split", "sentences", words).options(options(3))
}

/// Tells the number of a word with each of its occurrences: from 1 on, without gap or repeat if nothing counts twice.
fn count() -> Operator {
    let count = |record: &StreamRecord, step: &mut Step<'_>| -> Result<(), HandlerError> {
        let word = record.key.clone().unwrap_or_default();
        let before = step.get(&word).map_or(Ok(0), |count| {
            String::from_utf8(count.to_vec())?.parse::<u64>().map_err(HandlerError::from)
        })?;
        let now = (before + 1).to_string();
        step.put(&word, now.clone());
        step.emit("counts", Record::new(now).key(word));
        Ok(())
    };
    Operator::new("count", "words", count).options(options(3))
}

/// Runs an instance; a new one whenever it ended by an error that can pass.
fn start(client: &Client, operator: Operator, stop: &CancellationToken) -> JoinHandle<()> {
    let (client, stop) = (client.clone(), stop.clone());
    tokio::spawn(async move {
        while !stop.is_cancelled() {
            if let Err(error) = operator.run(&client, stop.clone()).await {
                eprintln!("{operator:?} ended: {error}");
                assert!(!error.kind().is_final(), "{error}");
            }
        }
    })
}

/// An instance that is gone, from one moment to the next, again and again.
async fn crash_again_and_again(client: Client, operator: Operator, calm: CancellationToken) {
    for round in 0_u64.. {
        let running = start(&client, operator.clone(), &calm);
        let lives = Duration::from_millis(1_500 + 400 * (round % 5));
        let goes_on = calm.run_until_cancelled(sleep(lives)).await.is_some();
        running.abort();
        let _ = running.await;
        if !goes_on {
            return;
        }
    }
}

async fn append_sentences(client: &Client) {
    let producer = client.producer("sentences", ProducerOptions::default()).await.unwrap();
    for number in 0..SENTENCES {
        let words: Vec<_> = (0..WORDS_PER_SENTENCE).map(|place| word(number, place)).collect();
        drop(producer.send(Record::new(words.join(" "))).await.unwrap());
    }
    producer.close().await;
}

fn word(number: u64, place: u64) -> &'static str {
    WORDS[((number * 31 + place * 17) % WORDS.len() as u64) as usize]
}

/// Values of each key, in order.
async fn read(client: &Client, topic: &str) -> BTreeMap<String, Vec<String>> {
    let options = ReaderOptions { until: ReadUntil::End, ..ReaderOptions::default() };
    let mut reader = client.stream_reader(topic, options).await.unwrap();
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(record) = reader.next().await {
        let record = record.unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let key = text(&record.key.unwrap_or_default());
        found.entry(key).or_default().push(text(&record.value.unwrap()));
    }
    found
}

async fn wait_for(client: &Client, topic: &str, wanted: u64) {
    eventually(&format!("{wanted} records in {topic}"), REST, async || {
        let found: usize = read(client, topic).await.values().map(Vec::len).sum();
        if found as u64 >= wanted { Ok(()) } else { Err(format!("{found}")) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_word_is_counted_once_although_nodes_and_operators_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    create(&client, &[("sentences", 3), ("words", 2), ("counts", 2)], 3).await;
    let (stop, calm) = (CancellationToken::new(), CancellationToken::new());
    let mut steady = [start(&client, split(), &stop), start(&client, count(), &stop)];
    let crashing = [
        tokio::spawn(crash_again_and_again(client.clone(), split(), calm.clone())),
        tokio::spawn(crash_again_and_again(client.clone(), count(), calm.clone())),
    ];
    let appending = tokio::spawn({
        let client = client.clone();
        async move { append_sentences(&client).await }
    });

    let all = SENTENCES * WORDS_PER_SENTENCE;
    for kill in 1..=KILLS {
        wait_for(&client, "counts", all * kill / (KILLS + 2)).await;
        cluster.crash_busiest(&client).await;
    }
    appending.await.unwrap();
    calm.cancel();
    for crashing in crashing {
        crashing.await.unwrap();
    }
    tokio::select! {
        () = wait_for(&client, "counts", all) => {}
        (ended, ..) = futures::future::select_all(&mut steady) => panic!("an instance is gone: {ended:?}"),
    }
    stop.cancel();
    for instance in steady {
        instance.await.unwrap();
    }

    let found = read(&client, "counts").await;
    for word in WORDS {
        let said =
            (0..SENTENCES).flat_map(|number| (0..WORDS_PER_SENTENCE).map(move |place| (number, place)));
        let times = said.filter(|(number, place)| self::word(*number, *place) == word).count();
        let expected: Vec<String> = (1..=times).map(|number| number.to_string()).collect();
        assert_eq!(found[word], expected, "the counts of {word}");
    }
    cluster.check();
}

/// Counts the clicks of a window.
struct Clicks;

impl Aggregator for Clicks {
    type Value = u64;

    fn add(&self, value: &mut u64, _: &StreamRecord) {
        *value += 1;
    }

    fn merge(&self, earlier: &mut u64, later: u64) {
        *earlier += later;
    }

    fn finish(
        &self,
        key: &[u8],
        window: Window,
        value: u64,
        step: &mut Step<'_>,
    ) -> Result<(), HandlerError> {
        let text = format!("{}..{} {value}", window.start_ms, window.end_ms);
        step.emit("sessions", Record::new(text).key(key.to_vec()));
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_windows_survive_the_end_of_their_operator() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 1).await;
    let client = cluster.client().await;
    create(&client, &[("clicks", 1), ("sessions", 1)], 1).await;
    let sessions = || {
        let windows = Windowed::new(Windows::session(Duration::from_secs(10)), Clicks);
        Operator::new("sessions", "clicks", windows).options(options(1))
    };
    let producer = client.producer("clicks", ProducerOptions::default()).await.unwrap();
    // Two visits of ada with a pause between them, one of grace; the last click of each half ends nothing yet.
    let clicks = [
        ("ada", 1_000),
        ("grace", 3_000),
        ("ada", 9_000),
        ("ada", 30_000),
        ("grace", 31_000),
        ("eve", 90_000),
    ];
    for halves in clicks.chunks(3) {
        for (key, timestamp_ms) in halves {
            producer
                .send(Record::new("click").key(*key).timestamp_ms(*timestamp_ms))
                .await
                .unwrap()
                .await
                .unwrap();
        }
        let stop = CancellationToken::new();
        let running = start(&client, sessions(), &stop);
        eventually("the clicks are handled", REST, async || {
            let group = client.admin().describe_group("sessions").await.map_err(|error| error.to_string())?;
            let lag: u64 = group.positions.iter().map(|partition| partition.lag).sum();
            let begun = group.positions.iter().any(|partition| partition.committed.is_some());
            if begun && lag == 0 { Ok(()) } else { Err(format!("{group:?}")) }
        })
        .await;
        // Not even a goodbye: the next instance takes over when the session is over.
        running.abort();
        let _ = running.await;
    }
    wait_for(&client, "sessions", 4).await;
    let found = read(&client, "sessions").await;
    assert_eq!(found["ada"], ["1000..19000 2", "30000..40000 1"]);
    assert_eq!(found["grace"], ["3000..13000 1", "31000..41000 1"]);
    cluster.check();
}

const LINES: u64 = 4_000;

/// Reads "lines" from the beginning, or from where an earlier instance came, and sends them.
async fn bring_in(client: &Client) -> weir_client::Result<()> {
    let mut source = Source::open(client, "log", "lines").await?;
    let first = source.position().map_or(0, |position| position + 1);
    for number in first..LINES {
        source.send(number, Record::new(number.to_string()).key(format!("key-{}", number % 7))).await?;
    }
    source.close().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_brings_every_position_once_although_it_and_nodes_are_killed() {
    let site = Site::take().await;
    let mut cluster = Cluster::start(&site, 3).await;
    let client = cluster.client().await;
    create(&client, &[("lines", 3)], 3).await;
    for round in 0..8_u64 {
        // The next one takes over while this one is still at it, or is gone in the middle.
        let running = tokio::spawn({
            let client = client.clone();
            async move {
                // Another instance, or a node that is gone, may end it.
                if let Err(error) = bring_in(&client).await {
                    eprintln!("the source ended: {error}");
                }
            }
        });
        let before = found(&client).await;
        eventually("some more lines are there", REST, async || {
            let now = found(&client).await;
            if now > before || now == LINES { Ok(()) } else { Err(format!("{now}")) }
        })
        .await;
        if round % 3 == 0 {
            let victim = cluster.busiest(&client).await;
            cluster.nodes()[victim].kill().await;
            cluster.nodes()[victim].start();
        }
        if round % 2 == 0 {
            running.abort();
        }
        if round % 3 == 0 {
            cluster.whole(&client).await;
        }
    }
    eventually("the source comes to its end", REST, async || bring_in(&client).await).await;
    let found = read(&client, "lines").await;
    for (key, numbers) in found {
        let first: u64 = key.trim_start_matches("key-").parse().unwrap();
        let expected: Vec<String> = (first..LINES).step_by(7).map(|number| number.to_string()).collect();
        assert_eq!(numbers, expected, "lines of {key}");
    }
    cluster.check();
}

async fn found(client: &Client) -> u64 {
    read(client, "lines").await.values().map(|lines| lines.len() as u64).sum()
}
