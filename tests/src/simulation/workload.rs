//! The clients: they make a queue and a stream, load both, take everything out again, and write down what they were told.
//!
//! ```text
//!  forming ──topics are there──► load, faults ──healed──► last writes, drain ──empty──► last read ──► over
//! ```
//!
//! Each client has one partition, but where partitions are split and merged (`reshaped.rs`).

mod atlas;
mod flavour;
mod group;
mod member;
mod parked;
mod produce;
mod read;
mod replay;
mod reshaped;
mod seat;
mod shaper;
mod topics;
mod watch;
mod work;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use weir_checker::{Consumer, Op, Phase};
use weir_types::{ErrorKind, GroupId, ProducerEpoch, ProducerId, WeirError};

use super::client::Client;
use super::network::SimulatedNetwork;
use super::options::Options;
use super::trace::Trace;
use super::wire::{Answer, Question};
use super::world::Ended;
use crate::recorder::{Begun, End, Recorder};
pub use flavour::Flavour;
use produce::Door;
use topics::Partitions;

/// The queue and the stream.
const QUEUE: &str = "tasks";
const STREAM: &str = "events";
/// The consumer group of the stream.
const GROUP: &str = "readers";
/// Owners that contend for each partition in it.
const OWNERS: u32 = 2;
/// Consumers of the queue.
const WORKERS: u32 = 2;
/// Between two looks at what is left: nothing tells a client that a queue is empty.
const LOOK: Duration = Duration::from_millis(200);
/// P16: how long the cluster may take to accept writes again once everything has healed.
pub(super) const WRITABLE_WITHIN: Duration = Duration::from_secs(10);

/// What the clients and the driver of the simulation tell each other.
#[derive(Clone, Default)]
pub(super) struct Signals {
    /// The topics are there: the load begins.
    pub(super) loading: CancellationToken,
    /// Producers are silent until everything heals.
    pub(super) quiet: CancellationToken,
    /// All faults are over: the load ends.
    pub(super) healed: CancellationToken,
    /// The clients have everything.
    pub(super) drained: CancellationToken,
    /// Replicas are equal, or are not in time: the run ends.
    pub(super) converged: CancellationToken,
}

/// What was written down.
#[derive(Clone)]
pub(super) struct Journal {
    /// What clients asked and were told.
    pub(super) recorder: Arc<Recorder>,
    trace: Trace,
    violations: Arc<Mutex<Vec<String>>>,
}

impl Journal {
    pub(super) fn new(trace: Trace) -> Self {
        Self { recorder: Arc::default(), trace, violations: Arc::default() }
    }

    /// An operation is about to be asked for.
    fn begin(&self) -> Begun {
        self.recorder.begin()
    }

    /// An operation ends now.
    fn end(&self, begun: Begun, op: Op, end: End) {
        self.trace.note(format_args!("{op:?} {end:?}"));
        self.recorder.end(begun, op, end);
    }

    /// Something that the clients saw, and nobody asked for.
    fn note(&self, op: Op) {
        self.trace.note(format_args!("{op:?}"));
        self.recorder.note(op);
    }

    /// Something for who reads the trace.
    fn remark(&self, what: impl fmt::Display) {
        self.trace.note(what);
    }

    /// Something that no history shows.
    fn violated(&self, what: impl fmt::Display) {
        self.trace.note(format_args!("VIOLATED {what}"));
        self.violations.lock().push(what.to_string());
    }

    /// What no history shows.
    pub(super) fn violations(&self) -> Vec<String> {
        self.violations.lock().clone()
    }
}

/// The clients of one run.
#[derive(Clone)]
pub(super) struct Workload {
    pub(super) options: Options,
    pub(super) signals: Signals,
    pub(super) journal: Journal,
    pub(super) trace: Trace,
    pub(super) network: SimulatedNetwork,
}

impl Workload {
    /// Runs until everything that was written is taken out again. An error fails the run.
    pub(super) async fn run(self) -> Ended {
        let control = self.client("control", 0);
        let partitions = self.create_topics(&control).await?;
        self.trace.note("the topics are there");
        self.journal.recorder.faults_begin();
        self.signals.loading.cancel();
        let stream = if self.options.rules.reshaped {
            self.load_reshaped(&control).await?
        } else {
            self.load(&control, &partitions).await?;
            (0..).zip(partitions.stream.iter().copied()).collect()
        };
        self.journal.recorder.note(Op::Phase(Phase::End));
        for place in stream {
            read::to_the_end(&control, &self.journal, place).await?;
            watch::bounds(&control, &self.journal, place).await?;
        }
        if self.options.rules.kept {
            for (index, group) in (0..).zip(&partitions.queue) {
                replay::all(&control, &self.journal, (index, *group)).await?;
            }
        }
        self.signals.drained.cancel();
        self.signals.converged.cancelled().await;
        Ok(())
    }

