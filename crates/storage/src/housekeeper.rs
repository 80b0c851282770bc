//! A thread for what may wait a little: syncing the superblock, dropping the files of dead buckets, looking whether
//! a full disk has room again. It sleeps until one of them is due.

#![expect(clippy::disallowed_types, reason = "paces chores; no result depends on it")]

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::ballast::Ballast;
use crate::catalog::Catalog;
use crate::engine::{Engine, Family};
use crate::evacuate::{self, Survey};
use crate::inbox::Inbox;
use crate::open::spawn;
use crate::pressure::Pressure;
use crate::reclaim::{self, Urgency};
use crate::superblock::Superblock;
use crate::tables::stream_log;
use crate::{Error, buckets::Run};

/// The window in which a power cut may hide a loss from the amnesia guard.
const SUPERBLOCK_SYNC_EVERY: Duration = Duration::from_millis(100);
/// How often a full disk is looked at, and whether a table file is written.
const LOOK_AGAIN_EVERY: Duration = Duration::from_secs(1);
/// A compaction that could take nothing back, because a view showed it still, is not repeated sooner.
const RECLAIM_AGAIN_AFTER: Duration = Duration::from_mins(1);
/// How often the buckets are surveyed at most: it goes over every segment of the node.
const SURVEY_EVERY: Duration = Duration::from_secs(10);

/// The handle; [`Chore`] does the work.
#[derive(Default)]
pub(crate) struct Housekeeper {
    due: Mutex<Due>,
    wake: Condvar,
}

#[expect(clippy::struct_excessive_bools, reason = "six independent flags, not a state")]
#[derive(Clone, Copy, Debug, Default)]
struct Due {
    superblock: bool,
    buckets: bool,
    garbage: bool,
    /// The thread that takes space back is through.
    reclaimed: bool,
    /// A table file is being written, or the last compaction was in vain: the garbage is weighed after that.
    later: bool,
    full: bool,
    stop: bool,
}

impl Housekeeper {
    /// The watermark was noted, and buckets have perhaps died.
    pub(crate) fn after_sync(&self, drop_buckets: bool) {
        let mut due = self.due.lock();
        let woken = due.superblock && !drop_buckets;
        due.superblock = true;
        due.buckets |= drop_buckets;
        drop(due);
        if !woken {
            self.wake.notify_one();
        }
    }

    /// So much of the queue log was deleted that its space may be worth taking back.
    pub(crate) fn weigh_garbage(&self) {
        self.due.lock().garbage = true;
        self.wake.notify_one();
    }

    /// The same, in a while.
    fn weigh_garbage_later(&self) {
        self.due.lock().later = true;
    }

    /// What gathered while space was taken back may be worth the same by now.
    fn reclaimed(&self) {
        self.due.lock().reclaimed = true;
        self.wake.notify_one();
    }

    /// The disk is full: look again until it is not.
    pub(crate) fn watch_disk(&self) {
        let watched = std::mem::replace(&mut self.due.lock().full, true);
        if !watched {
            self.wake.notify_one();
        }
    }

    pub(crate) fn stop(&self) {
        self.due.lock().stop = true;
        self.wake.notify_one();
    }

    /// Waits until something is due, and takes it.
    fn wait(&self) -> Due {
        let mut due = self.due.lock();
        loop {
            if due.stop || due.superblock || due.buckets || due.garbage || due.reclaimed {
                break;
            }
            if due.full || due.later {
                // Neither is told of.
                self.wake.wait_for(&mut due, LOOK_AGAIN_EVERY);
                break;
            }
            self.wake.wait(&mut due);
        }
        let taken = *due;
        *due = Due { stop: due.stop, ..Due::default() };
        taken
    }

    /// Lets the interval between two syncs pass, unless it is time to stop.
    fn pause(&self) {
        let mut due = self.due.lock();
        if !due.stop {
            self.wake.wait_while_for(&mut due, |due| !due.stop, SUPERBLOCK_SYNC_EVERY);
        }
    }
}

/// What the thread works on.
pub(crate) struct Chore {
    pub(crate) handle: Arc<Housekeeper>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) catalog: Arc<Mutex<Catalog>>,
    pub(crate) superblock: Arc<Superblock>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) ballast: Option<Ballast>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) survey: Survey,
    /// When the last survey was.
    pub(crate) surveyed: Option<Instant>,
    /// The compaction or evacuation under way, or the last one.
    pub(crate) reclaiming: Option<JoinHandle<()>>,
    /// When the last one ended.
    pub(crate) reclaimed: Option<Instant>,
    /// Stops the store when the superblock cannot be synced.
    pub(crate) fail: Box<dyn Fn(Error) + Send>,
}

