//! The parts of a run, one after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use weir_checker::{Fault, Lost, Op, Phase};

use super::options::Options;
use super::progress::{Progress, Voice};
use super::stall::StallWatch;
use super::{Error, addresses, digests};
use crate::env::{Seat, Site};
use crate::history::History;
use crate::nemesis::{Journal, Nemesis};
use crate::schedule::Schedule;
use crate::wire::{Routes, Watcher};
use crate::workload::{Stage, create};

/// How often progress is shown and nodes are looked at.
const LOOK: Duration = Duration::from_millis(250);
/// Until what is left after the load must be consumed, at least.
const DRAIN_MIN: Duration = Duration::from_secs(90);
/// How long the looks after the end may take.
const LAST_LOOK: Duration = Duration::from_mins(1);
/// How long an actor may take to end.
const ENDING: Duration = Duration::from_secs(30);

/// A run under way.
struct Course {
    site: Arc<Site>,
    nemesis: Arc<Nemesis>,
    history: History,
    phase: watch::Sender<Phase>,
    routes: watch::Receiver<Arc<Routes>>,
    progress: Progress,
}

/// Performs a schedule on a site.
pub(super) fn perform(
    site: &Arc<Site>,
    options: &Options,
    schedule: &Schedule,
    history: &History,
    voice: Voice,
) -> Result<(), Error> {
    let clients = runtime(site, Seat::Clients)?;
    let observer = runtime(site, Seat::Observer)?;
    let _stalls = StallWatch::start(history.clone())?;
    let handle = clients.handle().clone();
    let course = begin(Arc::clone(site), options.clone(), schedule.clone(), history.clone(), voice, handle);
    // On a worker of the runtime, not on this thread: only those are in the observer's place.
    let done = observer.block_on(observer.spawn(course));
    clients.shutdown_timeout(ENDING);
    observer.shutdown_timeout(ENDING);
    done.map_err(|error| Error::Harness(error.to_string()))?
}

/// Threads whose sockets are those of a host of the site.
fn runtime(site: &Arc<Site>, seat: Seat) -> Result<Runtime, Error> {
    let site = Arc::clone(site);
    let enter = move || {
        if let Err(error) = site.enter(seat) {
            // A thread in the wrong place would measure another network.
            eprintln!("weir-jepsen: {error}");
            std::process::abort();
        }
    };
    let built = Builder::new_multi_thread().worker_threads(2).enable_all().on_thread_start(enter).build();
    Ok(built?)
}

async fn begin(
    site: Arc<Site>,
    options: Options,
    schedule: Schedule,
    history: History,
    voice: Voice,
    clients: tokio::runtime::Handle,
) -> Result<(), Error> {
    let length =
        Duration::from_millis(schedule.warm_ms + schedule.main_ms + schedule.quiet_ms + schedule.recovery_ms);
    let progress = Progress::new(voice, length);
    let nodes = addresses(site.founders());
    let load = options.load();
    progress.say(&format!("{} nodes are one cluster; making the topics", nodes.len()));
    create(&site.seeds(), options.workload.topics(&load), options.workload.links()).await?;

    let stop = CancellationToken::new();
    let watching = stop.child_token();
    let routes = Watcher::start(&nodes, history.clone(), &watching);
    let (phase, phases) = watch::channel(Phase::Warm);
    let stage = Stage {
        history: history.clone(),
        routes: routes.clone(),
        phase: phases,
        stop: stop.child_token(),
        adding: Arc::default(),
        load,
    };
    let nemesis = Arc::new(Nemesis::new(Arc::clone(&site), options.seed, journal(history.clone())));
    let course = Course { site, nemesis, history, phase, routes, progress };
    let actors = {
        let _clients = clients.enter();
        options.workload.start(&stage)
    };
    course.load(&schedule).await;
    course.enter(Phase::Drain, "reading what is left");
    let drained = clients.spawn(drain(options.clone(), stage.clone()));
    course.end(drained, actors, &stage).await?;
    // The end of the actors is none of its business.
    let looking = Stage { stop: stop.child_token(), ..stage };
    let looked = clients.spawn(last_look(options, looking));
    if !course.until(looked, "last looks").await? {
        course.progress.say("  not everything could be looked at in time");
    }
    stop.cancel();
    course.progress.finish();
    Ok(())
}

/// Waits until everything is consumed, for a bounded time.
async fn drain(options: Options, stage: Stage) -> bool {
    let bound = DRAIN_MIN.max(Duration::from_millis(options.lease_ms) * 4);
    timeout(bound, options.workload.drain(&stage)).await.is_ok()
}

/// Looks at what can only be judged now, for a bounded time.
async fn last_look(options: Options, stage: Stage) -> bool {
    timeout(LAST_LOOK, options.workload.last_look(&stage)).await.is_ok()
}

