//! The store of one group: its Raft log, its small values, its machine's rows, its snapshots.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use weir_types::{GroupId, LogIndex, Row, RowChange};

use crate::catalog::{Generation, Group};
use crate::edits::install::Installation;
use crate::edits::retire::Retirement;
use crate::engine::{Engine, Family};
use crate::inbox::Room;
use crate::log_reader;
use crate::op::{Done, OP_OVERHEAD_BYTES, Op};
use crate::pool::Written;
use crate::snapshot::{Export, Import, ImportReady};
use crate::span::{Front, Known};
use crate::store::{Store, answering};
use crate::tables::group_slot::{self, Slot};
use crate::tables::{machine_row, queue_log};
use crate::tail_cache::Ticket;
use crate::{Error, GroupState, LogClass, LogPosition, LogRecord, Reader};

/// One group's part of the store. Cheap to clone; all clones are the same group.
///
/// Writes enter the node's one queue in the order of the calls, wait for room in it (that is the back-pressure), and
/// return when they are queued unless said otherwise. A future dropped while it waits for room has done nothing.
#[derive(Clone)]
pub struct GroupStore {
    store: Store,
    group: GroupId,
    class: LogClass,
    reader: Reader,
    front: Arc<Front>,
}

impl GroupStore {
    pub(crate) fn new(store: Store, group: GroupId, class: LogClass, front: Arc<Front>) -> Self {
        Self { store, group, class, reader: Reader::default(), front }
    }

    /// The group.
    pub fn id(&self) -> GroupId {
        self.group
    }