impl Chore {
    /// Runs until told to stop; the superblock is synced last.
    pub(crate) fn run(mut self) {
        loop {
            let due = self.handle.wait();
            if due.buckets {
                drop_dead_buckets(&*self.engine, &self.catalog);
                self.evacuate(Urgency::Usual);
            }
            if (due.superblock || due.stop)
                && let Err(error) = self.superblock.sync()
            {
                (self.fail)(error);
                return;
            }
            if due.reclaimed {
                self.join_reclaiming();
            }
            if due.garbage || due.reclaimed || due.later {
                self.reclaim(Urgency::Usual);
            }
            if due.full {
                self.look_at_disk();
            }
            if due.stop {
                self.end_reclaiming();
                return;
            }
            if due.superblock {
                self.handle.pause();
            }
        }
    }

    fn look_at_disk(&mut self) {
        let free_bytes = self.pressure.look(&*self.engine);
        if self.pressure.is_full() {
            drop_dead_buckets(&*self.engine, &self.catalog);
            self.evacuate(Urgency::DiskFull);
            self.reclaim(Urgency::DiskFull);
            self.handle.watch_disk();
        } else if let (Some(ballast), Some(free_bytes)) = (&self.ballast, free_bytes) {
            ballast.restore(free_bytes, self.pressure.free_bytes_min());
        }
    }
}

impl Chore {
    /// Compacts on a thread of its own, because the superblock's sync cannot wait for it; one at a time.
    fn reclaim(&mut self, urgency: Urgency) {
        let in_vain_lately = self.catalog.lock().queue_garbage.is_stuck()
            && self.reclaimed.is_some_and(|at| at.elapsed() < RECLAIM_AGAIN_AFTER);
        let must_wait = in_vain_lately || self.engine.flushing_bytes(Family::QueueLog) > 0;
        if urgency == Urgency::Usual && must_wait {
            self.handle.weigh_garbage_later();
            return;
        }
        if self.is_reclaiming() || !reclaim::take_garbage(&*self.engine, &self.catalog, urgency) {
            return;
        }
        let (engine, catalog) = (Arc::clone(&self.engine), Arc::clone(&self.catalog));
        self.start_reclaiming(move || reclaim::reclaim(&*engine, &catalog));
    }

    fn evacuate(&mut self, urgency: Urgency) {
        let surveyed_lately = self.surveyed.is_some_and(|at| at.elapsed() < SURVEY_EVERY);
        if self.is_reclaiming() || (surveyed_lately && urgency == Urgency::Usual) {
            return;
        }
        self.surveyed = Some(Instant::now());
        let buckets = self.survey.take(&*self.engine, &self.catalog, urgency);
        if buckets.is_empty() {
            return;
        }
        let (engine, catalog, inbox) =
            (Arc::clone(&self.engine), Arc::clone(&self.catalog), Arc::clone(&self.inbox));
        self.start_reclaiming(move || {
            for bucket in buckets {
                if let Err(error) = evacuate::evacuate(&*engine, &catalog, &inbox, bucket) {
                    tracing::warn!(%error, bucket = bucket.0, "a sparse bucket was not evacuated");
                    return;
                }
            }
        });
    }

    fn is_reclaiming(&self) -> bool {
        self.reclaiming.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    fn start_reclaiming(&mut self, work: impl FnOnce() + Send + 'static) {
        let handle = Arc::clone(&self.handle);
        let work = move || {
            work();
            handle.reclaimed();
        };
        match spawn("weir-reclaim", work) {
            Ok(thread) => self.reclaiming = Some(thread),
            Err(error) => tracing::warn!(%error, "space is not taken back now"),
        }
    }

    fn end_reclaiming(&mut self) {
        if self.is_reclaiming() {
            self.engine.halt();
        }
        self.join_reclaiming();
    }

    fn join_reclaiming(&mut self) {
        if let Some(thread) = self.reclaiming.take() {
            self.reclaimed = Some(Instant::now());
            // A thread that panicked has reported it where it happened.
            drop(thread.join());
        }
    }
}

/// Drops the files of buckets that nobody holds; what is not gone after that is tried again at the next switch.
pub(crate) fn drop_dead_buckets(engine: &dyn Engine, catalog: &Mutex<Catalog>) {
    let runs = catalog.lock().buckets.dead_runs();
    for run in runs {
        if let Err(error) = drop_run(engine, catalog, run) {
            // Space is not freed now; nothing else depends on it.
            tracing::warn!(%error, first = run.0.0, last = run.1.0, "dead buckets were not dropped");
        }
    }
}

fn drop_run(engine: &dyn Engine, catalog: &Mutex<Catalog>, run: Run) -> Result<(), Error> {
    engine.drop_files(Family::StreamLog, &stream_log::buckets(run.0, run.1))?;
    let view = engine.view();
    let mut bucket = run.0;
    while bucket <= run.1 {
        let keys = stream_log::buckets(bucket, bucket);
        if view.last(Family::StreamLog, &keys)?.is_none() {
            catalog.lock().buckets.dropped(bucket);
            metrics::counter!("weir_storage_buckets_dropped_total").increment(1);
        }
        bucket = bucket.next();
    }
    Ok(())
}
