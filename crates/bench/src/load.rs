//! A run: publishers and consumers under way, then the books.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::meter::Meter;
use crate::pace::Pace;
use crate::plan::Plan;
use crate::report::Report;
use crate::stamp::{Bodies, Stamp};
use crate::system::{Consumer, Error, Publisher, System};

/// A run with more failures than this is given up.
const ERRORS_MAX: u64 = 1_000;
/// How often its progress is told.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// How far a run is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// Since it began.
    pub elapsed: Duration,
    /// Messages that are confirmed.
    pub published: u64,
    /// Messages that came out.
    pub consumed: u64,
    /// Whether the load is over and what is left is read.
    pub draining: bool,
}

/// Who looks on.
pub trait Observer: Send + Sync + 'static {
    /// Hears several times a second how far the run is.
    fn progress(&self, _progress: Progress) {}

    /// The measured window begins, and ends: the moments at which to read other counters.
    fn window(&self, _edge: Edge) {}
}

/// An end of the measured window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// It begins.
    Start,
    /// It is over.
    End,
}

/// What all tasks of a run share.
struct Course {
    plan: Plan,
    began: Instant,
    window: Range<Duration>,
    bodies: Bodies,
    ledger: Ledger,
    /// The window of each publisher.
    rooms: Vec<Semaphore>,
    /// Publishers send no more.
    over: CancellationToken,
    /// Consumers read no more.
    settled: CancellationToken,
    /// Every message that was sent is confirmed, or was refused.
    answered: AtomicBool,
    published: AtomicU64,
    consumed: AtomicU64,
    unsent: AtomicU64,
    errors: AtomicU64,
    error: Mutex<Option<Error>>,
}

