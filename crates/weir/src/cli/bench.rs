//! `weir bench`: how fast a cluster is, as its clients see it.

use std::io::{self, IsTerminal as _};
use std::sync::Arc;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use weir_bench::load::{self, Observer, Progress};
use weir_bench::plan::Plan;
use weir_bench::report::Report;
use weir_bench::scale::{Figure, Scenario, Stage};
use weir_bench::system::System;
use weir_bench::weir::{Queue, Stream, Topic};
use weir_client::{Client, Codec, NewTopic, TopicKind};

use super::{Connection, value};
use crate::failure::{Failure, Outcome};
use crate::output::{BenchView, ScaleView, Screen};

/// How long nothing may happen before confirmed messages that did not come out count as lost.
const PATIENCE: Duration = Duration::from_secs(15);

/// Measure how fast a cluster is
#[derive(Debug, Subcommand)]
pub(super) enum Bench {
    /// Append to a stream; with --consumers, read it at the same time
    Stream(StreamBench),
    /// Send to a queue, lease, and ack
    Queue(QueueBench),
    /// A queue and a stream at once, with the same load each
    Mixed(MixedBench),
    /// Very many of something in one partition: rates, and the memory of the nodes
    Scale(ScaleBench),
}

/// A scenario of `weir bench scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScaleScenario {
    /// Messages that wait for their time (10 million), then some that fire at 10,000 a second
    Scheduled,
    /// Messages of one FIFO key (1 million) that waits, beside 10,000 other keys
    HotKey,
    /// Messages that consumers hold (1 million)
    Leased,
    /// Producers that deduplicate (100,000)
    Producers,
    /// Consumer groups that read one stream (1,000)
    Groups,
    /// Members of a group (100) that restart one after the other, with a partition each
    Members,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir bench scale scheduled                         ten million of them: some minutes, some gigabytes
  weir bench scale leased --count 100000 --json")]
pub(super) struct ScaleBench {
    /// What there is very much of
    #[arg(value_enum)]
    scenario: ScaleScenario,
    /// How many; as many as the scenario names unless it is said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: Option<u64>,
    /// Copies of each partition
    #[arg(long, short, value_name = "N", default_value_t = 3)]
    replicas: u32,
    /// Leave the topic and what is in it
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir bench stream
  weir bench stream --partitions 16 --in-flight 512 --size 16KiB --duration 30s
  weir bench stream --rate 5000 --consumers 3        latency at a constant rate, end to end")]
pub(super) struct StreamBench {
    /// Readers, which share the partitions; none: what was appended is read afterwards
    #[arg(long, value_name = "N", default_value_t = 0)]
    consumers: u32,
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir bench queue
  weir bench queue --rate 2000 --consumers 8 --json
  weir bench queue --consumers 0                     only send; what was sent is consumed afterwards")]
pub(super) struct QueueBench {
    /// Workers; each holds a session at every partition
    #[arg(long, value_name = "N", default_value_t = 3)]
    consumers: u32,
    /// Messages that a worker holds unsettled at a partition, at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    credit: u32,
    #[command(flatten)]
    load: Load,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  weir bench mixed --duration 30s")]
pub(super) struct MixedBench {
    /// Workers of the queue, and readers of the stream
    #[arg(long, value_name = "N", default_value_t = 3)]
    consumers: u32,
    /// Messages that a worker holds unsettled at a partition, at most
    #[arg(long, value_name = "N", default_value_t = 256)]
    credit: u32,
    #[command(flatten)]
    load: Load,
}

/// What is the same for all.
#[derive(Clone, Debug, Args)]
struct Load {
    /// Size of a message, 32 bytes at least
    #[arg(long, value_name = "SIZE", value_parser = value::size, default_value = "1KiB")]
    size: u64,
    /// Partitions of the topic, which is made for the run
    #[arg(long, short, value_name = "N", default_value_t = 3)]
    partitions: u32,
    /// Copies of each partition
    #[arg(long, short, value_name = "N", default_value_t = 3)]
    replicas: u32,
    /// Producers, dealt to the partitions; one per partition unless named
    #[arg(long, value_name = "N")]
    producers: Option<u32>,
    /// Messages under way at most, of all producers: not yet acknowledged, or with consumers not yet consumed
    #[arg(long, value_name = "N", default_value_t = 4_096)]
    in_flight: u32,
    /// Messages per second at a constant rate, latency from the intended moment (open loop); without it as many as
    /// --in-flight lets through (closed loop)
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// How batches are compressed
    #[arg(
        long,
        value_name = "CODEC",
        default_value = "none",
        value_parser = PossibleValuesParser::new(["none", "lz4", "zstd", "snappy", "gzip"])
    )]
    compression: String,
    /// Load before the measurement begins
    #[arg(long, value_name = "SPAN", value_parser = value::span, default_value = "3s")]
    warm_up: Duration,
    /// How long is measured
    #[arg(long, value_name = "SPAN", value_parser = value::span, default_value = "10s")]
    duration: Duration,
    /// Leave the topic and what is in it
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Who consumes.
#[derive(Clone, Copy, Debug)]
struct Consumers {
    count: u32,
    credit: Option<u32>,
}

impl Bench {
    pub(super) async fn run(self, screen: Screen) -> Outcome {
        match self {
            Self::Stream(bench) => {
                let consumers = Consumers { count: bench.consumers, credit: None };
                let report = bench.load.stream(consumers, &Bar::new(&bench.load)).await?;
                show(screen, vec![("stream", report)])
            }
            Self::Queue(bench) => {
                let consumers = Consumers { count: bench.consumers, credit: Some(bench.credit) };
                let report = bench.load.queue(consumers, &Bar::new(&bench.load)).await?;
                show(screen, vec![("queue", report)])
            }
            Self::Mixed(bench) => {
                let consumers = Consumers { count: bench.consumers, credit: Some(bench.credit) };
                let bar = Bar::new(&bench.load);
                let both =
                    futures::try_join!(bench.load.queue(consumers, &bar), bench.load.stream(consumers, &bar));
                let (queue, stream) = both?;
                show(screen, vec![("queue", queue), ("stream", stream)])
            }
            Self::Scale(bench) => screen.show(&ScaleView::new(bench.measure().await?)),
        }
    }
}

/// Figures, or why there are none.
fn show(screen: Screen, reports: Vec<(&'static str, Report)>) -> Outcome {
    let unsound = reports.iter().find(|(_, report)| !report.is_sound());
    let Some((what, report)) = unsound else { return screen.show(&BenchView::new(reports)) };
    let balance = report.balance;
    let error = report.error.as_deref().map(|error| format!("; first failure: {error}")).unwrap_or_default();
    let text = format!(
        "the {what} has no figures: of {} acknowledged messages {} came out, {} are lost, {} came out twice{error}",
        balance.confirmed, balance.seen, balance.lost, balance.doubled,
    );
    Err(Failure::operation("bench-unsound", text)
        .hint("`weir cluster status` shows whether the cluster is well"))
}

impl ScaleBench {
    /// Makes a topic, plays the scenario, and takes the topic away.
    async fn measure(&self) -> Result<Vec<Figure>, Failure> {
        let scenario = self.scenario.scenario();
        let count = self.count.unwrap_or_else(|| scenario.usual());
        let options = self.connection.options();
        let client = Client::connect(options.clone()).await?;
        let name = format!("bench-scale-{:016x}", options.runtime.random_u64());
        client.admin().create_topic(scenario.topic(&name, count).replicas(self.replicas)).await?;
        let words = words();
        let telling = words.clone();
        let told = Arc::new(move |text: String| telling.set_message(text));
        let stage = Stage { options, client: client.clone(), topic: name.clone(), told };
        let played = scenario.play(&stage, count).await;
        words.finish_and_clear();
        if !self.keep {
            client.admin().delete_topic(&name).await?;
        }
        played.map_err(|error| Failure::operation("bench", error))
    }
}

impl ScaleScenario {
    fn scenario(self) -> Scenario {
        match self {
            Self::Scheduled => Scenario::Scheduled,
            Self::HotKey => Scenario::HotKey,
            Self::Leased => Scenario::Leased,
            Self::Producers => Scenario::Producers,
            Self::Groups => Scenario::Groups,
            Self::Members => Scenario::Members,
        }
    }
}

/// What is being done, on standard error if that is a terminal.
fn words() -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {elapsed}  {msg}");
    let words = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    words.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
}

impl Load {
    async fn stream(&self, consumers: Consumers, bar: &Bar) -> Result<Report, Failure> {
        self.measure(TopicKind::Stream, consumers, bar, |topic| Arc::new(Stream(topic))).await
    }