    /// How its entries die.
    pub fn class(&self) -> LogClass {
        self.class
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The same group, its reads counted as this reader's.
    #[must_use]
    pub fn for_reader(&self, reader: Reader) -> Self {
        Self { reader, ..self.clone() }
    }

    /// What the group has, after everything asked for so far.
    ///
    /// # Errors
    /// [`Error::WrongClass`] when it is stored as the other class.
    pub async fn load(&self) -> Result<GroupState, Error> {
        let (group, class) = (self.group, self.class);
        let from = self.front.0.lock().first();
        let state = self
            .store
            .written(Some(group), false, move |written| group_state(&written, group, class, from))
            .await?;
        let ends = state.first.zip(state.last).map(|(first, last)| (first.index, last.index));
        let mut known = self.front.0.lock();
        if *known == Known::Unknown {
            *known = Known::from_ends(ends);
        }
        drop(known);
        Ok(state)
    }

    /// Appends entries that continue the log. Returns when they are queued and readable; `done` is called when
    /// they are synced, in the order of the calls, on the log writer's thread: it must not block. When this
    /// returns an error `done` was called with it or dropped.
    ///
    /// # Errors
    /// [`Error::NotContiguous`] when there is a gap or an overlap: truncate first.
    pub async fn append(
        &self,
        records: Vec<LogRecord>,
        done: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        self.know().await?;
        let done: Done = Box::new(done);
        let mut op =
            Op::Append { group: self.group, class: self.class, records, ticket: Ticket::default(), done };
        let room = self.room(op.cost()).await?;
        let mut known = self.front.0.lock();
        if let Op::Append { records, ticket, .. } = &mut op {
            *known = known.appended(self.group, records)?;
            *ticket = self.store.inner.cache.append(self.group, records);
        }
        self.store.inner.inbox.push(room, op)
    }

    /// Saves the vote; returns after its sync.
    pub async fn save_vote(&self, vote: Bytes) -> Result<(), Error> {
        self.store.perform(|done| self.slot(Slot::Vote, vote, Some(done))).await
    }

    /// Saves the committed pointer, unsynced: it may lag after a crash.
    pub async fn save_committed(&self, committed: Bytes) -> Result<(), Error> {
        self.queue(self.slot(Slot::Committed, committed, None)).await
    }

    /// Saves the purged pointer, unsynced. Deletes nothing: that is [`Self::retire_before`].
    pub async fn save_purged(&self, purged: Bytes) -> Result<(), Error> {
        self.queue(self.slot(Slot::Purged, purged, None)).await
    }

    /// Removes every entry after `last_kept`; all of them when there is none to keep.
    pub async fn truncate_after(&self, last_kept: Option<LogIndex>) -> Result<(), Error> {
        self.know().await?;
        let from = last_kept.map_or(LogIndex(0), LogIndex::next);
        let op = Op::Truncate { group: self.group, from };
        let room = self.room(op.cost()).await?;
        let mut known = self.front.0.lock();
        *known = known.truncated(from);
        self.store.inner.cache.truncate(self.group, from);
        self.store.inner.inbox.push(room, op)
    }

    /// Gives up every entry before `index` for good and frees their disk space when a whole bucket or enough of them
    /// is dead. The caller vouches that nobody needs them. After a restart some entries of a queue may be there
    /// again, always without a gap to the rest.
    pub async fn retire_before(&self, index: LogIndex) -> Result<(), Error> {
        self.know().await?;
        let room = self.room(OP_OVERHEAD_BYTES).await?;
        let mut known = self.front.0.lock();
        let Some(span) = known.span().filter(|span| span.first < index) else { return Ok(()) };
        let empties = span.last < index;
        // Of what is not there yet nothing is retired.
        let before = index.min(span.last.next());
        let retirement = Retirement { first: span.first, before, empties };
        *known = known.retired(before);
        self.store.inner.cache.retire(self.group, before);
        self.store.inner.inbox.push(room, Op::Retire { group: self.group, retirement })
    }

    /// About how many bytes the log of a queue takes from `from` on: what its table files hold of it, or, if that is more, as
    /// many entries of the average size of those that were appended since the open.
    pub async fn queue_log_bytes(&self, from: LogIndex) -> Result<u64, Error> {
        self.know().await?;
        let known = self.store.inner.catalog.lock().groups.get(&self.group).cloned();
        let (Some(span), Some(group)) = (self.front.0.lock().span(), known) else { return Ok(0) };
        let indexes = from.max(span.first).0..span.last.next().0;
        let (entries, bytes) = group.appended;
        let written = indexes.end.saturating_sub(indexes.start).saturating_mul(bytes / entries.max(1));
        let keys = queue_log::range(self.group, group.generation, indexes);
        let in_tables = move |engine: &dyn Engine| Ok(engine.approximate_bytes(Family::QueueLog, &[keys]));
        let in_tables = self.store.inner.pool.run(in_tables).await?;
        Ok(written.max(in_tables.into_iter().sum()))
    }

    /// The entries of `range`, as far as the log goes. More than `bytes_max` payload bytes are cut to a part that
    /// is never empty.
    ///
    /// # Errors
    /// [`Error::Retired`] when the range begins before the log does; [`Error::Hole`] when an entry is missing.
    pub async fn read(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<LogRecord>, Error> {
        self.know().await?;
        let (range, cached) = {
            let known = self.front.0.lock();
            self.refuse_retired(*known, range.start)?;
            let Some(span) = known.span() else { return Ok(Vec::new()) };
            let range = range.start..range.end.min(span.last.0 + 1);
            if range.start >= range.end {
                return Ok(Vec::new());
            }
            let cached = self.store.inner.cache.read(self.group, range.clone(), bytes_max);
            (range, cached)
        };
        let cold = range.start..cached.first().map_or(range.end, |record| record.index.0);
        self.count_read(cold.is_empty());
        if cold.is_empty() {
            return Ok(cached);
        }
        let cold_end = cold.end;
        let mut records = self.read_cold(cold, bytes_max).await?;
        if records.last().is_some_and(|last| last.index.0 + 1 == cold_end) {
            let mut left = bytes_max.saturating_sub(records.iter().map(|record| record.payload.len()).sum());
            for record in cached {
                if record.payload.len() > left {
                    break;
                }
                left -= record.payload.len();
                records.push(record);
            }
        }
        Ok(records)
    }

    async fn read_cold(&self, range: Range<u64>, bytes_max: usize) -> Result<Vec<LogRecord>, Error> {
        let (id, catalog) = (self.group, Arc::clone(&self.store.inner.catalog));
        let start = range.start;
        let read = self
            .store
            .inner
            .pool
            .run(move |engine| {
                let group = catalog.lock().groups.get(&id).map(|group| group.for_range(&range));
                let group = group.ok_or(Error::Hole { group: id, index: LogIndex(range.start) })?;
                log_reader::read(&*engine.view(), id, &group, range, bytes_max)
            })
            .await;
        if let Err(Error::Hole { .. }) = read {
            // It may have been retired meanwhile, and then nothing is wrong.
            self.refuse_retired(*self.front.0.lock(), start)?;
        }
        read
    }

    /// Writes rows in one atomic batch, after everything asked for so far, unsynced.
    pub async fn write_rows(&self, changes: Vec<RowChange>) -> Result<(), Error> {
        self.queue(Op::Rows { group: self.group, class: self.class, changes }).await
    }

    /// All rows in key order, after everything asked for so far.
    pub async fn rows(&self) -> Result<Vec<Row>, Error> {
        self.rows_with_prefix(b"").await
    }

    /// The rows whose key starts with `prefix`, in key order, after everything asked for so far.
    pub async fn rows_with_prefix(&self, prefix: &[u8]) -> Result<Vec<Row>, Error> {
        let (id, prefix) = (self.group, prefix.to_vec());
        self.store
            .written(Some(id), false, move |written| {
                let mut rows = Vec::new();
                let Some(group) = written.group.filter(|group| group.alive) else { return Ok(rows) };
                let keys = machine_row::with_prefix(id, group.generation, &prefix);
                written.view.scan(Family::Rows, &keys, usize::MAX, &mut |key, value| {
                    rows.push(Row { key: machine_row::decode(key).to_vec(), value: value.to_vec() });
                    Ok(ControlFlow::Continue(()))
                })?;
                Ok(rows)
            })
            .await
    }

    /// A snapshot of the rows and of the entries in `log`, after everything asked for so far. What it reads stays
    /// while it lives, whatever is retired meanwhile.
    ///
    /// # Errors
    /// [`Error::Retired`] when `log` begins before the log does; [`Error::Hole`] when it goes beyond its end.
    pub async fn export(&self, log: Range<u64>) -> Result<Export, Error> {
        self.know().await?;
        Export::open(self.clone(), log).await
    }

    /// Begins to take in another replica's [`Export`]. Nothing of it is visible before [`Self::install`]; an import
    /// that is dropped, or cut off by a restart, leaves nothing.
    pub async fn begin_import(&self) -> Result<Import, Error> {
        Import::begin(self.clone()).await
    }

    /// Atomically replaces the group's rows and log by the imported ones, with `extra_rows` on top and `purged` as
    /// the purged pointer; the vote stays. Durable on return.
    pub async fn install(
        &self,
        ready: ImportReady,
        extra_rows: Vec<RowChange>,
        purged: Bytes,
    ) -> Result<(), Error> {
        let (generation, ends) = ready.take();
        let installation =
            Installation { class: self.class, generation, extra_rows, purged: purged.to_vec() };
        let (done, answer) = answering();
        let op = Op::Install { group: self.group, installation, done };
        let room = self.room(op.cost()).await?;
        self.replace(Known::from_ends(ends), room, op)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Deletes everything of the group and leaves a tombstone; durable on return. The next write makes the group
    /// anew.
    pub async fn destroy(&self) -> Result<(), Error> {
        let (done, answer) = answering();
        let op = Op::Destroy { group: self.group, class: self.class, done };
        let room = self.room(op.cost()).await?;
        self.replace(Known::from_ends(None), room, op)?;
        answer.await.map_err(|_| Error::Closed)?
    }

    fn replace(&self, after: Known, room: Room<'_>, op: Op) -> Result<(), Error> {
        let mut known = self.front.0.lock();
        *known = after;
        self.store.inner.cache.forget(self.group);
        self.store.inner.inbox.push(room, op)
    }

    /// Makes sure that the span is known before the log is read or changed.
    async fn know(&self) -> Result<(), Error> {
        if *self.front.0.lock() == Known::Unknown {
            self.load().await?;
        }
        Ok(())
    }

    fn refuse_retired(&self, known: Known, start: u64) -> Result<(), Error> {
        let first = known.first();
        if start < first.0 {
            return Err(Error::Retired { group: self.group, index: LogIndex(start), first });
        }
        Ok(())
    }

    fn count_read(&self, hit: bool) {
        let name =
            if hit { "weir_storage_tail_cache_hits_total" } else { "weir_storage_tail_cache_misses_total" };
        metrics::counter!(name, "reader" => self.reader.name()).increment(1);
    }

    fn slot(&self, slot: Slot, value: Bytes, done: Option<Done>) -> Op {
        Op::Slot { group: self.group, class: self.class, slot, value, done }
    }

    async fn room(&self, bytes: usize) -> Result<Room<'_>, Error> {
        self.store.inner.inbox.room(bytes).await
    }

    pub(crate) async fn queue(&self, op: Op) -> Result<(), Error> {
        let room = self.room(op.cost()).await?;
        self.store.inner.inbox.push(room, op)
    }

    pub(crate) fn abort_import(&self, generation: Generation) {
        self.store.inner.inbox.push_urgent(Op::AbortImport { group: self.group, generation });
    }
}

/// What a view holds of a group.
fn group_state(written: &Written, id: GroupId, class: LogClass, from: LogIndex) -> Result<GroupState, Error> {
    let Some(group) = &written.group else { return Ok(GroupState::default()) };
    if !group.alive {
        return Ok(GroupState { destroyed: true, ..GroupState::default() });
    }
    check_class(id, group, class)?;
    let slot = |slot| written.view.get(Family::Meta, &group_slot::key(id, slot));
    let ends: Option<(LogPosition, LogPosition)> = log_reader::ends(&*written.view, id, group, from)?;
    Ok(GroupState {
        vote: slot(Slot::Vote)?,
        committed: slot(Slot::Committed)?,
        purged: slot(Slot::Purged)?,
        first: ends.map(|(first, _)| first),
        last: ends.map(|(_, last)| last),
        destroyed: false,
    })
}

fn check_class(id: GroupId, group: &Group, asked: LogClass) -> Result<(), Error> {
    if group.class == asked {
        return Ok(());
    }
    Err(Error::WrongClass { group: id, stored: group.class, asked })
}
