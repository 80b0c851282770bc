//! The one writer of the node: takes what all groups have queued, in order of arrival, into one batch, writes it
//! with at most one sync, and answers. While one sync runs the next batch gathers by itself: no timers.
//!
//! Everything of a batch reaches the same write-ahead log in order, so that what survives a crash is always a
//! prefix: no row without the entry it was computed from. The first failed write or sync stops the writer for
//! good: its outcome is unknown, and so would be that of anything written after it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;
use weir_types::GroupId;
use weir_types::mutants::{self, Mutant};

use crate::Error;
use crate::catalog::Catalog;
use crate::edits::{append, destroy, install, relocate, retire, stage, truncate};
use crate::engine::{Batch, Edit, Engine, Family};
use crate::housekeeper::{Housekeeper, drop_dead_buckets};
use crate::inbox::{Drained, Inbox};
use crate::op::{Done, Op};
use crate::pool::{Pool, ViewJob, Written};
use crate::pressure::{Meter, Pressure};
use crate::superblock::Superblock;
use crate::sync_metrics::SyncMetrics;
use crate::tables::group_slot::{self, Slot};
use crate::tables::node_row;
use crate::tail_cache::{TailCache, Ticket};

/// What one step did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing was queued.
    Idle,
    /// A batch was written and answered.
    Wrote,
    /// The store was closed or failed; there is no next step.
    Stopped,
}

/// Who does what may wait a little.
pub(crate) enum Chores {
    /// A thread.
    Housekeeper(Arc<Housekeeper>),
    /// The writer itself: the memory engine and the simulation.
    InPlace,
}

pub(crate) struct LogWriter {
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) catalog: Arc<Mutex<Catalog>>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) cache: Arc<TailCache>,
    pub(crate) pool: Arc<Pool>,
    pub(crate) superblock: Arc<Superblock>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) fatal: watch::Sender<Option<Error>>,
    pub(crate) chores: Chores,
    pub(crate) bucket_bytes: u64,
    pub(crate) meter: Meter,
}

/// One batch in the making, and what is to be done when it is written.
#[derive(Default)]
struct Round {
    batch: Batch,
    done: Vec<Answer>,
    written: Vec<(GroupId, Ticket)>,
    metrics: SyncMetrics,
    closes: bool,
}

enum Answer {
    Done(Done),
    Reply(Box<dyn FnOnce() + Send>),
    View { group: Option<GroupId>, hold_buckets: bool, job: ViewJob },
}

impl LogWriter {
    /// Writes one batch of what is queued. Never waits for more to come.
    pub(crate) fn step(&mut self) -> Step {
        let drained = self.inbox.drain();
        if drained.ops.is_empty() {
            return if self.inbox.is_closed() { Step::Stopped } else { Step::Idle };
        }
        let bytes = drained.bytes;
        let mut round = match self.gather(drained) {
            Ok(round) => round,
            Err(error) => return self.fail(Round::default(), &error),
        };
        if let Err(error) = self.commit(&mut round)
            && !mutants::on(Mutant::M17)
        {
            return self.fail(round, &error);
        }
        let closes = round.closes;
        self.answer(round);
        self.inbox.done(bytes);
        if closes {
            self.inbox.close(&Error::Closed);
            return Step::Stopped;
        }
        Step::Wrote
    }

    fn gather(&mut self, drained: Drained) -> Result<Round, Error> {
        let appends = drained.ops.iter().any(|op| matches!(op, Op::Append { .. }));
        let full = appends && self.catalog.lock().buckets.is_full(self.bucket_bytes);
        if full {
            // One bucket, one memtable, one file: before the first entry of the next bucket is written.
            if let Err(error) = self.engine.seal(Family::StreamLog) {
                for op in drained.ops {
                    op.refuse(error.clone());
                }
                return Err(error);
            }
        }
        let mut round = Round::default();
        let catalog = Arc::clone(&self.catalog);
        let mut catalog = catalog.lock();
        if full {
            append::switch_bucket(&mut catalog, &mut round.batch);
        }
        for op in drained.ops {
            self.prepare(op, &mut catalog, &mut round);
        }
        Ok(round)
    }

