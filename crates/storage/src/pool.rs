//! A few threads for reads that miss the tail cache, and for the rare blocking call beside them. Bounded: who asks
//! waits for a place first. Without threads (the memory engine) a job runs where it is asked for.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::Error;
use crate::catalog::Group;
use crate::engine::{Engine, View};

/// Reads that may wait or run at once.
const JOBS_MAX: usize = 256;

type Job = Box<dyn FnOnce(&dyn Engine) + Send>;

/// A place among the jobs; the channel behind it needs no bound of its own.
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
}

pub(crate) struct Pool {
    places: Arc<Semaphore>,
    jobs: Mutex<Option<Jobs>>,
}

#[derive(Clone)]
enum Jobs {
    Threads(Sender<Job>),
    InPlace(Arc<dyn Engine>),
}

impl Pool {
    /// A pool of `threads` threads, to be joined by the caller after [`Self::close`].
    pub(crate) fn with_threads(
        engine: &Arc<dyn Engine>,
        threads: usize,
    ) -> Result<(Self, Vec<JoinHandle<()>>), Error> {
        let (sender, receiver) = unbounded();
        let handles = (0..threads.max(1))
            .map(|number| {
                let (receiver, engine) = (receiver.clone(), Arc::clone(engine));
                std::thread::Builder::new()
                    .name(format!("weir-read-{number}"))
                    .spawn(move || run(&receiver, &*engine))
                    .map_err(|source| Error::io("starting a read thread", source))
            })
            .collect::<Result<_, _>>()?;
        Ok((Self::new(Jobs::Threads(sender)), handles))
    }

    /// A pool that runs each job in place: only for an engine that does no IO.
    pub(crate) fn in_place(engine: &Arc<dyn Engine>) -> Self {
        Self::new(Jobs::InPlace(Arc::clone(engine)))
    }

    fn new(jobs: Jobs) -> Self {
        Self { places: Arc::new(Semaphore::new(JOBS_MAX)), jobs: Mutex::new(Some(jobs)) }
    }

    /// Waits for a place.
    pub(crate) async fn place(&self) -> Result<Place, Error> {
        let permit = Arc::clone(&self.places).acquire_owned().await.map_err(|_| Error::Closed)?;
        Ok(Place { _permit: permit })
    }

    /// Runs a job and returns its answer.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&dyn Engine) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.place().await?;
        let (reply, answer) = oneshot::channel();
        self.submit(move |engine| {
            // Nobody waits any more when this fails: the caller was dropped.
            drop(reply.send(job(engine)));
            drop(place);
        });
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Hands a job over. After the close it is dropped.
    pub(crate) fn submit(&self, job: impl FnOnce(&dyn Engine) + Send + 'static) {
        let jobs = self.jobs.lock().clone();
        match jobs {
            Some(Jobs::Threads(sender)) => drop(sender.send(Box::new(job))),
            Some(Jobs::InPlace(engine)) => job(&*engine),
            None => {}
        }
    }

    /// Takes no more jobs; the threads end after those they have.
    pub(crate) fn close(&self) {
        self.places.close();
        self.jobs.lock().take();
    }
}

fn run(jobs: &Receiver<Job>, engine: &dyn Engine) {
    for job in jobs {
        job(engine);
    }
}

/// The database as it was when everything asked for before was written.
pub(crate) struct Written {
    pub(crate) view: Arc<dyn View>,
    /// The group that was asked about, if it was ever here.
    pub(crate) group: Option<Group>,
}

/// A job on a [`Written`]: the log writer makes the view, the pool runs the job.
pub(crate) struct ViewJob(Box<dyn FnOnce(Result<Written, Error>) + Send>);

impl ViewJob {
    pub(crate) fn new(job: impl FnOnce(Result<Written, Error>) + Send + 'static) -> Self {
        Self(Box::new(job))
    }

    pub(crate) fn start(self, pool: &Pool, written: Written) {
        pool.submit(move |_| (self.0)(Ok(written)));
    }

    pub(crate) fn refuse(self, error: Error) {
        (self.0)(Err(error));
    }
}
