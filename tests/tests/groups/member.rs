//! A member of a consumer group, in a task of its own, that writes down what it read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use weir_client::{Client, ConsumerOptions, StreamConsumer, StreamRecord};
use weir_tests::within;

/// How long a member may take to read what there is, or to end.
const SOON: Duration = Duration::from_mins(1);

/// What members have read: partition and offset, in order, as often as it came.
pub(crate) type Reads = Vec<(u32, u64)>;

/// A running member.
pub(crate) struct Member {
    pub(crate) id: String,
    reads: watch::Receiver<Reads>,
    commits: Arc<AtomicBool>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Member {
    /// Joins, reads on, and commits each record once it is noted.
    pub(crate) async fn join(client: &Client, group: &str, topic: &str, session: Duration) -> Self {
        let options = ConsumerOptions { session_timeout: session, ..ConsumerOptions::default() };
        let consumer = client.stream_consumer(group, &[topic], options).await.unwrap();
        let id = consumer.member_id().to_owned();
        let (notes, reads) = watch::channel(Reads::new());
        let (commits, stop) = (Arc::new(AtomicBool::new(true)), CancellationToken::new());
        let task = tokio::spawn(read(consumer, notes, Arc::clone(&commits), stop.clone()));
        Self { id, reads, commits, stop, task }
    }

    /// From now on, it commits nothing.
    pub(crate) fn commit_no_more(&self) {
        self.commits.store(false, Ordering::Relaxed);
    }

    /// What it has read up to now.
    pub(crate) fn reads(&self) -> Reads {
        self.reads.borrow().clone()
    }

    /// The partitions that it has read records of.
    pub(crate) fn partitions(&self) -> BTreeSet<u32> {
        self.reads().into_iter().map(|(partition, _)| partition).collect()
    }

    /// Waits until its reads satisfy a condition.
    pub(crate) async fn until(&mut self, what: &str, enough: impl FnMut(&Reads) -> bool) {
        within(what, SOON, self.reads.wait_for(enough)).await.expect("the member reads on");
    }

    /// Gone without a word to anybody, as after a crash.
    pub(crate) async fn crash(self) -> Reads {
        self.task.abort();
        let _ = self.task.await;
        self.reads.borrow().clone()
    }

    /// Commits what it has read and leaves.
    pub(crate) async fn close(self) -> Reads {
        self.stop.cancel();
        within("the end of a member", SOON, self.task).await.unwrap();
        self.reads.borrow().clone()
    }
}

async fn read(
    mut consumer: StreamConsumer,
    notes: watch::Sender<Reads>,
    commits: Arc<AtomicBool>,
    stop: CancellationToken,
) {
    loop {
        let record: StreamRecord = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            record = consumer.next() => record.expect("it reads for ever").unwrap(),
        };
        notes.send_modify(|reads| reads.push((record.partition, record.offset)));
        if commits.load(Ordering::Relaxed) {
            consumer.commit_async();
        }
    }
    consumer.commit().await.unwrap();
    consumer.close().await.unwrap();
}

/// Where each partition of a stream ends.
pub(crate) type Ends = BTreeMap<u32, u64>;

/// Whether these reads hold every record from `from` (the start, for a partition that is not there) to `ends`.
pub(crate) fn complete(reads: &Reads, from: &Ends, ends: &Ends) -> bool {
    let read: BTreeSet<&(u32, u64)> = reads.iter().collect();
    ends.iter().all(|(partition, end)| {
        (from.get(partition).copied().unwrap_or(0)..*end).all(|offset| read.contains(&(*partition, offset)))
    })
}

/// The records that were read more than once.
pub(crate) fn repeated(reads: &Reads) -> Reads {
    let mut read = BTreeSet::new();
    reads.iter().filter(|record| !read.insert(**record)).copied().collect()
}
