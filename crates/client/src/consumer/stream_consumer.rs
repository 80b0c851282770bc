//! The consumer's handle.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use weir_runtime::TaskGroup;
use weir_types::{ErrorKind, TopicKind};

use super::ConsumerOptions;
use super::member::Member;
use super::membership::keep_membership;
use super::ownership::Ownership;
use crate::call::Pauses;
use crate::stream::{Chunk, Event, Source};
use crate::worker::OutputBatches;
use crate::{Client, Error, Outputs, Result, StreamRecord};

/// Events on their way to the handle: what is read ahead is bounded by each partition's credit.
const EVENTS_QUEUED_MAX: usize = 16;

/// A member of a consumer group: it owns some partitions of its streams, reads them from the group's position on, and
/// commits that position. Ownership comes and goes while it runs. Partitions that come of a split or a merge are given to
/// members when all that is in their parents is committed, so that the records of a key come in order.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic, ProducerOptions, Record};
/// # let client = Client::connect(seeds).await?;
/// # let _ = client.admin().create_topic(NewTopic::stream("invoices")).await;
/// # client.producer("invoices", ProducerOptions::default()).await?.send(Record::new("due")).await?.await?;
/// use weir_client::ConsumerOptions;
///
/// let mut consumer = client.stream_consumer("billing", &["invoices"], ConsumerOptions::default()).await?;
/// while let Some(record) = consumer.next().await {
///     let record = record?;
///     println!("{} of {}: {:?}", record.offset, record.partition, record.value);
///     consumer.commit_async();
/// #     break;
/// }
/// consumer.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct StreamConsumer {
    member: Arc<Member>,
    current: Option<Chunk>,
    events: mpsc::Receiver<Event>,
    commits: TaskGroup,
    membership: TaskGroup,
    _client: Client,
}

impl StreamConsumer {
    pub(crate) async fn join(
        client: Client,
        group: &str,
        topics: &[&str],
        options: ConsumerOptions,
    ) -> Result<Self> {
        options.validate()?;
        let core = &client.core;
        for topic in topics {
            core.topic_of(topic, TopicKind::Stream).await?;
        }
        let (sender, events) = mpsc::channel(EVENTS_QUEUED_MAX);
        let drawn = || format!("{:016x}", core.random_id());
        let member = Arc::new(Member {
            core: Arc::clone(core),
            group: group.to_owned(),
            id: options.member_id.clone().unwrap_or_else(drawn),
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            ownership: Ownership::default(),
            options,
            events: sender,
        });
        let first = member.heartbeat(core.options.request_timeout).await?;
        let mut membership = TaskGroup::new();
        membership.spawn(keep_membership(Arc::clone(&member), first));
        let commits = TaskGroup::new();
        Ok(Self { member, current: None, events, commits, membership, _client: client })
    }

    /// The next record, of whichever partition this member owns. An error concerns one partition, or the membership;
    /// reading goes on after it, so that `next` may be called again.
    ///
    /// Asking for the next record says that the ones before are handled, as far as `commit_on_revoke` is concerned.
    /// Cancel safe: a record is never lost by dropping this future.
    pub async fn next(&mut self) -> Option<Result<StreamRecord>> {
        let ownership = &self.member.ownership;
        ownership.handled();
        if let Some(error) = ownership.take_unheard() {
            return Some(Err(error));
        }
        loop {
            if let Some(chunk) = &mut self.current
                && let Some(record) = chunk.records.pop_front()
                && ownership.hand_out(chunk.source, record.offset)
            {
                return Some(Ok(record));
            }
            // Before waiting: the credit of what was handled may be what the next records wait for.
            self.current = None;
            match self.events.recv().await? {
                Ok(chunk) => self.current = Some(chunk),
                // Another member has taken over: that is how ownership ends, and no error of this one.
                Err((source, error)) if error.kind() == ErrorKind::Fenced => ownership.remove(source),
                Err((_, error)) => return Some(Err(error)),
            }
        }
    }

    /// As [`next`](Self::next), but up to `records_max` records of one partition: those that are there already.
    pub async fn next_batch(&mut self, records_max: usize) -> Option<Result<Vec<StreamRecord>>> {
        let first = match self.next().await? {
            Ok(first) => first,
            Err(error) => return Some(Err(error)),
        };
        let mut records = vec![first];
        if let Some(chunk) = &mut self.current {
            while records.len() < records_max
                && let Some(record) = chunk.records.pop_front()
                && self.member.ownership.hand_out(chunk.source, record.offset)
            {
                records.push(record);
            }
        }
        Some(Ok(records))
    }

    /// Commits the position behind the records handed out last, and appends what came of them, in one step: a crash at
    /// any moment leaves both done, or neither. When this succeeds the records will be in their partitions once, and in
    /// the order of the steps; readers see them shortly afterwards. Call it again with the same outputs when the outcome
    /// is unknown: what is done is not done again.
    ///
    /// The records since the last commit have to be of one partition: take a batch with
    /// [`next_batch`](Self::next_batch), and call this before the next one. Needs `commit_on_revoke` to be off.
    ///
    /// ```
    /// # #[tokio::main]
    /// # async fn main() -> weir_client::Result<()> {
    /// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
    /// # use weir_client::{Client, NewTopic, ProducerOptions, Record};
    /// # let client = Client::connect(seeds).await?;
    /// # let _ = client.admin().create_topic(NewTopic::stream("words")).await;
    /// # let _ = client.admin().create_topic(NewTopic::stream("lengths")).await;
    /// # client.producer("words", ProducerOptions::default()).await?.send(Record::new("weir")).await?.await?;
    /// use weir_client::{ConsumerOptions, Outputs};
    ///
    /// let options = ConsumerOptions { commit_on_revoke: false, ..ConsumerOptions::default() };
    /// let mut consumer = client.stream_consumer("measure", &["words"], options).await?;
    /// while let Some(batch) = consumer.next_batch(1_000).await {
    ///     let lengths = batch?.into_iter().map(|record| Record::new(record.value.unwrap_or_default().len().to_string()));
    ///     consumer.commit_and_append(Outputs::new().append_all("lengths", lengths)).await?;
    /// #     break;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Fenced` when the partition has got a new owner: the records come again there, and nothing was appended.
    /// `Throttled` when what was appended before does not get away: try again.
    pub async fn commit_and_append(&mut self, outputs: Outputs) -> Result<()> {
        self.step(None, outputs).await
    }