impl Course {
    fn new(plan: &Plan, run: u64) -> Self {
        Self {
            plan: plan.clone(),
            began: Instant::now(),
            window: plan.warm_up..plan.warm_up + plan.duration,
            bodies: Bodies::new(run, plan.size),
            ledger: Ledger::new(plan.publishers),
            rooms: (0..plan.publishers).map(|place| Semaphore::new(plan.window(place) as usize)).collect(),
            over: CancellationToken::new(),
            settled: CancellationToken::new(),
            answered: AtomicBool::new(false),
            published: AtomicU64::new(0),
            consumed: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            error: Mutex::new(None),
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn meter(&self) -> Meter {
        Meter::new(self.window.clone())
    }

    /// Messages leave the window when they are confirmed, or when they are consumed where somebody consumes.
    fn leaves_confirmed(&self) -> bool {
        self.plan.consumers == 0
    }

    fn fail(&self, meter: &mut Meter, error: Error) {
        meter.fail();
        self.error.lock().get_or_insert(error);
        if self.errors.fetch_add(1, Ordering::Relaxed) >= ERRORS_MAX {
            self.over.cancel();
        }
    }

    fn progress(&self, draining: bool) -> Progress {
        Progress {
            elapsed: self.now(),
            published: self.published.load(Ordering::Relaxed),
            consumed: self.consumed.load(Ordering::Relaxed),
            draining,
        }
    }
}

/// Loads a system as planned, reads back everything that was confirmed, and says what came out. `run` tells this run's
/// messages from others.
///
/// # Errors
/// A plan that cannot be carried out; a client that cannot be opened. What fails later is counted.
pub async fn run<S: System, O: Observer>(
    system: Arc<S>,
    plan: &Plan,
    run: u64,
    observer: Arc<O>,
) -> Result<Report, Error> {
    plan.validate()?;
    let mut publishers = Vec::new();
    for place in 0..plan.publishers {
        publishers.push(system.publisher(place).await?);
    }
    let mut consumers = Vec::new();
    for place in 0..plan.consumers {
        consumers.push(system.consumer(place, plan.consumers).await?);
    }
    let course = Arc::new(Course::new(plan, run));
    let mut consuming: JoinSet<Meter> = JoinSet::new();
    for consumer in consumers {
        consuming.spawn(consume(Arc::clone(&course), consumer));
    }
    let telling = tokio::spawn(tell(Arc::clone(&course), Arc::clone(&observer)));
    let (published, cpu) = load(&course, publishers, &*observer).await?;
    if plan.consumers == 0 {
        let readers = system.consumers_min();
        for place in 0..readers {
            consuming.spawn(consume(Arc::clone(&course), system.consumer(place, readers).await?));
        }
    }
    let consumed = settle(&course, consuming).await?;
    telling.abort();
    let error = course.error.lock().take();
    Ok(Report {
        plan: plan.clone(),
        published: published.side(plan.size),
        consumed: (plan.consumers > 0).then(|| consumed.side(plan.size)),
        balance: course.ledger.balance(),
        unsent: course.unsent.load(Ordering::Relaxed),
        client_cpu_s: cpu.as_secs_f64(),
        error: error.map(|error| error.to_string()),
    })
}

/// All publishers from their first to their last message; what they were told, and the processor time of the window.
async fn load<P: Publisher>(
    course: &Arc<Course>,
    publishers: Vec<P>,
    observer: &impl Observer,
) -> Result<(Meter, Duration), Error> {
    let mut publishing = JoinSet::new();
    let mut arrivals = Vec::new();
    for (place, publisher) in publishers.into_iter().enumerate() {
        let due = course.plan.rate.map(|_| {
            // As many as the schedule has, a duration each.
            let (to, due) = mpsc::unbounded_channel();
            arrivals.push(to);
            due
        });
        publishing.spawn(publish(Arc::clone(course), place as u32, publisher, due));
    }
    if let Some(rate) = course.plan.rate {
        let (course, pace) = (Arc::clone(course), Pace::new(rate, course.plan.publishers));
        let keep = move || pace.keep(course.began, course.window.end, &arrivals, &course.over);
        std::thread::Builder::new().name("pace".to_owned()).spawn(keep)?;
    }
    let mut cpu = Duration::ZERO;
    for (edge, moment) in [(Edge::Start, course.window.start), (Edge::End, course.window.end)] {
        tokio::select! {
            () = sleep_until((course.began + moment).into()) => {}
            () = course.over.cancelled() => {}
        }
        observer.window(edge);
        cpu = processor_time().saturating_sub(cpu);
    }
    course.over.cancel();
    let mut sum = course.meter();
    while let Some(meter) = publishing.join_next().await {
        sum.add(&meter?);
    }
    Ok((sum, cpu))
}

async fn publish<P: Publisher>(
    course: Arc<Course>,
    place: u32,
    mut publisher: P,
    mut arrivals: Option<mpsc::UnboundedReceiver<Duration>>,
) -> Meter {
    let (sent, confirms) = mpsc::channel(course.plan.window(place) as usize);
    let collecting = tokio::spawn(collect(Arc::clone(&course), place, confirms));
    let room = &course.rooms[place as usize];
    let mut failed = course.meter();
    for sequence in 0..u32::MAX {
        let due = match &mut arrivals {
            Some(arrivals) => tokio::select! {
                biased;
                () = course.over.cancelled() => break,
                due = arrivals.recv() => match due {
                    Some(due) => Some(due),
                    // The schedule is through.
                    None => break,
                },
            },
            None => None,
        };
        tokio::select! {
            biased;
            () = course.over.cancelled() => {
                course.unsent.fetch_add(u64::from(due.is_some()), Ordering::Relaxed);
                break;
            }
            permit = room.acquire() => permit.expect("windows are not closed").forget(),
        }
        let intended = due.unwrap_or_else(|| course.now());
        let body = course.bodies.body(place, sequence, intended.as_micros() as u64);
        match publisher.publish(body).await {
            // The collector takes until this side is dropped.
            Ok(confirm) => drop(sent.send((intended, sequence, confirm)).await),
            Err(error) => {
                room.add_permits(1);
                course.fail(&mut failed, error);
            }
        }
    }
    let left = arrivals.map_or(0, |arrivals| arrivals.len() as u64);
    course.unsent.fetch_add(left, Ordering::Relaxed);
    drop(sent);
    let mut meter = collecting.await.unwrap_or_else(|_| course.meter());
    publisher.close().await;
    meter.add(&failed);
    meter
}

/// Hears the confirmations of a publisher in the order of its messages.
async fn collect<F>(
    course: Arc<Course>,
    place: u32,
    mut confirms: mpsc::Receiver<(Duration, u32, F)>,
) -> Meter
where
    F: Future<Output = Result<(), Error>> + Send,
{
    let mut meter = course.meter();
    while let Some((intended, sequence, confirm)) = confirms.recv().await {
        let confirmed = confirm.await;
        if course.leaves_confirmed() || confirmed.is_err() {
            course.rooms[place as usize].add_permits(1);
        }
        match confirmed {
            Ok(()) => {
                course.ledger.confirm(place, sequence);
                course.published.fetch_add(1, Ordering::Relaxed);
                meter.record(intended, course.now());
            }
            Err(error) => course.fail(&mut meter, error),
        }
    }
    meter
}

async fn consume<C: Consumer>(course: Arc<Course>, mut consumer: C) -> Meter {
    let mut meter = course.meter();
    let mut acks = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            () = course.settled.cancelled() => break,
            Some((acked, stamp, arrived)) = acks.next(), if !acks.is_empty() => {
                match acked {
                    Ok(()) => done(&course, &mut meter, stamp, arrived),
                    Err(error) => course.fail(&mut meter, error),
                }
            }
            taken = consumer.next() => match taken {
                Ok((body, ack)) => {
                    // What another run left behind is acknowledged, too, and not counted.
                    let (stamp, arrived) = (course.bodies.read(&body), course.now());
                    acks.push(async move { (ack.await, stamp, arrived) });
                }
                Err(error) => course.fail(&mut meter, error),
            },
        }
        if course.errors.load(Ordering::Relaxed) > ERRORS_MAX {
            break;
        }
    }
    consumer.close().await;
    meter
}

