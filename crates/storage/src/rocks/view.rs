//! A snapshot of the database that owns its share of it, so that an export can live as long as it needs.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use rocksdb::{DB, ReadOptions, Snapshot};
use self_cell::self_cell;

use crate::Error;
use crate::engine::{Family, View, Visit};
use crate::rocks::database::{engine_error, handle};
use crate::rocks::guard::off_the_runtime;

/// Most that a long scan reads ahead.
const READAHEAD_BYTES_MAX: usize = 2 << 20;
/// Scans shorter than this are left to `RocksDB`'s own judgement.
const READAHEAD_BYTES_MIN: usize = 64 << 10;

self_cell!(
    struct OwnedSnapshot {
        owner: Arc<DB>,
        #[covariant]
        dependent: Snapshot,
    }
);

pub(crate) struct RocksView(OwnedSnapshot);

impl RocksView {
    pub(crate) fn of(db: &Arc<DB>) -> Self {
        Self(OwnedSnapshot::new(Arc::clone(db), |db| db.snapshot()))
    }

    fn handle(&self, family: Family) -> &rocksdb::ColumnFamily {
        handle(self.0.borrow_owner(), family)
    }

    fn snapshot(&self) -> &Snapshot<'_> {
        self.0.borrow_dependent()
    }
}

impl View for RocksView {
    fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        off_the_runtime();
        let value = self.snapshot().get_cf(self.handle(family), key).map_err(engine_error)?;
        Ok(value.map(Bytes::from))
    }

    fn scan(
        &self,
        family: Family,
        keys: &Range<Vec<u8>>,
        expected_bytes: usize,
        visit: Visit<'_>,
    ) -> Result<(), Error> {
        off_the_runtime();
        let mut options = ReadOptions::default();
        options.set_iterate_upper_bound(keys.end.clone());
        if expected_bytes >= READAHEAD_BYTES_MIN {
            options.set_readahead_size(expected_bytes.min(READAHEAD_BYTES_MAX));
        }
        options.fill_cache(family == Family::Meta);
        let mut iterator = self.snapshot().raw_iterator_cf_opt(self.handle(family), options);
        iterator.seek(&keys.start);
        while let Some((key, value)) = iterator.item() {
            if let ControlFlow::Break(()) = visit(key, value)? {
                return Ok(());
            }
            iterator.next();
        }
        iterator.status().map_err(engine_error)
    }

    fn last(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<Option<(Vec<u8>, Bytes)>, Error> {
        off_the_runtime();
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(keys.start.clone());
        options.set_iterate_upper_bound(keys.end.clone());
        let mut iterator = self.snapshot().raw_iterator_cf_opt(self.handle(family), options);
        iterator.seek_to_last();
        let found = iterator.item().map(|(key, value)| (key.to_vec(), Bytes::copy_from_slice(value)));
        iterator.status().map_err(engine_error)?;
        Ok(found)
    }
}
