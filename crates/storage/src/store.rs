//! The handle of the whole store.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};
use weir_types::GroupId;

use crate::catalog::Catalog;
use crate::housekeeper::Housekeeper;
use crate::inbox::Inbox;
use crate::op::{Done, Op};
use crate::pool::{Pool, ViewJob, Written};
use crate::pressure::Pressure;
use crate::span::Front;
use crate::superblock::Superblock;
use crate::tail_cache::TailCache;
use crate::{
    Backend, DiskPressure, Error, GroupStore, Identity, LogClass, NodeRows, Options, Recovered, open,
};

/// The node's one store. Cheap to clone; closed by [`Store::close`], or when the last handle is dropped.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) catalog: Arc<Mutex<Catalog>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) cache: Arc<TailCache>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) superblock: Arc<Superblock>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) fatal: watch::Receiver<Option<Error>>,
    pub(crate) fronts: Mutex<BTreeMap<GroupId, Arc<Front>>>,
    pub(crate) housekeeper: Option<Arc<Housekeeper>>,
    pub(crate) threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Store {
    /// Opens the store and starts its threads. Blocks: call it before there is a runtime, or use
    /// [`Store::start`].
    ///
    /// # Errors
    /// [`Error::Locked`], [`Error::OtherNode`], [`Error::OtherCluster`], [`Error::SuperblockMissing`] when this is
    /// not the caller's directory; [`Error::Corrupt`], [`Error::Io`] and [`Error::Engine`] when it is damaged.
    pub fn open(options: &Options) -> Result<(Self, Recovered), Error> {
        open::open(options)
    }

    /// The same from async code: an opening that touches a disk runs on a thread of its own.
    pub async fn start(options: Options) -> Result<(Self, Recovered), Error> {
        if matches!(options.backend, Backend::Memory(_)) {
            return open::open(&options);
        }
        let (reply, answer) = oneshot::channel();
        // The thread ends with its answer; nobody needs to join it.
        drop(open::spawn("weir-store-open", move || drop(reply.send(open::open(&options))))?);
        answer.await.map_err(|_| Error::Engine("the opening panicked".to_owned()))?
    }

    pub(crate) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner) }
    }

    /// The store of one group. The class must be the one it was created with.
    pub fn group(&self, group: GroupId, class: LogClass) -> GroupStore {
        let front = Arc::clone(self.inner.fronts.lock().entry(group).or_default());
        GroupStore::new(self.clone(), group, class, front)
    }

    /// The groups that have anything on disk, destroyed ones left out.
    pub async fn groups(&self) -> Result<Vec<GroupId>, Error> {
        let store = self.clone();
        self.written(None, false, move |_| {
            let catalog = store.inner.catalog.lock();
            Ok(catalog.groups.iter().filter(|(_, group)| group.alive).map(|(id, _)| *id).collect())
        })
        .await
    }

    /// The class that a group was created with; none when it has nothing on disk.
    pub fn class_of(&self, group: GroupId) -> Option<LogClass> {
        let catalog = self.inner.catalog.lock();
        catalog.groups.get(&group).filter(|known| known.alive).map(|known| known.class)
    }

    /// Small durable rows of the node itself.
    pub fn node_rows(&self) -> NodeRows {
        NodeRows::new(self.clone())
    }

    /// Writes the identity into the superblock; durable on return.
    pub async fn save_identity(&self, identity: Identity) -> Result<(), Error> {
        let superblock = Arc::clone(&self.inner.superblock);
        self.inner.pool.run(move |_| superblock.set_identity(identity)).await
    }

    /// Writes the opaque node info (at most [`crate::INFO_BYTES_MAX`]) into the superblock; durable on return. It
    /// is outside the database, so it survives what the database may lose.
    pub async fn save_node_info(&self, info: Bytes) -> Result<(), Error> {
        let superblock = Arc::clone(&self.inner.superblock);
        self.inner.pool.run(move |_| superblock.set_info(info)).await
    }

    /// After [`Recovered::lost_writes`], once every replica id of this directory is retired: what the database
    /// has now is what it must have from now on.
    pub async fn accept_loss(&self) -> Result<(), Error> {
        let superblock = Arc::clone(&self.inner.superblock);
        self.inner.pool.run(move |engine| superblock.reset_watermark(engine.sequence())).await
    }

    /// How full the disk is, and when that changes.
    pub fn disk_pressure(&self) -> watch::Receiver<DiskPressure> {
        self.inner.pressure.watch()
    }

    /// [`Error::DiskFull`] while the disk is full, and counts the rejection. To be asked before a write that adds
    /// data; the store itself refuses nothing, because what frees space is written too.
    pub fn refuse_if_full(&self) -> Result<(), Error> {
        self.inner.pressure.refusal()
    }

    /// Resolves with the first write or sync that failed: the node must stop. Never resolves otherwise.
    pub fn on_fatal(&self) -> impl Future<Output = Error> + Send + 'static {
        let mut fatal = self.inner.fatal.clone();
        async move {
            if let Ok(fatal) = fatal.wait_for(Option::is_some).await
                && let Some(error) = fatal.clone()
            {
                return error;
            }
            // The writer ended well: there is nothing to report, ever.
            std::future::pending().await
        }
    }

    /// Writes and syncs what is queued, then stops the threads and lets go of the directory. Later calls answer
    /// [`Error::Closed`].
    pub async fn close(&self) {
        let (done, closed) = answering();
        self.inner.inbox.push_urgent(Op::Close { done });
        // An error means that the store failed or was closed before; the threads are to be joined all the same.
        drop(closed.await);
        self.inner.stop_threads();
        let threads = std::mem::take(&mut *self.inner.threads.lock());
        if threads.is_empty() {
            return;
        }
        let (reply, joined) = oneshot::channel();
        let joining = open::spawn("weir-store-close", move || {
            for thread in threads {
                // A thread that panicked has reported it where it happened.
                drop(thread.join());
            }
            reply.send(()).ok();
        });
        if joining.is_ok() {
            drop(joined.await);
        }
    }

    /// Runs a job on the database as it is when everything asked for so far is written.
    pub(crate) async fn written<T: Send + 'static>(
        &self,
        group: Option<GroupId>,
        hold_buckets: bool,
        job: impl FnOnce(Written) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let place = self.inner.pool.place().await?;
        let (reply, answer) = oneshot::channel();
        let job = ViewJob::new(move |written| {
            // Nobody waits any more when this fails: the caller was dropped.
            drop(reply.send(written.and_then(job)));
            drop(place);
        });
        let room = self.inner.inbox.room(0).await?;
        // A refusal reaches the job too, and by it the caller.
        drop(self.inner.inbox.push(room, Op::View { group, hold_buckets, job }));
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Queues an operation and waits until it is done.
    pub(crate) async fn perform(&self, make: impl FnOnce(Done) -> Op) -> Result<(), Error> {
        let (done, answer) = answering();
        let op = make(done);
        let room = self.inner.inbox.room(op.cost()).await?;
        self.inner.inbox.push(room, op)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

/// A [`Done`] and where its outcome arrives.
pub(crate) fn answering() -> (Done, oneshot::Receiver<Result<(), Error>>) {
    let (reply, answer) = oneshot::channel();
    (Box::new(move |result| drop(reply.send(result))), answer)
}

impl Inner {
    fn stop_threads(&self) {
        self.pool.close();
        if let Some(housekeeper) = &self.housekeeper {
            housekeeper.stop();
        }
    }
}

impl Drop for Inner {
    /// The last handle is gone: what is queued is still written, then the threads end by themselves.
    fn drop(&mut self) {
        self.inbox.push_urgent(Op::Close { done: Box::new(drop) });
        self.stop_threads();
    }
}