/// A message went all the way.
fn done(course: &Course, meter: &mut Meter, stamp: Option<Stamp>, arrived: Duration) {
    let Some(stamp) = stamp else { return };
    if course.ledger.see(&stamp) {
        course.consumed.fetch_add(1, Ordering::Relaxed);
        meter.record(Duration::from_micros(stamp.intended), arrived);
        if !course.leaves_confirmed() {
            course.rooms[stamp.publisher as usize].add_permits(1);
        }
    }
    if course.answered.load(Ordering::Acquire) && course.ledger.owed() == 0 {
        course.settled.cancel();
    }
}

/// Waits until everything that was confirmed has come out, or nothing happens any more.
async fn settle(course: &Course, mut consuming: JoinSet<Meter>) -> Result<Meter, Error> {
    course.answered.store(true, Ordering::Release);
    if course.ledger.owed() == 0 {
        course.settled.cancel();
    }
    loop {
        let before = course.consumed.load(Ordering::Relaxed);
        let settled = timeout(course.plan.patience, course.settled.cancelled()).await.is_ok();
        if settled || course.consumed.load(Ordering::Relaxed) == before {
            break;
        }
    }
    course.settled.cancel();
    let mut sum = course.meter();
    while let Some(meter) = consuming.join_next().await {
        sum.add(&meter?);
    }
    Ok(sum)
}

async fn tell(course: Arc<Course>, observer: Arc<impl Observer>) {
    let mut ticks = tokio::time::interval(PROGRESS_EVERY);
    loop {
        ticks.tick().await;
        observer.progress(course.progress(course.over.is_cancelled()));
    }
}

/// Processor time of this process so far.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}
