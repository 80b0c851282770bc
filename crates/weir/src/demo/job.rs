//! The job itself, on a cluster that runs: publish, count, kill, sum, compare.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::task::AbortOnDropHandle;
use weir_client::{Client, NewTopic};

use super::cluster::Cluster;
use super::feed::feed;
use super::kill;
use super::probe::Probes;
use super::progress::Progress;
use super::report::{Kill, Report};
use super::sum::{Ends, sum};
use super::tally::{AckTally, Latencies};
use super::wc::{WordRule, by_wc};
use super::workers::Workers;
use super::{NODES, PARTITIONS, QUEUE, STREAM};

/// Processes of workers, two workers each.
const PROCESSES: u32 = 2;
/// How long one look at the cluster may take.
const LOOK_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks at what nothing tells us about.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// How often it is seen whether the nodes still run.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// How long anything may take that only has to finish.
const FINISH_WITHIN: Duration = Duration::from_mins(2);

/// What to do.
pub(super) struct Job {
    pub(super) files: Vec<PathBuf>,
    pub(super) rounds: u64,
    pub(super) within: Duration,
}

type Running<T> = AbortOnDropHandle<Result<T, String>>;

fn start<T: Send + 'static>(work: impl Future<Output = Result<T, String>> + Send + 'static) -> Running<T> {
    AbortOnDropHandle::new(tokio::spawn(work))
}

async fn finish<T>(what: &str, work: Running<T>) -> Result<T, String> {
    match timeout(FINISH_WITHIN, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(error)) => Err(format!("{what}: {error}")),
        Err(_) => Err(format!("{what} did not finish within {} s", FINISH_WITHIN.as_secs())),
    }
}

impl Job {
    /// Does the job. Logs of the workers go below `folder`.
    pub(super) async fn run(self, cluster: &mut Cluster, folder: &Path) -> Result<Report, String> {
        // The books are compared with a `wc` that counts as the workers do.
        WordRule::of_this_machine().await?;
        let client = cluster.client().clone();
        create_topics(&client).await?;
        let (ends, ends_known) = watch::channel(None);
        let reader = start(sum(client.clone(), ends_known));
        let probes = Probes::open(&client).await?;
        let workers = Workers::start(folder, &cluster.seeds(), PROCESSES)?;
        let feeder = start(feed(client.clone(), self.files.clone(), self.rounds));

        let tasks = self.files.len() as u64 * self.rounds;
        let deadline = Instant::now() + self.within;
        let mut conductor = Conductor {
            cluster,
            workers,
            feeder: Some(feeder),
            latencies: Latencies::default(),
            tasks,
            deadline,
            acks: AckTally::default(),
            progress: Progress::new(tasks),
        };
        let (kill, writable) = conductor.until_killed(probes).await?;
        conductor.until_acked().await?;
        let redeliveries = conductor.until_drained().await?;
        let Conductor { cluster, workers, feeder, mut latencies, mut acks, progress, .. } = conductor;
        progress.finish();
        for task in workers.stop().await? {
            acks.enter(task);
        }
        if let Some(feeder) = feeder {
            latencies = finish("publishing", feeder).await?;
        }
        let writable_after = finish("the probes", writable).await?;
        ends.send_replace(Some(ends_of_stream(&client).await?));
        let events = finish("the reader", reader).await?;
        cluster.wait_until_whole().await?;
        let [p50, p99] = [50, 99].map(|percent| latencies.percentile(percent).unwrap_or(0));
        Ok(Report {
            tasks,
            events: events.events(),
            counted: events.total(),
            expected: by_wc(&self.files).await? * self.rounds,
            redeliveries,
            repeated: events.repeated(),
            lost: events.lost(tasks),
            doubled: acks.doubled(),
            publish_micros: (p50, p99),
            writable_after,
            kill,
            contradictions: events.contradictions(tasks),
        })
    }
}

