//! Runs an operator: takes batches, handles them, and commits each step with all that came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_types::TopicKind;

use super::Handler;
use super::task::Task;
use crate::admin::wait_for_outputs;
use crate::{
    Client, ConsumerOptions, Error, ErrorKind, NewTopic, Outputs, ReadUntil, ReaderOptions, Result, Settings,
    StreamConsumer, StreamRecord, StreamSettings,
};

/// How an operator behaves.
#[derive(Clone, Debug)]
pub struct OperatorOptions {
    /// How much older than the latest record others may be before they count as late. Default 0: timestamps never fall.
    pub out_of_order: Duration,
    /// Most records of one step: more is faster, fewer appear sooner. Default 1,000.
    pub batch_records_max: usize,
    /// Replicas of the changelog, when it is made. Default 3.
    pub changelog_replicas: u32,
    /// How it takes part in its group. `commit_on_revoke` is off whatever is said here.
    pub consumer: ConsumerOptions,
}

impl Default for OperatorOptions {
    fn default() -> Self {
        Self {
            out_of_order: Duration::ZERO,
            batch_records_max: 1_000,
            changelog_replicas: 3,
            consumer: ConsumerOptions::default(),
        }
    }
}

/// A named handler of one stream. Instances of the same name share its partitions, as members of the consumer group of that
/// name; state is kept in the stream `NAME-changelog`, which is made when it is missing.
///
/// ```
/// # #[tokio::main]
/// # async fn main() -> weir_client::Result<()> {
/// # let Ok(seeds) = std::env::var("WEIR_SEEDS") else { return Ok(()) };
/// # use weir_client::{Client, NewTopic};
/// # let client = Client::connect(seeds).await?;
/// # for topic in ["sentences", "sentence-words"] { let _ = client.admin().create_topic(NewTopic::stream(topic)).await; }
/// use tokio_util::sync::CancellationToken;
/// use weir_client::Record;
/// use weir_client::operator::{Flow, Operator};
///
/// let words = Flow::to("sentence-words").flat_map(|sentence| {
///     let text = String::from_utf8_lossy(&sentence.value.unwrap_or_default()).into_owned();
///     text.split_whitespace().map(|word| Record::new(word.to_owned()).key(word.to_owned())).collect()
/// });
/// let stop = CancellationToken::new();
/// # stop.cancel();
/// let report = Operator::new("split", "sentences", words).run(&client, stop).await?;
/// println!("{} records handled", report.records);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Operator {
    name: String,
    input: String,
    handler: Arc<dyn Handler>,
    options: OperatorOptions,
}

/// What an operator has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OperatorReport {
    /// Records that were handled and committed here.
    pub records: u64,
    /// Steps that they took.
    pub steps: u64,
    /// Records that went to another instance before they were committed here.
    pub lost: u64,
}

impl Operator {
    /// An operator that handles the records of a stream.
    pub fn new(name: impl Into<String>, input: impl Into<String>, handler: impl Handler) -> Self {
        Self {
            name: name.into(),
            input: input.into(),
            handler: Arc::new(handler),
            options: OperatorOptions::default(),
        }
    }

    /// Sets how it behaves.
    #[must_use]
    pub fn options(mut self, options: OperatorOptions) -> Self {
        self.options = options;
        self
    }

    /// The stream that keeps its state.
    pub fn changelog(&self) -> String {
        format!("{}-changelog", self.name)
    }

    /// Handles records until it is told to stop; a step that has begun is finished.
    ///
    /// # Errors
    /// [`Error::Handler`] for a record that the handler refuses. Others as of [`StreamConsumer`] and
    /// [`commit_and_append`](StreamConsumer::commit_and_append).
    pub async fn run(&self, client: &Client, stop: CancellationToken) -> Result<OperatorReport> {
        if self.handler.keeps_state() {
            self.make_changelog(client).await?;
        }
        let options = ConsumerOptions { commit_on_revoke: false, ..self.options.consumer.clone() };
        let consumer = client.stream_consumer(&self.name, &[&self.input], options).await?;
        let mut running = Running {
            operator: self,
            client,
            consumer,
            tasks: BTreeMap::new(),
            report: OperatorReport::default(),
        };
        let outcome = running.until(stop).await;
        running.consumer.close().await?;
        outcome.map(|()| running.report)
    }

