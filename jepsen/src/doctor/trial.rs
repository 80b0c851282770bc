//! Every kind of fault once, on a real cluster under a small load: not whether the cluster bears it well, which runs
//! judge, but whether the fault happens and can be undone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;
use weir_checker::{Fault, FaultPhase, Lost};
use weir_client::{Client, ClientOptions, NewTopic, ProducerOptions, Record};

use crate::env::{Error, Result, Seat, Site, SiteOptions};
use crate::nemesis::{Journal, Kind, Leaders, Led, Nemesis, Step, Target};

const TOPIC: &str = "tried";
const PARTITIONS: u32 = 3;
/// Pause between two records of the load.
const PAUSE: Duration = Duration::from_millis(10);
/// How long a record, or a question about leaders, may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the journal was told.
type Heard = (Fault, Option<String>);

/// How a kind went.
#[derive(Clone, Debug, Serialize)]
pub struct Tried {
    /// Which.
    pub kind: Kind,
    /// Whether it began and ended as told, and all nodes were ready afterwards.
    pub well: bool,
    /// The nodes that it befell.
    pub nodes: Vec<String>,
    /// What the fault said of itself, from its beginning to its end.
    pub told: Vec<String>,
    /// What went wrong: in making or undoing it, or with nodes that had nothing to do with it.
    pub problems: Vec<String>,
    /// Records acknowledged while it lasted.
    pub acknowledged: u64,
    /// From its beginning until everything was healed, in milliseconds.
    pub took_ms: u64,
}

/// Makes a site and tries these kinds on it, one after the other, each for so long. `each` is told after every one.
pub fn try_kinds(
    options: SiteOptions,
    kinds: &[Kind],
    lasts: Duration,
    mut each: impl FnMut(&Tried),
) -> Result<Vec<Tried>> {
    let seed = options.seed;
    let site = Site::start(SiteOptions { spares: options.spares.max(1), ..options })?;
    let load = Load::start(&site)?;
    let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
    let journal: Journal = {
        let heard = Arc::clone(&heard);
        Arc::new(move |fault, failed| heard.lock().push((fault, failed)))
    };
    let nemesis = Nemesis::new(Arc::clone(&site), seed, journal);
    let mut all = Vec::with_capacity(kinds.len());
    for (place, kind) in kinds.iter().enumerate() {
        let (leaders, before, began) = (load.leaders(), load.acknowledged(), Instant::now());
        let target = Target::Leader(place as u32);
        let seed = seed + place as u64;
        nemesis.perform(Step { at: Duration::ZERO, lasts, kind: *kind, target, seed }, leaders);
        nemesis.wait();
        let acknowledged = load.acknowledged() - before;
        let mut problems = nemesis.heal_all();
        problems.extend(site.look().into_iter().map(in_words));
        let tried = judge(*kind, &std::mem::take(&mut *heard.lock()), problems, acknowledged, began);
        each(&tried);
        all.push(tried);
    }
    load.stop();
    site.stop();
    Ok(all)
}

fn in_words(lost: Lost) -> String {
    match lost {
        Lost::Node { node, line } => format!("{node}: {line}"),
        Lost::Task(text) => text,
        Lost::Stall(micros) => format!("stalled for {micros} µs"),
    }
}

fn judge(kind: Kind, heard: &[Heard], mut problems: Vec<String>, acknowledged: u64, began: Instant) -> Tried {
    problems.extend(heard.iter().filter_map(|(_, failed)| failed.clone()));
    let phases: Vec<FaultPhase> = heard.iter().map(|(fault, _)| fault.phase).collect();
    let whole = phases == [FaultPhase::Begin, FaultPhase::End];
    let told = heard.iter().map(|(fault, _)| fault.detail.clone()).filter(|detail| !detail.is_empty());
    Tried {
        kind,
        well: whole && problems.is_empty(),
        nodes: heard.first().map(|(fault, _)| fault.nodes.clone()).unwrap_or_default(),
        told: told.collect(),
        problems,
        acknowledged,
        took_ms: began.elapsed().as_millis() as u64,
    }
}

/// A producer on the clients' host, and a look at the leaders from the observer's.
struct Load {
    site: Arc<Site>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(site: &Arc<Site>) -> Result<Self> {
        let (stop, acknowledged) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        on_host(site, Seat::Observer, async |client| {
            let topic = NewTopic::stream(TOPIC).partitions(PARTITIONS).replicas(3);
            client.admin().create_topic(topic).await.map_err(|error| Error::Unable(error.to_string()))
        })??;
        let thread = {
            let (site, stop, count) = (Arc::clone(site), Arc::clone(&stop), Arc::clone(&acknowledged));
            std::thread::spawn(move || {
                let _ = on_host(&site, Seat::Clients, async |client| produce(&client, &stop, &count).await);
            })
        };
        Ok(Self { site: Arc::clone(site), stop, acknowledged, threads: vec![thread] })
    }

    fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Who leads what; nothing when nobody answers in time.
    fn leaders(&self) -> Leaders {
        let asked = on_host(&self.site, Seat::Observer, async |client| {
            let admin = client.admin();
            tokio::time::timeout(PATIENCE, admin.cluster_status()).await
        });
        let Ok(Ok(Ok(status))) = asked else { return Leaders::default() };
        let name = |id: &u64| {
            status
                .nodes
                .iter()
                .find(|node| node.node_id == *id)
                .map(|node| node.name.clone())
                .unwrap_or_default()
        };
        let led = |partition: &weir_client::PartitionStatus| Led {
            topic: partition.topic.clone(),
            partition: partition.partition,
            leader: partition.leader.as_ref().map(name),
            voters: partition.voters.iter().map(name).collect(),
        };
        Leaders { partitions: status.partitions.iter().map(led).collect() }
    }

    fn stop(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

async fn produce(client: &Client, stop: &AtomicBool, acknowledged: &AtomicU64) {
    let options = ProducerOptions { delivery_timeout: PATIENCE, ..ProducerOptions::default() };
    let Ok(producer) = client.producer(TOPIC, options).await else { return };
    while !stop.load(Ordering::Relaxed) {
        let sent = async { producer.send(Record::new(vec![7; 512])).await?.await };
        if sent.await.is_ok() {
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Does something with a client on a host.
fn on_host<T: Send>(site: &Site, seat: Seat, work: impl AsyncFnOnce(Client) -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| {
            site.enter(seat)?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|source| Error::Io { what: "a runtime".to_owned(), source })?;
            runtime.block_on(async {
                let client = Client::connect(ClientOptions::new(site.seeds())).await;
                let client = client.map_err(|error| Error::Unable(error.to_string()))?;
                Ok(work(client).await)
            })
        });
        inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