async fn create_topics(client: &Client) -> Result<(), String> {
    let admin = client.admin();
    for topic in [NewTopic::queue(QUEUE), NewTopic::stream(STREAM)] {
        let topic = topic.partitions(PARTITIONS).replicas(NODES);
        admin.create_topic(topic).await.map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Where the stream ends. Nobody appends any more.
async fn ends_of_stream(client: &Client) -> Result<Ends, String> {
    let offsets = client.admin().offsets(STREAM, None).await.map_err(|error| error.to_string())?;
    Ok(offsets.iter().map(|offsets| (offsets.partition, offsets.end_offset)).collect())
}

/// Watches the acks, and acts on them.
struct Conductor<'a> {
    cluster: &'a mut Cluster,
    workers: Workers,
    /// None once it has ended: then `latencies` are known.
    feeder: Option<Running<Latencies>>,
    latencies: Latencies,
    tasks: u64,
    deadline: Instant,
    acks: AckTally,
    progress: Progress,
}

impl Conductor<'_> {
    /// Waits for the moment, kills the node that leads most, and starts it again. Gives what is known of the kill,
    /// and the measurement that has begun with it.
    async fn until_killed(&mut self, probes: Probes) -> Result<(Kill, Running<Duration>), String> {
        loop {
            self.next_ack().await?;
            let acked = self.acks.tasks();
            if !kill::is_due(acked, self.tasks) {
                continue;
            }
            if !kill::counts(acked, self.tasks) {
                return Err(format!(
                    "no node with leases outstanding could be killed before 70 % were acked ({acked} are)"
                ));
            }
            let status = timeout(LOOK_WITHIN, self.cluster.client().admin().cluster_status()).await;
            let Ok(Ok(status)) = status else { continue };
            let Some(victim) = kill::choose(&status).filter(|victim| victim.leased > 0) else { continue };
            let killed_at = Instant::now();
            self.cluster.node(&victim.name)?.kill().await?;
            let writable = start(probes.writable_after(killed_at));
            self.cluster.node(&victim.name)?.start()?;
            return Ok((self.killed(victim)?, writable));
        }
    }

    /// What the kill was, when it counts: acks that were told before it belong to it.
    fn killed(&mut self, victim: kill::Victim) -> Result<Kill, String> {
        self.enter_told();
        let acked = self.acks.tasks();
        if !kill::counts(acked, self.tasks) {
            return Err(format!(
                "the kill came when {acked} of {} tasks were acked: not between 30 % and 70 %",
                self.tasks
            ));
        }
        self.progress.say(&format!(
            "killed {} at {acked} of {} acked, with {} partitions and {} leases; started it again",
            victim.name, self.tasks, victim.led, victim.leased
        ));
        Ok(Kill { node: victim.name, led: victim.led, leased: victim.leased, acked })
    }

    /// Waits until every task is acked.
    async fn until_acked(&mut self) -> Result<(), String> {
        while self.acks.tasks() < self.tasks {
            self.next_ack().await?;
        }
        Ok(())
    }

    /// Waits until the queue is empty and every event has arrived: what was delivered again is settled, too. Gives the number of redeliveries.
    async fn until_drained(&mut self) -> Result<u64, String> {
        let deadline = Instant::now() + FINISH_WITHIN;
        let admin = self.cluster.client().admin();
        let mut last = "it did not answer".to_owned();
        while Instant::now() < deadline {
            self.enter_told();
            match timeout(LOOK_WITHIN, admin.queue_stats(QUEUE)).await {
                Ok(Ok(stats)) => {
                    let open =
                        stats.iter().map(|stats| stats.ready + stats.leased + stats.scheduled + stats.parked);
                    let open: u64 = open.sum();
                    let on_their_way: u64 = stats.iter().map(|stats| stats.outbox_batches).sum();
                    if open + on_their_way == 0 {
                        return Ok(stats.iter().map(|stats| stats.redelivered_total).sum());
                    }
                    let parked: u64 = stats.iter().map(|stats| stats.parked).sum();
                    last = format!(
                        "{open} messages are in it, {parked} of them parked, and {on_their_way} events on their way"
                    );
                }
                Ok(Err(error)) => last = error.to_string(),
                Err(_) => {}
            }
            sleep(LOOK_AGAIN).await;
        }
        Err(format!("the queue was not empty {} s after the last ack: {last}", FINISH_WITHIN.as_secs()))
    }

    /// Enters the next ack, or fails because there will be none.
    async fn next_ack(&mut self) -> Result<(), String> {
        tokio::select! {
            task = self.workers.next_ack() => match task {
                Some(task) => self.enter(task),
                None => return Err("all worker processes have ended; see their logs".to_owned()),
            },
            // A task that cannot be published will never be acked.
            fed = ended(&mut self.feeder) => {
                self.feeder = None;
                self.latencies = fed?;
            }
            () = sleep(CHECK_EVERY) => {}
            () = sleep_until(self.deadline) => {
                let acked = self.acks.tasks();
                return Err(format!("only {acked} of {} tasks were acked in time", self.tasks));
            }
        }
        self.cluster.check()
    }

    fn enter_told(&mut self) {
        while let Some(task) = self.workers.told_ack() {
            self.enter(task);
        }
    }

    fn enter(&mut self, task: u64) {
        self.acks.enter(task);
        self.progress.acked(self.acks.tasks());
    }
}

/// What running work ends with; never when there is none.
async fn ended<T>(work: &mut Option<Running<T>>) -> Result<T, String> {
    match work {
        Some(work) => work.await.unwrap_or_else(|error| Err(error.to_string())),
        None => std::future::pending().await,
    }
}