    async fn make_changelog(&self, client: &Client) -> Result<()> {
        let partitions = client.core.topic_of(&self.input, TopicKind::Stream).await?.partitions.len() as u32;
        // What is in it counts until a later record of the key, so it never gets too old.
        let settings = StreamSettings { retention_ms: Some(0), ..StreamSettings::default() };
        let changelog = NewTopic::stream(self.changelog())
            .partitions(partitions)
            .replicas(self.options.changelog_replicas)
            .settings(Settings::Stream(settings));
        match client.admin().create_topic(changelog).await {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether it is worth trying again.
fn passes(error: &Error) -> bool {
    !error.kind().is_final() && error.kind() != ErrorKind::Corrupt
}

/// An operator at work.
struct Running<'a> {
    operator: &'a Operator,
    client: &'a Client,
    consumer: StreamConsumer,
    /// By partition, with the epoch under which it was taken over.
    tasks: BTreeMap<u32, (u64, Task)>,
    report: OperatorReport,
}

impl Running<'_> {
    async fn until(&mut self, stop: CancellationToken) -> Result<()> {
        let most = self.operator.options.batch_records_max;
        while let Some(batch) = stop.run_until_cancelled(self.consumer.next_batch(most)).await.flatten() {
            match batch {
                Ok(records) => self.handle(&records).await?,
                // Of one partition, or the membership: either is tried on.
                Err(error) => {
                    tracing::warn!(operator = self.operator.name, %error, "an operator has to wait")
                }
            }
        }
        Ok(())
    }

    /// Handles records of one partition, step by step.
    async fn handle(&mut self, mut records: &[StreamRecord]) -> Result<()> {
        let Some(partition) = records.first().map(|record| record.partition) else { return Ok(()) };
        while !records.is_empty() {
            let outcome = self.step(partition, records).await;
            match outcome {
                Ok(count) => {
                    self.report.records += count as u64;
                    self.report.steps += 1;
                    records = &records[count..];
                }
                Err(error) if error.kind() == ErrorKind::Fenced => {
                    // What the task did counts for nothing; whoever has the partition now begins where the group stands.
                    self.tasks.remove(&partition);
                    self.report.lost += records.len() as u64;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Handles records from the front, and commits them with what came of them; how many.
    async fn step(&mut self, partition: u32, records: &[StreamRecord]) -> Result<usize> {
        let Some(epoch) = self.consumer.epoch(&self.operator.input, partition) else {
            let text = format!("partition {partition} of `{}` went to another member", self.operator.input);
            return Err(Error::new(ErrorKind::Fenced, "group-fenced", text));
        };
        if self.tasks.get(&partition).is_none_or(|(since, _)| *since != epoch) {
            let task = self.restore(partition).await?;
            self.tasks.insert(partition, (epoch, task));
        }
        let (_, task) = self.tasks.get_mut(&partition).expect("the task was made just now");
        let handled =
            task.handle(&*self.operator.handler, records).map_err(|(place, error)| Error::Handler {
                topic: self.operator.input.clone(),
                partition,
                offset: records[place].offset,
                reason: error.to_string(),
            })?;
        let changelog = self.operator.changelog();
        let append = |outputs: Outputs, change| outputs.append_to(&changelog, partition, change);
        let outputs = handled.changes.into_iter().fold(handled.outputs, append);
        let through = records[handled.records - 1].offset;
        loop {
            match self.consumer.commit_and_append_through(through, outputs.clone()).await {
                // It happened or not, and asking again finds out: the same step is never taken twice.
                Err(error) if passes(&error) => {
                    tracing::warn!(operator = self.operator.name, partition, %error, "a step has to wait");
                }
                outcome => return outcome.map(|()| handled.records),
            }
        }
    }

    /// The task of a partition that was just taken over, from its changelog. Former owners append nothing any more, and
    /// what they did append is waited for.
    async fn restore(&self, partition: u32) -> Result<Task> {
        let out_of_order_ms = self.operator.options.out_of_order.as_millis() as u64;
        if !self.operator.handler.keeps_state() {
            return Ok(Task::restored([], out_of_order_ms));
        }
        let core = &self.client.core;
        let route = core.topic_of(&self.operator.input, TopicKind::Stream).await?;
        let found = route.partitions.iter().find(|found| found.partition == partition);
        if let Some(found) = found {
            wait_for_outputs(core, found.group).await?;
        }
        let options = ReaderOptions {
            until: ReadUntil::End,
            partitions: Some(vec![partition]),
            ..ReaderOptions::default()
        };
        let mut reader = self.client.stream_reader(&self.operator.changelog(), options).await?;
        let mut changelog = Vec::new();
        while let Some(record) = reader.next().await {
            match record {
                Ok(record) => changelog.push((record.key.unwrap_or_default(), record.value)),
                Err(error) if passes(&error) => {
                    tracing::warn!(operator = self.operator.name, partition, %error, "a changelog has to wait");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Task::restored(changelog, out_of_order_ms))
    }
}

impl std::fmt::Debug for Operator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Operator")
            .field("name", &self.name)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}
