//! openraft's log, on the node's store.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

use futures::Stream;
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{OptionalSend, RaftLogReader};
use tokio::time::Instant;
use weir_storage::LogRecord;
use weir_types::LogIndex;
use weir_types::mutants::{self, Mutant};

use super::entry::log_id;
use super::rows::{decode, encode};
use super::{Entry, LogId, Shared, TypeConfig, Vote, entry_of, record_of};

/// Bytes of entries read at once: one replication request, one batch of the applier.
const READ_BYTES_MAX: usize = 1 << 20;

/// The log of one replica. All its writes go through the store's one FIFO, so that a vote never overtakes an
/// append and what is durable is always a prefix.
#[derive(Clone)]
pub(crate) struct LogStore {
    shared: Arc<Shared>,
}

impl LogStore {
    /// Reads the pointers once; from here on they are known without IO.
    pub(crate) async fn open(shared: Arc<Shared>) -> io::Result<Self> {
        let state = shared.store.load().await.map_err(io::Error::other)?;
        shared.set_vote(state.vote.as_deref().map(decode).transpose()?);
        shared.set_purged(state.purged.as_deref().map(decode).transpose()?);
        Ok(Self { shared })
    }

    async fn read(&self, from: u64, to: u64) -> io::Result<Vec<Entry>> {
        let records = self.shared.store.read(from..to, READ_BYTES_MAX).await.map_err(io::Error::other)?;
        if records.is_empty() && from < to {
            return Err(io::Error::other(format!("log has a hole at {from}")));
        }
        records.into_iter().map(entry_of).collect()
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let (from, to) = self.bounds(&range);
        // What is purged may still be there, but is no part of the log for openraft.
        let mut from = from.max(self.shared.purged().map_or(0, |purged| purged.index() + 1));
        let to = to.min(self.shared.next_index());
        let mut entries = Vec::new();
        while from < to {
            match self.shared.store.read(from..to, READ_BYTES_MAX).await {
                Ok(records) if records.is_empty() => break,
                Ok(records) => {
                    from += records.len() as u64;
                    entries.reserve(records.len());
                    for record in records {
                        entries.push(entry_of(record)?);
                    }
                }
                // The log begins later than asked for; openraft checks what it gets.
                Err(weir_storage::Error::Retired { first, .. }) if first.0 > from => from = first.0,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(entries)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        self.read(start, end).await
    }

    /// The applier's input: read piece by piece, so that catching up on a long log takes bounded memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = Result<Entry, io::Error>> + OptionalSend
    where
        RB: RangeBounds<u64> + Clone + Debug + OptionalSend,
    {
        let (from, to) = self.bounds(&range);
        let to = to.min(self.shared.next_index());
        let start = (self.clone(), from, Vec::new().into_iter());
        futures::stream::unfold(Some(start), move |state| async move {
            let (log, mut next, mut ready) = state?;
            if next >= to {
                return None;
            }
            if ready.len() == 0 {
                match log.read(next, to).await {
                    Ok(entries) => ready = entries.into_iter(),
                    Err(error) => return Some((Err(error), None)),
                }
            }
            let entry = ready.next().expect("a read returns at least one entry");
            next += 1;
            Some((Ok(entry), Some((log, next, ready))))
        })
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(self.shared.vote())
    }
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<TypeConfig>, io::Error> {
        let state = self.shared.store.load().await.map_err(io::Error::other)?;
        let purged = self.shared.purged();
        let last = state.last.map(|position| log_id(position.term, position.index)).max(purged);
        self.shared.set_last_index(last.map(|id| id.index()));
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self::LogReader {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        self.shared.check_fence()?;
        if !mutants::on(Mutant::M26) {
            self.shared.store.save_vote(encode(vote).into()).await.map_err(io::Error::other)?;
        }
        self.shared.set_vote(Some(*vote));
        Ok(())
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let Some(committed) = committed else { return Ok(()) };
        self.shared.check_fence()?;
        self.shared.store.save_committed(encode(&committed).into()).await.map_err(io::Error::other)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        let state = self.shared.store.load().await.map_err(io::Error::other)?;
        state.committed.as_deref().map(decode).transpose()
    }

    async fn append<I>(&mut self, entries: I, flushed: IOFlushed<TypeConfig>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let records: Vec<LogRecord> = entries.into_iter().map(record_of).collect();
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            flushed.io_completed(Ok(()));
            return Ok(());
        };
        let (first, last) = (first.index.0, last.index.0);
        self.wait_for_log_below(first).await?;
        self.shared.check_fence()?;
        let begun = Instant::now();
        let done = move |result: Result<(), weir_storage::Error>| {
            metrics::histogram!("weir_append_seconds").record(begun.elapsed().as_secs_f64());
            flushed.io_completed(result.map_err(io::Error::other));
        };
        self.shared.store.append(records, done).await.map_err(io::Error::other)?;
        self.shared.set_last_index(Some(last));
        Ok(())
    }

    async fn truncate_after(&mut self, last_kept: Option<LogId>) -> Result<(), io::Error> {
        self.shared.check_fence()?;
        let index = last_kept.map(|id| id.index());
        self.shared.store.truncate_after(index.map(LogIndex)).await.map_err(io::Error::other)?;
        self.shared.set_last_index(index);
        Ok(())
    }

    /// Moves the pointer only: the entries stay readable until the machine has no more use for them.
    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        self.shared.check_fence()?;
        self.shared.store.save_purged(encode(&upto).into()).await.map_err(io::Error::other)?;
        self.shared.set_purged(Some(upto));
        self.shared.log_end.send_modify(|end| end.last = end.last.max(Some(upto.index())));
        if let Some(index) = self.shared.take_retire_target(true) {
            self.shared.store.retire_before(index).await.map_err(io::Error::other)?;
        }
        Ok(())
    }
}

impl LogStore {
    /// A range with its open ends closed by what the log holds.
    fn bounds(&self, range: &impl RangeBounds<u64>) -> (u64, u64) {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => self.shared.purged().map_or(0, |purged| purged.index() + 1),
        };
        let to = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(to) => *to,
            Bound::Unbounded => self.shared.next_index(),
        };
        (from, to.max(from))
    }

    /// openraft may append right above a snapshot whose installation is still under way in the applier's task:
    /// the append waits until the log below it is there.
    async fn wait_for_log_below(&self, first: u64) -> io::Result<()> {
        let mut end = self.shared.log_end.subscribe();
        end.wait_for(|end| end.takes(first)).await.map(|_| ()).map_err(io::Error::other)
    }
}
