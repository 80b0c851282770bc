//! Opening a store: whose directory it is, whether acknowledged writes are missing, what a crash left to clear
//! away, and then the threads.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;
use weir_types::mutants::{self, Mutant};

use crate::ballast::Ballast;
use crate::catalog::Catalog;
use crate::engine::{Batch, Engine, Family};
use crate::evacuate::Survey;
use crate::housekeeper::{Chore, Housekeeper, drop_dead_buckets};
use crate::inbox::Inbox;
use crate::log_writer::{Chores, LogWriter};
use crate::pool::Pool;
use crate::pressure::{Meter, Pressure};
use crate::rocks::Directory;
use crate::store::Inner;
use crate::superblock::{Identity, Superblock};
use crate::tail_cache::TailCache;
use crate::{Backend, Error, Expected, Options, Store, WriterMode};

/// What an opening found.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Whose directory it is; none for a blank one.
    pub identity: Option<Identity>,
    /// The opaque node info last saved with [`Store::save_node_info`]; empty for none.
    pub node_info: Bytes,
    /// The database recovered less than was acknowledged: no replica of this directory may vote or answer
    /// appends under its old id. Stays so over restarts until [`Store::accept_loss`].
    pub lost_writes: bool,
}

/// An engine with what stands beside it.
struct Opened {
    engine: Arc<dyn Engine>,
    superblock: Superblock,
    ballast: Option<Ballast>,
}

pub(crate) fn open(options: &Options) -> Result<(Store, Recovered), Error> {
    let opened = match &options.backend {
        Backend::Memory(disk) => {
            let superblock = Superblock::open(Box::new(disk.device()))?;
            check_identity(options.expected, superblock.identity())?;
            Opened { engine: Arc::new(disk.open()), superblock, ballast: None }
        }
        Backend::Rocks(rocks) => {
            let directory = Directory::open(rocks)?;
            let superblock = directory.superblock()?;
            check_identity(options.expected, superblock.identity())?;
            let ballast = directory.make_room(options.free_bytes_min)?;
            Opened { engine: Arc::new(directory.database()?), superblock, ballast: Some(ballast) }
        }
    };
    let recovered = Recovered {
        identity: opened.superblock.identity(),
        node_info: opened.superblock.info(),
        lost_writes: opened.engine.sequence() < opened.superblock.watermark() && !mutants::on(Mutant::M10),
    };
    if recovered.lost_writes {
        tracing::error!(
            recovered = opened.engine.sequence(),
            watermark = opened.superblock.watermark(),
            "the database lost acknowledged writes"
        );
    }
    Ok((start(options, opened)?, recovered))
}

fn check_identity(expected: Expected, found: Option<Identity>) -> Result<(), Error> {
    let Some(found) = found else { return Ok(()) };
    if let Some(expected) = expected.cluster
        && found.cluster.0 != 0
        && found.cluster != expected
    {
        return Err(Error::OtherCluster { found: found.cluster, expected });
    }
    if let Some(expected) = expected.node
        && found.node.0 != 0
        && found.node != expected
    {
        return Err(Error::OtherNode { found: found.node, expected });
    }
    Ok(())
}

