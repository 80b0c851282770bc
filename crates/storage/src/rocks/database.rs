//! The engine: batches in, views out.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rocksdb::{
    BottommostLevelCompaction, ColumnFamily, ColumnFamilyDescriptor, CompactOptions, DB, FlushOptions,
    WriteBatch, WriteOptions,
};

use crate::engine::{Batch, Edit, Engine, Family, View};
use crate::rocks::guard::off_the_runtime;
use crate::rocks::options;
use crate::rocks::view::RocksView;
use crate::{Error, RocksOptions};

/// Bytes that a record of a batch costs beside key and value.
const RECORD_OVERHEAD_BYTES: usize = 16;

pub(crate) struct Database {
    db: Arc<DB>,
    path: PathBuf,
    /// Released after the database is closed: fields are dropped in order.
    _lock: File,
}

impl Database {
    pub(crate) fn open(
        path: &Path,
        rocks: &RocksOptions,
        direct_io: bool,
        lock: File,
    ) -> Result<Self, Error> {
        off_the_runtime();
        let cache = options::block_cache();
        let families = Family::ALL
            .map(|family| ColumnFamilyDescriptor::new(family.name(), options::family(family, rocks, &cache)));
        let db = DB::open_cf_descriptors(&options::database(rocks, direct_io), path, families)
            .map_err(engine_error)?;
        Ok(Self { db: Arc::new(db), path: path.to_owned(), _lock: lock })
    }
}

/// The handle of a family.
pub(crate) fn handle(db: &DB, family: Family) -> &ColumnFamily {
    db.cf_handle(family.name()).expect("every family was opened with the database")
}

pub(crate) fn engine_error(error: rocksdb::Error) -> Error {
    match error.kind() {
        rocksdb::ErrorKind::Corruption => Error::Corrupt(error.into_string()),
        _ => Error::Engine(error.into_string()),
    }
}

impl Engine for Database {
    fn write(&self, batch: Batch) -> Result<(), Error> {
        off_the_runtime();
        let capacity = batch.bytes() + batch.edits().len() * RECORD_OVERHEAD_BYTES;
        let mut write = WriteBatch::with_capacity_bytes(capacity);
        let mut value = Vec::new();
        for edit in batch.edits() {
            match edit {
                Edit::Put { family, key, value } => write.put_cf(handle(&self.db, *family), key, value),
                Edit::Entry { family, key, head, payload } => {
                    value.clear();
                    value.extend_from_slice(head);
                    value.extend_from_slice(payload);
                    write.put_cf(handle(&self.db, *family), key, &value);
                }
                Edit::Delete { family, key } => write.delete_cf(handle(&self.db, *family), key),
                Edit::DeleteRange { family, keys } => {
                    write.delete_range_cf(handle(&self.db, *family), &keys.start, &keys.end);
                }
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(batch.sync);
        self.db.write_opt(write, &options).map_err(engine_error)
    }

    fn sequence(&self) -> u64 {
        off_the_runtime();
        self.db.latest_sequence_number()
    }

    fn view(&self) -> Arc<dyn View> {
        off_the_runtime();
        Arc::new(RocksView::of(&self.db))
    }

    fn seal(&self, family: Family) -> Result<(), Error> {
        off_the_runtime();
        let mut options = FlushOptions::default();
        options.set_wait(false);
        self.db.flush_cf_opt(handle(&self.db, family), &options).map_err(engine_error)
    }

    fn drop_files(&self, family: Family, keys: &Range<Vec<u8>>) -> Result<(), Error> {
        off_the_runtime();
        self.db
            .delete_file_in_range_cf(handle(&self.db, family), &keys.start, &keys.end)
            .map_err(engine_error)
    }

    fn table_bytes(&self, family: Family) -> Result<u64, Error> {
        off_the_runtime();
        let bytes = self.db.property_int_value_cf(handle(&self.db, family), "rocksdb.live-sst-files-size");
        bytes.map(Option::unwrap_or_default).map_err(engine_error)
    }

    fn approximate_bytes(&self, family: Family, ranges: &[Range<Vec<u8>>]) -> Vec<u64> {
        off_the_runtime();
        let ranges: Vec<_> = ranges.iter().map(|keys| rocksdb::Range::new(&keys.start, &keys.end)).collect();
        self.db.get_approximate_sizes_cf(handle(&self.db, family), &ranges)
    }

    fn flushing_bytes(&self, family: Family) -> u64 {
        off_the_runtime();
        let family = handle(&self.db, family);
        // An answer that does not come means no more than that space returns later.
        let bytes = |name| self.db.property_int_value_cf(family, name).ok().flatten().unwrap_or_default();
        bytes(rocksdb::properties::CUR_SIZE_ALL_MEM_TABLES)
            .saturating_sub(bytes(rocksdb::properties::CUR_SIZE_ACTIVE_MEM_TABLE))
    }

    fn compact(&self, family: Family) {
        off_the_runtime();
        let mut options = CompactOptions::default();
        // Other compactions go on meanwhile.
        options.set_exclusive_manual_compaction(false);
        // A deletion that a view kept from taking effect lies at the bottom, beside what it deletes.
        options.set_bottommost_level_compaction(BottommostLevelCompaction::ForceOptimized);
        let all = None::<&[u8]>;
        self.db.compact_range_cf_opt(handle(&self.db, family), all, all, &options);
    }

    fn halt(&self) {
        off_the_runtime();
        self.db.cancel_all_background_work(false);
    }

    fn free_bytes(&self) -> Result<u64, Error> {
        free_bytes(&self.path)
    }
}

/// Bytes that the file system of `path` has for us.
pub(crate) fn free_bytes(path: &Path) -> Result<u64, Error> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|source| Error::io(format!("asking for free space of {}", path.display()), source.into()))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}
