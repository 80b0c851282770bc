//! Reading a snapshot out of a group.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use weir_types::{GroupId, LogIndex};

use crate::buckets::Bucket;
use crate::catalog::Group;
use crate::engine::{Family, View};
use crate::log_reader;
use crate::op::Op;
use crate::snapshot::format::{Encoder, Header};
use crate::store::Store;
use crate::tables::{entry, machine_row};
use crate::{Error, GroupStore};

/// A consistent snapshot of one group, read chunk by chunk. While it lives it keeps what it reads: drop it when done.
pub struct Export {
    store: Store,
    /// None only while a chunk is being read, or after one failed.
    source: Option<Source>,
    log: Range<u64>,
}

/// The frozen picture and how far it has been read.
struct Source {
    view: Arc<dyn View>,
    id: GroupId,
    group: Group,
    log: Range<u64>,
    encoder: Encoder,
    next: Next,
    held: Held,
}

/// What is to be read next.
enum Next {
    Rows { keys: Range<Vec<u8>> },
    Entries { index: u64 },
    End,
}

/// Keeps buckets from being dropped.
struct Held {
    store: Store,
    buckets: Vec<Bucket>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let buckets = std::mem::take(&mut self.buckets);
        self.store.inner.inbox.push_urgent(Op::ReleaseBuckets { buckets });
    }
}

impl Export {
    pub(crate) async fn open(group: GroupStore, log: Range<u64>) -> Result<Self, Error> {
        let (id, class, store) = (group.id(), group.class(), group.store().clone());
        let (range, holder) = (log.clone(), store.clone());
        let source = store
            .written(Some(id), true, move |written| {
                let buckets = written.group.iter().flat_map(|group| &group.segments);
                let held = Held { store: holder, buckets: buckets.map(|segment| segment.bucket).collect() };
                let group = written
                    .group
                    .filter(|group| group.alive)
                    .ok_or_else(|| Error::SnapshotInvalid(format!("group {id} is not here")))?;
                check_range(&*written.view, id, &group, &range)?;
                let mut encoder = Encoder::default();
                encoder.header(&Header { class, group: id, log: range.clone() });
                let keys = machine_row::with_prefix(id, group.generation, b"");
                let next = Next::Rows { keys };
                Ok(Source { view: written.view, id, group, log: range, encoder, next, held })
            })
            .await?;
        Ok(Self { store, source: Some(source), log })
    }

    /// The entries it carries.
    pub fn log(&self) -> Range<u64> {
        self.log.clone()
    }

    /// The next bytes, at most `bytes_max` (at least 1); none at the end.
    pub async fn next_chunk(&mut self, bytes_max: usize) -> Result<Option<Bytes>, Error> {
        let Some(mut source) = self.source.take() else {
            return Err(Error::SnapshotInvalid("an earlier chunk of this export failed".to_owned()));
        };
        let bytes_max = bytes_max.max(1);
        let (source, chunk) = self
            .store
            .inner
            .pool
            .run(move |_| {
                source.fill(bytes_max)?;
                let chunk = source.encoder.take(bytes_max);
                Ok((source, chunk))
            })
            .await?;
        self.source = Some(source);
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }
}

impl Drop for Export {
    /// The view belongs to the engine, which no async worker touches.
    fn drop(&mut self) {
        if let Some(source) = self.source.take() {
            self.store.inner.pool.submit(move |_| drop(source));
        }
    }
}

fn check_range(view: &dyn View, id: GroupId, group: &Group, log: &Range<u64>) -> Result<(), Error> {
    if log.is_empty() {
        return Ok(());
    }
    let Some((first, last)) = log_reader::ends(view, id, group, LogIndex(0))? else {
        return Err(Error::Hole { group: id, index: LogIndex(log.start) });
    };
    if log.start < first.index.0 {
        return Err(Error::Retired { group: id, index: LogIndex(log.start), first: first.index });
    }
    if log.end > last.index.0 + 1 {
        return Err(Error::Hole { group: id, index: last.index.next() });
    }
    Ok(())
}

impl Source {
    /// Reads until `bytes` are ready or nothing is left.
    fn fill(&mut self, bytes: usize) -> Result<(), Error> {
        while self.encoder.pending() < bytes {
            match &mut self.next {
                Next::Rows { .. } => self.fill_rows(bytes)?,
                Next::Entries { index } => {
                    let index = *index;
                    self.fill_entries(index, bytes)?;
                }
                Next::End => {
                    self.held.buckets.shrink_to_fit();
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    fn fill_rows(&mut self, bytes: usize) -> Result<(), Error> {
        let Next::Rows { keys } = &mut self.next else { return Ok(()) };
        let encoder = &mut self.encoder;
        let mut resume = None;
        self.view.scan(Family::Rows, keys, bytes, &mut |key, value| {
            if encoder.pending() >= bytes {
                resume = Some(key.to_vec());
                return Ok(ControlFlow::Break(()));
            }
            encoder.row(machine_row::decode(key), value);
            Ok(ControlFlow::Continue(()))
        })?;
        match resume {
            Some(key) => keys.start = key,
            None => self.next = Next::Entries { index: self.log.start },
        }
        Ok(())
    }

    fn fill_entries(&mut self, index: u64, bytes: usize) -> Result<(), Error> {
        if index >= self.log.end {
            self.encoder.trailer();
            self.next = Next::End;
            return Ok(());
        }
        let records = log_reader::read(&*self.view, self.id, &self.group, index..self.log.end, bytes)?;
        for record in &records {
            let value = [entry::head(record).as_slice(), &record.payload].concat();
            self.encoder.entry(record.index, &value);
        }
        self.next = Next::Entries { index: index + records.len() as u64 };
        Ok(())
    }
}
