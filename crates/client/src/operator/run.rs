//! Runs an operator: takes batches, handles them, and commits each step with all that came of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use weir_types::{Retention, TopicKind, TopicPolicy};

use super::Handler;
use super::state::State;
use super::task::Task;
use crate::admin::{offsets_of, partition_of, wait_for_outputs};
use crate::call::Pauses;
use crate::consumer::passes;
use crate::stream::Source;
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

    /// Handles records until it is told to stop. A step that has begun is finished, unless it has to wait for the cluster.
    ///
    /// # Errors
    /// [`Error::Handler`] for a record that the handler refuses; `Invalid` (`changelog-unfit`) for a changelog that cannot
    /// be this operator's, or whose state is not of where the group stands, and when partitions of the input or the changelog
    /// of an operator with state are split or merged. Others as of [`StreamConsumer`] and
    /// [`take_step`](StreamConsumer::take_step).
    pub async fn run(&self, client: &Client, stop: CancellationToken) -> Result<OperatorReport> {
        if self.handler.keeps_state() {
            self.make_changelog(client).await?;
        }
        let options = ConsumerOptions { commit_on_revoke: false, ..self.options.consumer.clone() };
        let consumer = client.stream_consumer(&self.name, &[&self.input], options).await?;
        let (tasks, report) = (BTreeMap::new(), OperatorReport::default());
        let mut running = Running { operator: self, client, consumer, tasks, stop, elsewhere: 0, report };
        let outcome = running.until_stopped().await;
        let closed = running.consumer.close().await;
        outcome.and(closed).map(|()| running.report)
    }

    async fn make_changelog(&self, client: &Client) -> Result<()> {
        let input = client.core.topic_of(&self.input, TopicKind::Stream).await?;
        let partitions = input.partitions.len() as u32;
        if input.is_reshaped() {
            return Err(self.reshaped(&self.input));
        }
        // What is in it counts until a later record of the key, so it never gets too old, and no longer than that.
        let settings =
            StreamSettings { retention_ms: Some(0), compact: Some(true), ..StreamSettings::default() };
        let changelog = NewTopic::stream(self.changelog())
            .partitions(partitions)
            .replicas(self.options.changelog_replicas)
            .settings(Settings::Stream(settings));
        match client.admin().create_topic(changelog).await {
            Ok(_) => return Ok(()),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        let found = client.admin().describe_topic(&self.changelog()).await?.topic;
        let keeps_all = match &found.policy {
            TopicPolicy::Stream(policy) => policy.retention == Retention::default(),
            TopicPolicy::Queue(_) => false,
        };
        let route = client.core.topic(&self.changelog()).await?;
        if route.is_reshaped() {
            return Err(self.reshaped(&route.name));
        }
        if keeps_all && route.partitions.len() as u32 == partitions {
            return Ok(());
        }
        let text = format!(
            "`{}` has to be a stream of {partitions} partitions, as `{}`, that keeps its records for ever",
            self.changelog(),
            self.input
        );
        Err(Error::new(ErrorKind::Invalid, UNFIT, text))
    }

    /// The state of a partition is in the changelog's partition of the same number, for the keys that both had from the
    /// beginning.
    fn reshaped(&self, topic: &str) -> Error {
        let text = format!(
            "partitions of `{topic}` were split or merged, and the state of operator `{}` is kept by partition",
            self.name
        );
        Error::new(ErrorKind::Invalid, UNFIT, text)
    }
}

/// The code of a changelog that cannot be the operator's.
const UNFIT: &str = "changelog-unfit";
/// How often a partition is taken over anew when its state is not of where the group stands.
const ELSEWHERE_MAX: u32 = 3;

/// An operator at work.
struct Running<'a> {
    operator: &'a Operator,
    client: &'a Client,
    consumer: StreamConsumer,
    /// By where their records come from: a partition that comes back is another source.
    tasks: BTreeMap<Source, Task>,
    stop: CancellationToken,
    /// How often in a row a state was not of where the group stands.
    elsewhere: u32,
    report: OperatorReport,
}