fn start(options: &Options, opened: Opened) -> Result<Store, Error> {
    let Opened { engine, superblock, ballast } = opened;
    let catalog = read_catalog(&*engine)?;
    let pressure = Arc::new(Pressure::new(options.free_bytes_min));
    pressure.look(&*engine);

    let superblock = Arc::new(superblock);
    let inbox = Arc::new(Inbox::new(options.queue_bytes_max));
    let cache = Arc::new(TailCache::new(options.tail_cache_bytes_max));
    let fatal = watch::Sender::new(None);
    let mut threads = Vec::new();
    let (pool, housekeeper) = match &options.backend {
        Backend::Memory(disk) => {
            disk.report_to(&pressure);
            (Pool::in_place(&engine), None)
        }
        Backend::Rocks(_) => {
            let (pool, readers) = Pool::with_threads(&engine, options.read_threads)?;
            threads.extend(readers);
            catalog.lock().queue_garbage.opened(engine.table_bytes(Family::QueueLog)?);
            let chore = Chore {
                handle: Arc::default(),
                engine: Arc::clone(&engine),
                catalog: Arc::clone(&catalog),
                superblock: Arc::clone(&superblock),
                pressure: Arc::clone(&pressure),
                ballast,
                inbox: Arc::clone(&inbox),
                survey: Survey::default(),
                surveyed: None,
                reclaiming: None,
                reclaimed: None,
                fail: failing(&inbox, &fatal),
            };
            (pool, Some(keep_house(chore, &mut threads)?))
        }
    };
    let pool = Arc::new(pool);
    let writer = LogWriter {
        engine,
        catalog: Arc::clone(&catalog),
        inbox: Arc::clone(&inbox),
        cache: Arc::clone(&cache),
        pool: Arc::clone(&pool),
        superblock: Arc::clone(&superblock),
        pressure: Arc::clone(&pressure),
        fatal: fatal.clone(),
        chores: housekeeper.clone().map_or(Chores::InPlace, Chores::Housekeeper),
        bucket_bytes: options.bucket_bytes,
        meter: Meter::default(),
    };
    let fatal = fatal.subscribe();
    start_writer(options, writer, &mut threads)?;
    let (fronts, threads) = (Mutex::default(), Mutex::new(threads));
    Ok(Store::new(Inner {
        catalog,
        inbox,
        cache,
        pool,
        superblock,
        pressure,
        fatal,
        fronts,
        housekeeper,
        threads,
    }))
}

/// Reads the catalog, and clears away what a crash left.
fn read_catalog(engine: &dyn Engine) -> Result<Arc<Mutex<Catalog>>, Error> {
    let mut leftovers = Batch::default();
    let catalog = Catalog::open(&*engine.view(), &mut leftovers)?;
    if !leftovers.is_empty() {
        engine.write(leftovers)?;
    }
    let catalog = Arc::new(Mutex::new(catalog));
    drop_dead_buckets(engine, &catalog);
    Ok(catalog)
}

fn start_writer(
    options: &Options,
    writer: LogWriter,
    threads: &mut Vec<JoinHandle<()>>,
) -> Result<(), Error> {
    match (&options.writer, &options.backend) {
        (WriterMode::Thread, _) => threads.push(spawn("weir-log-writer", move || writer.run())?),
        (WriterMode::Task(spawn), Backend::Memory(_)) => spawn(Box::pin(writer.run_as_task())),
        (WriterMode::Task(_), Backend::Rocks(_)) => {
            return Err(Error::Engine("a log writer that is a task needs the memory engine".to_owned()));
        }
    }
    Ok(())
}

fn keep_house(chore: Chore, threads: &mut Vec<JoinHandle<()>>) -> Result<Arc<Housekeeper>, Error> {
    let handle = Arc::clone(&chore.handle);
    // Also when the disk is not full: a ballast that was given up at start comes back.
    handle.watch_disk();
    // And what was deleted before the open, or while a compaction was cut short.
    handle.weigh_garbage();
    threads.push(spawn("weir-housekeeper", move || chore.run())?);
    Ok(handle)
}

/// What stops the store from outside the writer.
fn failing(inbox: &Arc<Inbox>, fatal: &watch::Sender<Option<Error>>) -> Box<dyn Fn(Error) + Send> {
    let (inbox, fatal) = (Arc::clone(inbox), fatal.clone());
    Box::new(move |error| {
        tracing::error!(%error, "the superblock cannot be synced, the store stops");
        inbox.close(&Error::Failed { first: error.to_string() });
        fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(error).is_none());
    })
}

pub(crate) fn spawn(name: &str, main: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(main)
        .map_err(|source| Error::io(format!("starting thread {name}"), source))
}