    /// Everything from the first record until all is drained.
    async fn load(&self, control: &Client, partitions: &Partitions) -> Ended {
        let mut producers = JoinSet::new();
        self.start_producers(control, partitions, &mut producers).await?;
        let (mut consumers, drained) = (JoinSet::new(), CancellationToken::new());
        self.start_consumers(partitions, &drained, &mut consumers);
        let mut owners = JoinSet::new();
        self.start_owners(&partitions.stream, &mut owners);
        let healed = self.last_writes(&mut producers).await?;
        join(&mut owners).await?;
        self.drain(control, partitions).await?;
        self.trace.note(format_args!("drained after {:?}", healed.elapsed()));
        drained.cancel();
        join(&mut consumers).await
    }

    /// Waits until all has healed and producers have sent their last records; when it had healed.
    async fn last_writes(&self, producers: &mut JoinSet<Result<(), WeirError>>) -> Ended<Instant> {
        self.signals.healed.cancelled().await;
        let healed = Instant::now();
        join(producers).await?;
        self.trace.note(format_args!("every partition took its last write after {:?}", healed.elapsed()));
        if healed.elapsed() > WRITABLE_WITHIN {
            self.journal.violated(format_args!(
                "P16 writes were accepted only {:?} after the heal",
                healed.elapsed()
            ));
        }
        Ok(healed)
    }

    /// A new producer's id and epoch.
    async fn producer(&self, control: &Client) -> Result<(ProducerId, ProducerEpoch), WeirError> {
        let question = Question::InitProducer { request: control.request() };
        match control.ask(None, &question, Duration::from_secs(1)).await? {
            Answer::Producer { id, epoch } => Ok((id, epoch)),
            other => Err(produce::unexpected(&other)),
        }
    }

    fn client(&self, name: &str, number: u64) -> Client {
        let seed = self.options.seed.rotate_left(48) ^ number.wrapping_mul(0x9e37_79b9);
        Client::new(name.to_owned(), self.network.clone(), self.options.nodes, seed, self.trace.clone())
    }

    async fn start_producers(
        &self,
        control: &Client,
        partitions: &Partitions,
        producers: &mut JoinSet<Result<(), WeirError>>,
    ) -> Result<(), WeirError> {
        let Partitions { queue, stream, inlet, outlet, .. } = partitions;
        let doors = if self.options.rules.linked {
            [(Door::Inlet, inlet), (Door::Outlet, outlet)]
        } else {
            [(Door::Queue(self.options.rules.flavour), queue), (Door::Stream, stream)]
        };
        let each = doors.into_iter().flat_map(|door| (0..self.options.producers).map(move |_| door));
        for (number, (door, groups)) in (0..).zip(each) {
            let producer = self.producer(control).await?;
            let next = Arc::new(AtomicU64::new(0));
            for (index, group) in (0..).zip(groups) {
                let seed = 1_000 + 10 * u64::from(number) + u64::from(index);
                let lane = produce::Lane {
                    client: self.client(&format!("producer {number}/{index}"), seed),
                    journal: self.journal.clone(),
                    door,
                    partition: (index, *group),
                    producer,
                    number,
                    next: Arc::clone(&next),
                    pace_ms_max: self.options.pace_ms_max,
                    keyed: false,
                };
                producers.spawn(lane.run(self.signals.quiet.clone(), self.signals.healed.clone()));
            }
        }
        Ok(())
    }