impl Running<'_> {
    async fn until_stopped(&mut self) -> Result<()> {
        let (stop, most) = (self.stop.clone(), self.operator.options.batch_records_max);
        while let Some(batch) = stop.run_until_cancelled(self.consumer.next_batch(most)).await.flatten() {
            match batch {
                Ok(records) => self.handle(&records).await?,
                // Of one partition, or the membership: either is tried on.
                Err(error) => {
                    tracing::warn!(operator = self.operator.name, %error, "an operator has to wait");
                }
            }
        }
        Ok(())
    }

    /// Handles records of one partition, step by step.
    async fn handle(&mut self, mut records: &[StreamRecord]) -> Result<()> {
        self.tasks.retain(|source, _| self.consumer.owns(*source));
        let Some(source) = self.consumer.handed() else { return Ok(()) };
        while !records.is_empty() {
            match self.step(source, records).await {
                Ok(count) => {
                    self.report.records += count as u64;
                    self.report.steps += 1;
                    records = &records[count..];
                }
                // What the task did counts for nothing: whoever has the partition next, perhaps this one again, begins
                // where the group stands.
                Err(error)
                    if error.kind() == ErrorKind::Fenced || passes(&error) && self.stop.is_cancelled() =>
                {
                    self.tasks.remove(&source);
                    self.consumer.give_up(source);
                    self.report.lost += records.len() as u64;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Handles records from the front, and commits them with what came of them; how many.
    async fn step(&mut self, source: Source, records: &[StreamRecord]) -> Result<usize> {
        self.check_shapes().await?;
        let partition = records[0].partition;
        if !self.tasks.contains_key(&source) {
            let task = self.take_over(source, partition).await?;
            self.tasks.insert(source, task);
        }
        let task = self.tasks.get_mut(&source).expect("the task was made just now");
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
        self.consumer.take_step(through, outputs, &self.stop).await.map(|()| handled.records)
    }

    /// The task of a partition that was just taken over, from its changelog. What can pass is tried again.
    async fn take_over(&mut self, source: Source, partition: u32) -> Result<Task> {
        let out_of_order_ms = self.operator.options.out_of_order.as_millis() as u64;
        if !self.operator.handler.keeps_state() {
            return Ok(Task::restored(State::default(), out_of_order_ms));
        }
        let mut pauses = Pauses::default();
        let state = loop {
            match self.restore(source, partition).await {
                Err(error) if passes(&error) && !self.stop.is_cancelled() => {
                    tracing::warn!(operator = self.operator.name, partition, %error, "a state has to wait");
                    let core = Arc::clone(&self.client.core);
                    self.stop.run_until_cancelled(core.sleep_jittered(pauses.next())).await;
                }
                outcome => break outcome?,
            }
        };
        let task = Task::restored(state, out_of_order_ms);
        self.check_place(source, partition, &task)?;
        Ok(task)
    }

    /// Neither the input nor the changelog of an operator with state may have been split or merged.
    async fn check_shapes(&self) -> Result<()> {
        if !self.operator.handler.keeps_state() {
            return Ok(());
        }
        for topic in [&self.operator.input, &self.operator.changelog()] {
            if self.client.core.topic_of(topic, TopicKind::Stream).await?.is_reshaped() {
                return Err(self.operator.reshaped(topic));
            }
        }
        Ok(())
    }

    /// A state is of one place in the input. Another process under the same member id may have taken a step since this one
    /// took the partition over: then it is given up, and comes back. What stays apart was moved by hand.
    fn check_place(&mut self, source: Source, partition: u32, task: &Task) -> Result<()> {
        let (stands, state) = (self.consumer.committed(source), task.position());
        if stands == state {
            self.elsewhere = 0;
            return Ok(());
        }
        self.elsewhere += 1;
        let place =
            |place: Option<u64>| place.map_or_else(|| "the beginning".to_owned(), |place| place.to_string());
        let text = format!(
            "group `{}` stands at {} in partition {partition}, and the state in `{}` is of {}",
            self.operator.name,
            place(stands),
            self.operator.changelog(),
            place(state)
        );
        let kind = if self.elsewhere < ELSEWHERE_MAX { ErrorKind::Fenced } else { ErrorKind::Invalid };
        Err(Error::new(kind, UNFIT, text))
    }

    /// What the changelog holds for a partition. Former owners append nothing any more, and what they did append is waited
    /// for.
    async fn restore(&self, source: Source, partition: u32) -> Result<State> {
        let core = &self.client.core;
        let changelog = self.operator.changelog();
        let route = core.topic_of(&changelog, TopicKind::Stream).await?;
        // It came of a split that the routing table here does not show yet.
        let group =
            partition_of(&route, partition).map_err(|_| self.operator.reshaped(&self.operator.input))?.group;
        wait_for_outputs(core, source.group, group).await?;
        let end = offsets_of(core, group, None).await?.end_offset;
        let options = ReaderOptions {
            until: ReadUntil::End,
            partitions: Some(vec![partition]),
            ..ReaderOptions::default()
        };
        let mut reader = self.client.stream_reader(&changelog, options).await?;
        let (mut state, mut next) = (State::default(), 0);
        while let Some(record) = reader.next().await {
            let record = record?;
            next = record.offset + 1;
            state.restore(record.key.unwrap_or_default(), record.value);
        }
        if next < end {
            let text =
                format!("`{changelog}` partition {partition} was read up to {next}, and ends at {end}");
            return Err(Error::new(ErrorKind::Retry, "no-answer", text));
        }
        Ok(state)
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