    fn prepare(&self, op: Op, catalog: &mut Catalog, round: &mut Round) {
        let batch = &mut round.batch;
        match op {
            Op::Append { group, class, records, ticket, done } => {
                round.metrics.appended(group, records.len());
                append::append(catalog, group, class, records, batch);
                round.written.push((group, ticket));
                round.done.push(Answer::Done(done));
            }
            Op::Slot { group, class, slot, value, done } => {
                catalog.touch(group, class, batch);
                batch.put(Family::Meta, group_slot::key(group, slot), value.to_vec());
                batch.sync |= slot == Slot::Vote && !mutants::on(Mutant::M02);
                round.done.extend(done.map(Answer::Done));
            }
            Op::Truncate { group, from } => truncate::truncate(catalog, group, from, batch),
            Op::Retire { group, retirement } => {
                retire::retire(&*self.engine, catalog, group, retirement, batch);
            }
            Op::Rows { group, class, changes } => {
                let generation = catalog.touch(group, class, batch).generation;
                for change in changes {
                    install::put_row(group, generation, change, batch);
                }
            }
            Op::NodeRow { key, value, done } => {
                match value {
                    Some(value) => batch.put(Family::Meta, node_row::key(&key), value),
                    None => batch.delete(Family::Meta, node_row::key(&key)),
                }
                batch.sync = true;
                round.done.push(Answer::Done(done));
            }
            Op::View { group, hold_buckets, job } => {
                round.done.push(Answer::View { group, hold_buckets, job });
            }
            Op::ReleaseBuckets { buckets } => catalog.release(buckets, batch),
            Op::Close { done } => {
                batch.sync = true;
                round.closes = true;
                round.done.push(Answer::Done(done));
            }
            rare => self.prepare_rare(rare, catalog, round),
        }
    }

    /// Snapshots, evacuations, destruction.
    fn prepare_rare(&self, op: Op, catalog: &mut Catalog, round: &mut Round) {
        let batch = &mut round.batch;
        match op {
            Op::BeginImport { group, reply } => {
                let generation = stage::begin(catalog, group, batch);
                round.done.push(Answer::Reply(Box::new(move || drop(reply.send(Ok(generation))))));
            }
            Op::Stage { group, generation, class, part } => {
                stage::stage(catalog, (group, generation), class, part, self.bucket_bytes, batch);
            }
            Op::AbortImport { group, generation } => stage::abort(catalog, group, generation, batch),
            Op::Install { group, installation, done } => {
                if install::install(catalog, group, installation, batch) {
                    round.done.push(Answer::Done(done));
                } else {
                    done(Err(Error::SnapshotInvalid(format!("the import of group {group} is gone"))));
                }
            }
            Op::BeginEvacuation { reply } => {
                let bucket = relocate::begin(catalog, batch);
                round.done.push(Answer::Reply(Box::new(move || drop(reply.send(Ok(bucket))))));
            }
            Op::Copy { group, to, records, done } => {
                relocate::copy(group, to, records, batch);
                round.done.push(Answer::Done(done));
            }
            Op::Relocate { group, from, to, done } => {
                relocate::relocate(catalog, group, from, to, batch);
                round.done.push(Answer::Done(done));
            }
            Op::Destroy { group, class, done } => {
                destroy::destroy(catalog, group, class, batch);
                round.done.push(Answer::Done(done));
            }
            _ => unreachable!("prepare handles every other operation"),
        }
    }

    /// Writes the batch, and notes the watermark before anybody is told.
    fn commit(&mut self, round: &mut Round) -> Result<(), Error> {
        let batch = std::mem::take(&mut round.batch);
        let (bytes, sync) = (batch.bytes(), batch.sync);
        if batch.is_empty() {
            return Ok(());
        }
        round.metrics.begin(bytes);
        self.count_garbage(&batch);
        self.engine.write(batch)?;
        if sync {
            round.metrics.synced();
            self.superblock.note_watermark(self.engine.sequence())?;
            self.after_sync();
        }
        for (group, ticket) in round.written.drain(..) {
            self.cache.written(group, ticket);
        }
        self.look_at_disk(bytes);
        self.weigh_garbage();
        metrics::gauge!("weir_storage_queue_bytes").set(f64::from(self.inbox.bytes() as u32));
        Ok(())
    }