    /// The same for the records up to and with this offset; those behind it were handed out, and are left for later. What can
    /// pass is tried again until it has passed: a step that is done is not done again.
    ///
    /// # Errors
    /// Final ones. The last one that can pass, once `stop` is cancelled: the step may have been taken, and whoever has the
    /// partition next finds out.
    pub async fn take_step(
        &mut self,
        through: u64,
        outputs: Outputs,
        stop: &CancellationToken,
    ) -> Result<()> {
        let mut pauses = Pauses::default();
        loop {
            match self.step(Some(through), outputs.clone()).await {
                Err(error) if passes(&error) && !stop.is_cancelled() => {
                    tracing::warn!(group = self.member.group, %error, "a step has to wait");
                    let core = Arc::clone(&self.member.core);
                    stop.run_until_cancelled(core.sleep_jittered(pauses.next())).await;
                }
                outcome => return outcome,
            }
        }
    }

    /// Where the records come from that were handed out last.
    pub(crate) fn handed(&self) -> Option<Source> {
        self.member.ownership.handed()
    }

    /// Whether records of this source may still be committed.
    pub(crate) fn owns(&self, source: Source) -> bool {
        self.member.ownership.owns(source)
    }

    /// Gives a partition up: it comes back, and is read again from where the group stands.
    pub(crate) fn give_up(&self, source: Source) {
        self.member.ownership.remove(source);
    }

    /// Where the group stood when the records of this source began to come, or was moved to since.
    pub(crate) fn committed(&self, source: Source) -> Option<u64> {
        self.member.ownership.committed(source)
    }

    async fn step(&mut self, through: Option<u64>, outputs: Outputs) -> Result<()> {
        if self.member.options.commit_on_revoke {
            let problem = "commits records without what came of them: turn it off".to_owned();
            return Err(Error::Option { option: "commit_on_revoke", problem });
        }
        // A plain commit that is on its way would move the position under the step.
        self.commits.settle().await;
        let step = self.member.ownership.step(through)?;
        let outputs = OutputBatches::of(&self.member.core, outputs).await?;
        self.member.commit_and_append(step, &outputs).await
    }

    /// Commits the positions behind all records that `next` has handed out of partitions that are still owned, and
    /// waits until a majority of replicas has them on disk.
    ///
    /// # Errors
    /// `Fenced` when a partition has got a new owner: its records will come again there.
    pub async fn commit(&mut self) -> Result<()> {
        let mut result = self.member.ownership.take_lost().map_or(Ok(()), Err);
        for done in self.start_commits() {
            let committed = done.await.unwrap_or(Err(Error::Closed { what: "stream consumer" }));
            result = result.and(committed);
        }
        result
    }

    /// As [`commit`](Self::commit), in the background: what gathers while a commit is on its way goes with the next one.
    /// An error comes out of `next`.
    pub fn commit_async(&mut self) {
        for (source, position) in self.member.ownership.positions() {
            if let Some(position) = self.member.ownership.want_commit(source, position, None) {
                self.commits.spawn(Arc::clone(&self.member).commit(source, position));
            }
        }
    }

    /// The partitions that this member owns now: topic and partition.
    pub fn assignment(&self) -> Vec<(String, u32)> {
        self.member.ownership.partitions()
    }

    /// The epoch under which this member owns a partition; none when it does not. It grows with every new owner, so that
    /// whatever the handling of records writes elsewhere can refuse owners of the past by it.
    pub fn epoch(&self, topic: &str, partition: u32) -> Option<u64> {
        self.member.ownership.epoch(topic, partition)
    }

    /// The id of this member.
    pub fn member_id(&self) -> &str {
        &self.member.id
    }

    /// Finishes the commits that are on their way and leaves the group: its partitions go to others at once. It commits
    /// nothing by itself.
    ///
    /// # Errors
    /// When the group could not be told: it then notices after the session timeout.
    pub async fn close(self) -> Result<()> {
        self.membership.abort().await;
        self.commits.join().await;
        self.member.leave().await
    }

    fn start_commits(&mut self) -> Vec<oneshot::Receiver<Result<()>>> {
        let positions = self.member.ownership.positions();
        let start = |(source, position)| {
            let (waiter, done) = oneshot::channel();
            if let Some(position) = self.member.ownership.want_commit(source, position, Some(waiter)) {
                self.commits.spawn(Arc::clone(&self.member).commit(source, position));
            }
            done
        };
        positions.into_iter().map(start).collect()
    }
}

/// Whether an error of a step is worth another try.
pub(crate) fn passes(error: &Error) -> bool {
    !error.kind().is_final() && !matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Internal)
}

impl std::fmt::Debug for StreamConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamConsumer")
            .field("group", &self.member.group)
            .field("member_id", &self.member.id)
            .finish_non_exhaustive()
    }
}