fn journal(history: History) -> Journal {
    Arc::new(move |fault: Fault, failed: Option<String>| match failed {
        None => history.note(Op::Fault(fault)),
        Some(error) => {
            let kind = fault.kind.clone();
            history.note(Op::Fault(fault));
            history.lost(Lost::Task(format!("fault {kind}: {error}")));
        }
    })
}

impl Course {
    /// Everything up to the drain.
    async fn load(&self, schedule: &Schedule) {
        self.enter(Phase::Warm, "load without faults");
        self.pass("warm", schedule.warm_ms).await;
        if !schedule.steps.is_empty() {
            self.enter(Phase::Main, &format!("{} faults", schedule.steps.len()));
            let mut steps = schedule.steps.iter().peekable();
            let end = Duration::from_millis(schedule.warm_ms + schedule.main_ms);
            while let Some(now) = self.before(end) {
                while let Some(step) = steps.next_if(|step| step.at <= now) {
                    let leaders = self.routes.borrow().leaders();
                    self.nemesis.perform(step.clone(), leaders);
                }
                let next = steps.peek().map_or(end, |step| step.at.min(end));
                sleep(next.saturating_sub(now).min(LOOK)).await;
                self.look("faults");
            }
            if schedule.quiet_ms > 0 {
                self.enter(Phase::Quiet, "no writes, faults go on");
                self.pass("quiet", schedule.quiet_ms).await;
            }
        } else if schedule.main_ms > 0 {
            self.enter(Phase::Main, "load");
            self.pass("load", schedule.main_ms).await;
        }
        self.heal().await;
        self.enter(Phase::Recovery, "load after the heal");
        self.pass("recovery", schedule.recovery_ms).await;
    }

    async fn heal(&self) {
        self.progress.say("healing");
        let nemesis = Arc::clone(&self.nemesis);
        let problems = spawn_blocking(move || nemesis.heal_all()).await;
        let problems = problems.unwrap_or_else(|error| vec![error.to_string()]);
        for problem in problems {
            self.progress.say(&format!("  {problem}"));
            self.history.lost(Lost::Task(problem));
        }
        self.enter(Phase::Healed, "everything is healed");
    }

    /// Drains, ends the actors, and takes the last looks.
    async fn end(
        &self,
        drained: tokio::task::JoinHandle<bool>,
        mut actors: JoinSet<()>,
        stage: &Stage,
    ) -> Result<(), Error> {
        let drained = self.until(drained, "drain").await?;
        if !drained {
            self.progress.say("  not everything was consumed in time");
        }
        stage.stop.cancel();
        let ended = timeout(ENDING, async {
            while let Some(actor) = actors.join_next().await {
                if let Err(error) = actor {
                    self.history.lost(Lost::Task(error.to_string()));
                }
            }
        });
        if ended.await.is_err() {
            self.history.lost(Lost::Task(format!("{} actors did not end", actors.len())));
            actors.abort_all();
        }
        self.enter(Phase::End, "last looks");
        // A node that joined and stopped again is not missed; one that runs may hold replicas.
        let running = addresses(self.site.nodes().iter().filter(|node| node.is_running()));
        digests::note(&running, stage.load.replicas, &self.history, &self.nemesis).await;
        self.look("end");
        Ok(())
    }

    fn enter(&self, phase: Phase, text: &str) {
        self.history.phase(phase);
        self.phase.send_replace(phase);
        let seconds = self.history.now() / 1_000_000;
        let (ok, fail, info) = self.history.counts();
        self.progress
            .say(&format!("{seconds:>5} s  {text}  ({ok} ok, {fail} failed, {info} unknown so far)"));
    }

    /// The time since the run began; None from `end` on.
    fn before(&self, end: Duration) -> Option<Duration> {
        Some(Duration::from_micros(self.history.now())).filter(|now| *now < end)
    }

    /// Lets time pass.
    async fn pass(&self, part: &str, milliseconds: u64) {
        let end = Duration::from_micros(self.history.now()) + Duration::from_millis(milliseconds);
        while let Some(now) = self.before(end) {
            sleep(end.saturating_sub(now).min(LOOK)).await;
            self.look(part);
        }
    }

    async fn until(&self, mut task: tokio::task::JoinHandle<bool>, part: &str) -> Result<bool, Error> {
        loop {
            match timeout(LOOK, &mut task).await {
                Ok(done) => return done.map_err(|error| Error::Harness(error.to_string())),
                Err(_) => self.look(part),
            }
        }
    }

    /// Shows progress, and writes down what went wrong with the nodes unasked.
    fn look(&self, part: &str) {
        for lost in self.site.look() {
            self.progress.say(&format!("  {lost:?}"));
            self.history.lost(lost);
        }
        self.progress.show(&self.history, part);
    }
}
