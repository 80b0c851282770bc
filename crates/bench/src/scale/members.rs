//! The members of a group restart one after the other, under load: how long partitions wait that are handed over, and
//! that the others do not.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_client::{Client, ConsumerOptions, ProducerOptions, Record};

use super::{Figure, Stage, figure};
use crate::system::Error;

/// Records per second and partition.
const RATE: u32 = 20;
/// How long the members may take to share the partitions out.
const SHARING: Duration = Duration::from_mins(2);
/// Between two looks at that, and between the end of a member and its next life.
const PAUSE: Duration = Duration::from_millis(200);

/// When a partition was last read, and by whom.
#[derive(Clone, Copy)]
struct Seen {
    at: Instant,
    by: u64,
}

/// What members have read, and how long partitions waited.
#[derive(Default)]
struct Book {
    seen: BTreeMap<u32, Seen>,
    /// The longest wait of each partition since it was last asked for.
    waits: BTreeMap<u32, Duration>,
}

impl Book {
    fn note(&mut self, partition: u32, by: u64) {
        let now = Instant::now();
        if let Some(last) = self.seen.insert(partition, Seen { at: now, by }) {
            let wait = self.waits.entry(partition).or_default();
            *wait = (*wait).max(now - last.at);
        }
    }
}

struct Member {
    stop: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

pub(super) async fn play(stage: &Stage, count: u64) -> Result<Vec<Figure>, Error> {
    let book = Arc::new(Mutex::new(Book::default()));
    let over = CancellationToken::new();
    let load = tokio::spawn(load(stage.client.clone(), stage.topic.clone(), count as u32, over.clone()));
    let mut members = BTreeMap::new();
    for number in 0..count {
        members.insert(number, join(stage, number, &book).await?);
    }
    shared_out(stage, &book, count).await?;
    let (mut handed_over, mut others) = (Vec::new(), Vec::new());
    let began = Instant::now();
    for number in 0..count {
        stage.tell(format!("member {number} of {count} restarts"));
        let (own, _) = take(&book, number);
        leave(members.remove(&number)).await?;
        sleep(PAUSE).await;
        members.insert(number, join(stage, number, &book).await?);
        shared_out(stage, &book, count).await?;
        let (_, waits) = take(&book, number);
        for (partition, wait) in waits {
            (if own.contains(&partition) { &mut handed_over } else { &mut others }).push(wait);
        }
    }
    let took = began.elapsed();
    over.cancel();
    load.await??;
    for member in members.into_values() {
        leave(Some(member)).await?;
    }
    let longest = |waits: &[Duration]| waits.iter().max().map_or(0.0, |wait| wait.as_secs_f64() * 1e3);
    Ok(vec![
        figure("members restarted", count as f64, "members"),
        figure("all of them", took.as_secs_f64(), "s"),
        figure("records of a partition, one each", 1_000.0 / f64::from(RATE), "ms"),
        figure("longest wait of a partition that was handed over", longest(&handed_over), "ms"),
        figure("longest wait of any other partition", longest(&others), "ms"),
    ])
}

/// The partitions that a member read last, and how long each partition waited since this was asked before.
fn take(book: &Mutex<Book>, member: u64) -> (BTreeSet<u32>, BTreeMap<u32, Duration>) {
    let mut book = book.lock();
    let own = book.seen.iter().filter(|(_, seen)| seen.by == member).map(|(partition, _)| *partition);
    (own.collect(), std::mem::take(&mut book.waits))
}

async fn join(stage: &Stage, number: u64, book: &Arc<Mutex<Book>>) -> Result<Member, Error> {
    let options =
        ConsumerOptions { member_id: Some(format!("member-{number}")), ..ConsumerOptions::default() };
    let group = stage.topic.clone();
    let mut consumer = stage.client.stream_consumer(&group, &[&stage.topic], options).await?;
    let (stop, book) = (CancellationToken::new(), Arc::clone(book));
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        loop {
            tokio::select! {
                () = stopped.cancelled() => break,
                batch = consumer.next_batch(1_000) => {
                    let batch = batch.ok_or("the consumer has ended")??;
                    let mut book = book.lock();
                    for record in &batch {
                        book.note(record.partition, number);
                    }
                }
            }
        }
        consumer.commit().await?;
        Ok(consumer.close().await?)
    });
    Ok(Member { stop, task })
}

async fn leave(member: Option<Member>) -> Result<(), Error> {
    let Some(member) = member else { return Ok(()) };
    member.stop.cancel();
    member.task.await?
}

/// Waits until every partition is read by somebody, and every member reads one.
async fn shared_out(stage: &Stage, book: &Mutex<Book>, count: u64) -> Result<(), Error> {
    let (began, end) = (Instant::now(), Instant::now() + SHARING);
    loop {
        let (partitions, members) = {
            let book = book.lock();
            let fresh = book.seen.values().filter(|seen| seen.at >= began);
            let members: BTreeSet<u64> = fresh.clone().map(|seen| seen.by).collect();
            (fresh.count() as u64, members.len() as u64)
        };
        if (partitions, members) == (count, count) {
            return Ok(());
        }
        if Instant::now() > end {
            return Err(
                format!("{partitions} partitions are read by {members} members after {SHARING:?}").into()
            );
        }
        stage.tell(format!("{partitions} partitions are read by {members} members"));
        sleep(PAUSE).await;
    }
}

/// Records at a steady rate to every partition.
async fn load(client: Client, topic: String, partitions: u32, over: CancellationToken) -> Result<(), Error> {
    let producer = client.producer(&topic, ProducerOptions::default()).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / RATE);
    loop {
        tokio::select! {
            () = over.cancelled() => break,
            _ = ticks.tick() => {
                let mut sent = Vec::new();
                for partition in 0..partitions {
                    sent.push(producer.send_to(partition, Record::new("tick")).await?);
                }
                drop(sent);
            }
        }
    }
    producer.close().await;
    Ok(())
}