    fn start_consumers(
        &self,
        partitions: &Partitions,
        drained: &CancellationToken,
        consumers: &mut JoinSet<Result<(), WeirError>>,
    ) {
        for number in 0..WORKERS {
            for (index, group) in (0..).zip(&partitions.queue) {
                let seed = 200 + 10 * u64::from(number) + u64::from(index);
                let worker = work::Worker {
                    client: self.client(&format!("worker {number}/{index}"), seed),
                    journal: self.journal.clone(),
                    number,
                    partition: (index, *group),
                    lease_ms: self.options.lease_ms,
                    wait_ms: work::WAIT_MS,
                    outputs: self.options.ack_and_append.then(|| work::Outputs {
                        to: work::Destination::Any(partitions.stream.clone()),
                        producer: 1_000 + 10 * number + index,
                        next: AtomicU64::new(0),
                    }),
                    careful: self.signals.healed.clone(),
                };
                consumers.spawn(worker.run(drained.clone()));
            }
        }
        for (index, group) in (0..).zip(&partitions.queue) {
            let undertaker = parked::Undertaker {
                client: self.client(&format!("undertaker {index}"), 400 + u64::from(index)),
                journal: self.journal.clone(),
                partition: (index, *group),
                discards: self.options.discards,
                careful: self.signals.healed.clone(),
            };
            consumers.spawn(undertaker.run(drained.clone()));
        }
        for (index, group) in (0..).zip(&partitions.stream) {
            let partition = (index, *group);
            let client = self.client(&format!("reader {index}"), 300 + u64::from(index));
            consumers.spawn(read::follow(client, self.journal.clone(), partition, drained.clone()));
            let client = self.client(&format!("watcher {index}"), 500 + u64::from(index));
            let pace = self.options.pace_ms_max;
            consumers.spawn(watch::watch(client, self.journal.clone(), partition, pace, drained.clone()));
        }
    }

    fn start_owners(&self, groups: &[GroupId], owners: &mut JoinSet<Result<(), WeirError>>) {
        for (index, group) in (0..).zip(groups) {
            let epochs = Arc::new(AtomicU64::new(0));
            for number in 0..OWNERS {
                let seed = 600 + 10 * u64::from(number) + u64::from(index);
                let owner = group::Owner {
                    client: self.client(&format!("owner {number}/{index}"), seed),
                    journal: self.journal.clone(),
                    consumer: Consumer(200 + number),
                    partition: (index, *group),
                    epochs: Arc::clone(&epochs),
                    pause_ms_max: self.options.pace_ms_max,
                    outputs: self.options.commit_and_append.then(|| work::Outputs {
                        to: work::Destination::Any(groups.to_vec()),
                        producer: 2_000 + 10 * number + index,
                        next: AtomicU64::new(0),
                    }),
                };
                owners.spawn(owner.run(self.signals.healed.clone()));
            }
        }
    }

    /// Waits until links have carried all there was, the queue is empty and the follower has read everything.
    async fn drain(&self, control: &Client, partitions: &Partitions) -> Result<(), WeirError> {
        self.carried(control, partitions).await?;
        for group in partitions.outlet.iter().chain(&partitions.queue) {
            while count(control, *group, &Question::Left { group: *group }).await? > 0 {
                sleep(LOOK).await;
            }
        }
        for group in &partitions.stream {
            while count(control, *group, &Question::Outbox { group: *group }).await? > 0 {
                sleep(LOOK).await;
            }
        }
        for (index, group) in (0..).zip(&partitions.stream) {
            let end = count(control, *group, &Question::End { group: *group }).await?;
            while read::next_of(&self.journal, index) < end {
                sleep(LOOK).await;
            }
        }
        Ok(())
    }

    /// Waits until every record of the stream that feeds the queue was sent on.
    async fn carried(&self, control: &Client, partitions: &Partitions) -> Result<(), WeirError> {
        let Some(name) = &partitions.subscription else { return Ok(()) };
        for group in &partitions.inlet {
            let position = Question::Position { group: *group, consumers: name.clone() };
            let end = count(control, *group, &Question::End { group: *group }).await?;
            loop {
                match control.ask(Some(*group), &position, Duration::ZERO).await? {
                    Answer::Position { committed } if committed.unwrap_or(0) >= end => break,
                    Answer::Position { .. } => sleep(LOOK).await,
                    other => return Err(produce::unexpected(&other)),
                }
            }
        }
        Ok(())
    }
}

/// How an operation ended of which a client was told this error.
fn ended(error: &WeirError) -> End {
    let text = format!("{}: {}", error.code, error.message);
    if error.kind == ErrorKind::OutcomeUnknown { End::Info(text) } else { End::Fail(text) }
}

async fn count(client: &Client, group: GroupId, question: &Question) -> Result<u64, WeirError> {
    match client.ask(Some(group), question, Duration::from_secs(1)).await? {
        Answer::Count(count) => Ok(count),
        other => Err(produce::unexpected(&other)),
    }
}

async fn join(tasks: &mut JoinSet<Result<(), WeirError>>) -> Ended {
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}