    async fn queue(&self, consumers: Consumers, bar: &Bar) -> Result<Report, Failure> {
        self.measure(TopicKind::Queue, consumers, bar, |topic| Arc::new(Queue(topic))).await
    }

    /// Makes the topic, loads it, and takes it away.
    async fn measure<S: System>(
        &self,
        kind: TopicKind,
        consumers: Consumers,
        bar: &Bar,
        system: impl FnOnce(Topic) -> Arc<S>,
    ) -> Result<Report, Failure> {
        let plan = self.plan(consumers.count);
        plan.validate().map_err(Failure::usage)?;
        let codec: Codec = self.compression.parse().map_err(Failure::usage)?;
        let options = self.connection.options();
        let client = Client::connect(options.clone()).await?;
        let run = options.runtime.random_u64();
        let name = format!("bench-{kind}-{run:016x}");
        let topic = NewTopic::new(&name, kind).partitions(self.partitions).replicas(self.replicas);
        client.admin().create_topic(topic).await?;
        let topic = Topic {
            options,
            name: name.clone(),
            partitions: self.partitions,
            codec,
            credit: consumers.credit,
        };
        let measured = load::run(system(topic), &plan, run, Arc::new(bar.clone())).await;
        bar.finish();
        if !self.keep {
            client.admin().delete_topic(&name).await?;
        }
        measured.map_err(|error| Failure::operation("bench", error))
    }

    fn plan(&self, consumers: u32) -> Plan {
        Plan {
            size: self.size as usize,
            publishers: self.producers.unwrap_or(self.partitions),
            consumers,
            in_flight: self.in_flight,
            rate: self.rate,
            warm_up: self.warm_up,
            duration: self.duration,
            patience: PATIENCE,
        }
    }
}

/// Progress on standard error: a bar on a terminal, nothing elsewhere.
#[derive(Clone)]
struct Bar(Option<ProgressBar>);

impl Bar {
    fn new(load: &Load) -> Self {
        let bar = io::stderr().is_terminal().then(|| {
            let length = (load.warm_up + load.duration).as_millis() as u64;
            let style = ProgressStyle::with_template("{bar:40} {elapsed}  {msg}");
            let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        Self(bar)
    }

    fn finish(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Bar {
    fn progress(&self, progress: Progress) {
        let Some(bar) = &self.0 else { return };
        bar.set_position(progress.elapsed.as_millis() as u64);
        let phase = if progress.draining { "; reading what is left" } else { "" };
        bar.set_message(format!(
            "{} acknowledged, {} consumed{phase}",
            progress.published, progress.consumed
        ));
    }
}