    fn look_at_disk(&mut self, written: usize) {
        self.meter.wrote(written, &self.pressure, &*self.engine);
        if let Chores::Housekeeper(housekeeper) = &self.chores
            && self.pressure.is_full()
        {
            // Nobody may write until there is room: a timer has to find it.
            housekeeper.watch_disk();
        }
    }

    /// Whatever deletes a range of the queue log, be it retired, truncated, replaced or destroyed, leaves that much in its files.
    fn count_garbage(&self, batch: &Batch) {
        let deleted = batch.edits().iter().filter_map(|edit| match edit {
            Edit::DeleteRange { family: Family::QueueLog, keys } => Some(keys.clone()),
            _ => None,
        });
        let deleted: Vec<_> = deleted.collect();
        if !deleted.is_empty() {
            let bytes = self.engine.approximate_bytes(Family::QueueLog, &deleted);
            // Nobody knows how much of it is on the way to a file: it is measured when it is there.
            let flushing = self.engine.flushing_bytes(Family::QueueLog);
            self.catalog.lock().queue_garbage.add(bytes.into_iter().sum::<u64>() + flushing);
        }
    }

    fn weigh_garbage(&self) {
        if let Chores::Housekeeper(housekeeper) = &self.chores
            && self.catalog.lock().queue_garbage.is_worth_asking()
        {
            housekeeper.weigh_garbage();
        }
    }

    /// Files of dead buckets may go now, and the superblock wants its sync.
    fn after_sync(&self) {
        let drop_buckets = self.catalog.lock().buckets.take_attempt();
        match &self.chores {
            Chores::Housekeeper(housekeeper) => housekeeper.after_sync(drop_buckets),
            Chores::InPlace if drop_buckets => drop_dead_buckets(&*self.engine, &self.catalog),
            Chores::InPlace => {}
        }
    }

    fn answer(&self, round: Round) {
        for answer in round.done {
            match answer {
                Answer::Done(done) => done(Ok(())),
                Answer::Reply(reply) => reply(),
                Answer::View { group, hold_buckets, job } => {
                    let mut catalog = self.catalog.lock();
                    let group = group.and_then(|group| catalog.groups.get(&group).cloned());
                    if hold_buckets {
                        for segment in group.iter().flat_map(|group| &group.segments) {
                            catalog.buckets.hold(segment.bucket);
                        }
                    }
                    drop(catalog);
                    job.start(&self.pool, Written { view: self.engine.view(), group });
                }
            }
        }
    }

    /// The outcome of this batch is unknown: tell everybody, and take nothing more.
    fn fail(&self, round: Round, error: &Error) -> Step {
        tracing::error!(%error, "a write failed, the store stops");
        self.inbox.close(&Error::Failed { first: error.to_string() });
        self.fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(error.clone()).is_none());
        for answer in round.done {
            match answer {
                Answer::Done(done) => done(Err(error.clone())),
                // Its reply is dropped, which the caller sees as closed.
                Answer::Reply(_) => {}
                Answer::View { job, .. } => job.refuse(error.clone()),
            }
        }
        Step::Stopped
    }

    /// Runs until the store is closed or fails: the thread's main.
    pub(crate) fn run(mut self) {
        let guard = StopGuard { inbox: Arc::clone(&self.inbox), fatal: self.fatal.clone() };
        loop {
            match self.step() {
                Step::Wrote => {}
                Step::Idle => self.inbox.wait(),
                Step::Stopped => break,
            }
        }
        drop(guard);
    }

    /// The same as a task.
    pub(crate) async fn run_as_task(mut self) {
        loop {
            match self.step() {
                Step::Wrote => {}
                Step::Idle => self.inbox.ready().await,
                Step::Stopped => return,
            }
        }
    }
}

/// A writer that panics must not leave a store that waits for ever.
struct StopGuard {
    inbox: Arc<Inbox>,
    fatal: watch::Sender<Option<Error>>,
}

impl Drop for StopGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = Error::Engine("the log writer panicked".to_owned());
            self.inbox.close(&Error::Failed { first: error.to_string() });
            self.fatal.send_if_modified(|fatal| fatal.is_none() && fatal.replace(error).is_none());
        }
    }
}
