//! One cell of a sweep: a broker, a way of using it, and how hard.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Serialize;
use weir_bench::load::{self, Edge, Observer};
use weir_bench::plan::Plan;
use weir_bench::report::Report;
use weir_bench::system::{Error, System};

use crate::cluster::Cluster;
use crate::usage::Usage;
use crate::{nats, rabbitmq, weir};

/// How long nothing may happen before confirmed messages count as lost.
const PATIENCE: Duration = Duration::from_secs(60);

/// A broker, as it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A stream of Weir; acknowledged after a majority's fsync.
    WeirStream,
    /// A queue of Weir.
    WeirQueue,
    /// Acknowledged after a majority's fsync.
    RabbitmqQuorum,
    /// Acknowledged before any fsync.
    RabbitmqStream,
    /// Acknowledged before any fsync.
    NatsStream,
    /// Acknowledged before any fsync; messages are removed when they are acked.
    NatsWorkQueue,
}

/// A broker's software, which is started and stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Software {
    /// Ours.
    Weir,
    /// RabbitMQ.
    Rabbitmq,
    /// NATS.
    Nats,
}

impl Subject {
    /// What has to run.
    pub fn software(self) -> Software {
        match self {
            Self::WeirStream | Self::WeirQueue => Software::Weir,
            Self::RabbitmqQuorum | Self::RabbitmqStream => Software::Rabbitmq,
            Self::NatsStream | Self::NatsWorkQueue => Software::Nats,
        }
    }

    /// Whether an acknowledged message is on a majority's disks.
    pub fn syncs(self) -> bool {
        matches!(self, Self::WeirStream | Self::WeirQueue | Self::RabbitmqQuorum)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WeirStream => "Weir stream",
            Self::WeirQueue => "Weir queue",
            Self::RabbitmqQuorum => "RabbitMQ quorum queue",
            Self::RabbitmqStream => "RabbitMQ stream",
            Self::NatsStream => "NATS JetStream",
            Self::NatsWorkQueue => "NATS work queue",
        })
    }
}

/// How hard a broker is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Cell {
    /// Who.
    pub subject: Subject,
    /// Queues, or partitions of the one topic.
    pub queues: u32,
    /// Messages in flight, of all publishers.
    pub in_flight: u32,
    /// Bytes of a message.
    pub size: usize,
    /// Whether messages are consumed and acked at the same time.
    pub cycle: bool,
    /// Messages per second, in an open loop.
    pub rate: Option<f64>,
}

/// What a cell came to.
#[derive(Clone, Debug, Serialize)]
pub struct Measured {
    /// Which cell.
    pub cell: Cell,
    /// What the clients saw.
    pub report: Report,
    /// What it cost within the measured window.
    pub usage: Usage,
}

impl Measured {
    /// Processor seconds of servers and client per million messages.
    pub fn cpu_per_million(&self) -> f64 {
        (self.usage.cpu_s + self.report.client_cpu_s) * 1e6 / self.messages()
    }

    /// Bytes written to files per byte of a message; three copies are 3 at least.
    pub fn written_per_byte(&self) -> f64 {
        self.usage.written_bytes as f64 / (self.messages() * self.cell.size as f64)
    }

    fn messages(&self) -> f64 {
        self.report.consumed.as_ref().unwrap_or(&self.report.published).messages.max(1) as f64
    }
}

/// Warm-up and window of a cell.
#[derive(Clone, Copy, Debug)]
pub struct Length {
    /// Load that is not measured.
    pub warm_up: Duration,
    /// Load that is.
    pub duration: Duration,
}

impl Cell {
    /// Measures it on a cluster of its software. `run` names queues that nobody used before.
    pub async fn measure(
        &self,
        cluster: &mut Cluster,
        folder: &Path,
        length: Length,
        run: u64,
    ) -> Result<Measured, Error> {
        let name = format!("bench-{run:08x}");
        let meter = Arc::new(CostMeter::new(cluster.pids(), folder));
        let report = match self.subject {
            Subject::WeirStream => {
                self.load(weir::stream(&name, self.queues).await?, length, run, &meter).await
            }
            Subject::WeirQueue => {
                self.load(weir::queue(&name, self.queues).await?, length, run, &meter).await
            }
            Subject::RabbitmqQuorum => self.rabbitmq(rabbitmq::Kind::Quorum, name, length, run, &meter).await,
            Subject::RabbitmqStream => self.rabbitmq(rabbitmq::Kind::Stream, name, length, run, &meter).await,
            Subject::NatsStream => {
                let streams = nats::Streams::create(&name, self.queues, false).await?;
                self.load(Arc::new(streams), length, run, &meter).await
            }
            Subject::NatsWorkQueue => {
                let streams = nats::Streams::create(&name, self.queues, true).await?;
                self.load(Arc::new(streams), length, run, &meter).await
            }
        }?;
        cluster.check()?;
        if !report.is_sound() {
            let balance = report.balance;
            return Err(format!(
                "{}: {} messages of {} are lost, {} came out twice: this run has no figures",
                self.subject, balance.lost, balance.confirmed, balance.doubled
            )
            .into());
        }
        Ok(Measured { cell: *self, report, usage: meter.cost()? })
    }

    async fn rabbitmq(
        &self,
        kind: rabbitmq::Kind,
        name: String,
        length: Length,
        run: u64,
        meter: &Arc<CostMeter>,
    ) -> Result<Report, Error> {
        let queues = rabbitmq::Queues { kind, name, count: self.queues };
        queues.declare().await?;
        self.load(Arc::new(queues), length, run, meter).await
    }

    async fn load<S: System>(
        &self,
        system: Arc<S>,
        length: Length,
        run: u64,
        meter: &Arc<CostMeter>,
    ) -> Result<Report, Error> {
        let plan = Plan {
            size: self.size,
            publishers: self.queues.min(self.in_flight),
            consumers: if self.cycle { self.queues } else { 0 },
            in_flight: self.in_flight,
            rate: self.rate,
            warm_up: length.warm_up,
            duration: length.duration,
            patience: PATIENCE,
        };
        load::run(system, &plan, run, Arc::clone(meter)).await
    }
}

/// Reads the kernel's counters at both ends of the measured window.
struct CostMeter {
    pids: Vec<u32>,
    folder: PathBuf,
    read: Mutex<Vec<Result<Usage, Error>>>,
}

impl CostMeter {
    fn new(pids: &[u32], folder: &Path) -> Self {
        Self { pids: pids.to_vec(), folder: folder.to_owned(), read: Mutex::default() }
    }

    fn cost(&self) -> Result<Usage, Error> {
        let mut read = std::mem::take(&mut *self.read.lock().expect("nobody panics with it")).into_iter();
        let mut next = || read.next().ok_or("the window was not reached")?;
        let start = next()?;
        Ok(next()?.since(&start))
    }
}

impl Observer for CostMeter {
    fn window(&self, _: Edge) {
        self.read.lock().expect("nobody panics with it").push(Usage::now(&self.pids, &self.folder));
    }
}
