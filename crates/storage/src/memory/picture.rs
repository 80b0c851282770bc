//! What a memory disk holds, for the checks of a simulation.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use bytes::Bytes;
use weir_types::{GroupId, LogIndex, Row};

use crate::catalog::{Catalog, Group};
use crate::engine::{Batch, Family, View};
use crate::tables::group_slot::{self, Slot};
use crate::tables::machine_row;
use crate::{Error, LogRecord, log_reader};

use super::MemoryDisk;
use super::tables::Tables;

/// Everything on a disk at one moment, whatever its store believes.
pub struct Picture {
    tables: Arc<Tables>,
    catalog: Catalog,
}

/// One group in a [`Picture`].
pub struct GroupPicture<'a> {
    id: GroupId,
    tables: &'a Tables,
    group: &'a Group,
}

impl MemoryDisk {
    /// What is on the disk, unsynced writes included.
    pub fn picture(&self) -> Result<Picture, Error> {
        let tables = Arc::clone(&self.0.lock().live);
        let catalog = Catalog::open(&*tables, &mut Batch::default())?;
        Ok(Picture { tables, catalog })
    }
}

impl Picture {
    /// The groups that are on the disk, destroyed ones left out.
    pub fn groups(&self) -> impl Iterator<Item = GroupPicture<'_>> {
        let alive = self.catalog.groups.iter().filter(|(_, group)| group.alive);
        alive.map(|(id, group)| GroupPicture { id: *id, tables: &self.tables, group })
    }

    /// One group, if it is on the disk.
    pub fn group(&self, id: GroupId) -> Option<GroupPicture<'_>> {
        let group = self.catalog.groups.get(&id).filter(|group| group.alive)?;
        Some(GroupPicture { id, tables: &self.tables, group })
    }
}

impl GroupPicture<'_> {
    /// Which group it is.
    pub fn id(&self) -> GroupId {
        self.id
    }

    /// The vote, as consensus encoded it.
    pub fn vote(&self) -> Result<Option<Bytes>, Error> {
        self.tables.get(Family::Meta, &group_slot::key(self.id, Slot::Vote))
    }

    /// The rows whose keys start with `prefix`.
    pub fn rows(&self, prefix: u8) -> Result<Vec<Row>, Error> {
        let mut rows = Vec::new();
        self.each_row(&[prefix], &mut |key, value| {
            rows.push(Row { key: key.to_vec(), value: value.to_vec() });
        })?;
        Ok(rows)
    }

    /// A fingerprint of all rows but those whose keys start with `except`: equal rows give equal ones.
    pub fn rows_digest(&self, except: u8) -> Result<u32, Error> {
        let mut digest = 0;
        self.each_row(&[], &mut |key, value| {
            if key.first() != Some(&except) {
                for part in [key, value] {
                    digest = crc32c::crc32c_append(digest, &part.len().to_be_bytes());
                    digest = crc32c::crc32c_append(digest, part);
                }
            }
        })?;
        Ok(digest)
    }

    fn each_row(&self, prefix: &[u8], visit: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), Error> {
        let keys = machine_row::with_prefix(self.id, self.group.generation, prefix);
        self.tables.scan(Family::Rows, &keys, 0, &mut |key, value| {
            visit(machine_row::decode(key), value);
            Ok(ControlFlow::Continue(()))
        })
    }

    /// The log's first entry at or after `from`, and its last; none for an empty log.
    pub fn ends(&self, from: LogIndex) -> Result<Option<(LogIndex, LogIndex)>, Error> {
        let ends = log_reader::ends(self.tables, self.id, self.group, from)?;
        Ok(ends.map(|(first, last)| (first.index, last.index)))
    }

    /// The entries of a range, all of which must be there.
    pub fn entries(&self, range: Range<LogIndex>) -> Result<Vec<LogRecord>, Error> {
        log_reader::read(self.tables, self.id, self.group, range.start.0..range.end.0, usize::MAX)
    }

    /// The entry at an index; none where the log does not reach, or does no longer.
    pub fn entry(&self, index: LogIndex) -> Option<LogRecord> {
        let range = index.0..index.0 + 1;
        log_reader::read(self.tables, self.id, self.group, range, usize::MAX).ok()?.pop()
    }
}
