//! What the log writer knows of every group without asking the database: read once at open, then changed together
//! with the batches that it writes.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use weir_types::{GroupId, LogIndex};

use crate::buckets::{Bucket, Buckets, Segment};
use crate::engine::{Batch, Family, View};
use crate::reclaim::Garbage;
use crate::tables::group_row::GroupRow;
use crate::tables::{bucket_counter, group_row, kind, machine_row, queue_log, segment, staging, stream_log};
use crate::{Error, LogClass};

/// Tells the installed rows and queue entries of a group from those of before and those of an import under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Generation(pub(crate) u32);

impl Generation {
    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// What is known of one group.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) class: LogClass,
    /// Destroyed when false: only its tombstone is left.
    pub(crate) alive: bool,
    pub(crate) generation: Generation,
    /// Where the entries of a stream group lie, in order.
    pub(crate) segments: Vec<Segment>,
    /// Queue entries below this are deleted on disk; none until the first retirement after an open.
    pub(crate) deleted_before: Option<LogIndex>,
    /// Entries and bytes appended since the open, for their average size.
    pub(crate) appended: (u64, u64),
}

impl Group {
    /// The group with only those segments that a read of `range` needs: a long-lived one has thousands.
    pub(crate) fn for_range(&self, range: &Range<u64>) -> Self {
        let after_start = self.segments.partition_point(|segment| segment.first.0 <= range.start);
        let end = self.segments.partition_point(|segment| segment.first.0 < range.end).max(after_start);
        self.with_segments(self.segments[after_start.saturating_sub(1)..end].to_vec())
    }

    /// The group with only the segment in `bucket`, if it has one.
    pub(crate) fn in_bucket(&self, bucket: Bucket) -> Option<Self> {
        let segment = self.segments.iter().find(|segment| segment.bucket == bucket)?;
        Some(self.with_segments(vec![*segment]))
    }

    fn with_segments(&self, segments: Vec<Segment>) -> Self {
        Self {
            class: self.class,
            alive: self.alive,
            generation: self.generation,
            segments,
            deleted_before: self.deleted_before,
            appended: self.appended,
        }
    }

    fn from_row(row: GroupRow) -> Self {
        Self {
            class: row.class,
            alive: row.alive,
            generation: row.generation,
            segments: Vec::new(),
            deleted_before: None,
            appended: (0, 0),
        }
    }
}

/// An import under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Staged {
    /// Stream entries staged so far, in buckets of their own.
    pub(crate) segments: Vec<Segment>,
    /// Bytes in the last of those buckets.
    pub(crate) bucket_bytes: u64,
}

/// All groups, imports and buckets of the node.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) groups: BTreeMap<GroupId, Group>,
    pub(crate) staged: BTreeMap<(GroupId, Generation), Staged>,
    pub(crate) buckets: Buckets,
    pub(crate) queue_garbage: Garbage,
}

impl Catalog {
    /// Reads the catalog, and puts into `batch` what removes the leftovers of imports.
    pub(crate) fn open(view: &dyn View, batch: &mut Batch) -> Result<Self, Error> {
        let mut catalog = Self::default();
        let mut next = Bucket(1);
        let keys = vec![kind::GROUP]..vec![kind::NODE];
        view.scan(Family::Meta, &keys, usize::MAX, &mut |key, value| {
            match key.first() {
                Some(&kind::GROUP) => catalog.add_group(key, value)?,
                Some(&kind::SEGMENT) => catalog.add_segment(key, value)?,
                Some(&kind::BUCKET_COUNTER) => next = bucket_counter::decode(value)?,
                Some(&kind::STAGING) => discard_staging(key, batch)?,
                _ => return Err(Error::Corrupt(format!("unknown key {key:02x?} in meta"))),
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut buckets = Buckets::opened(next);
        for segment in catalog.groups.values().flat_map(|group| &group.segments) {
            buckets.hold(segment.bucket);
        }
        buckets.survey_all();
        catalog.buckets = buckets;
        catalog.bury_strays(view)?;
        Ok(catalog)
    }

    fn add_group(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        if let Some(group) = group_row::decode_key(key)? {
            self.groups.insert(group, Group::from_row(group_row::decode(value)?));
        }
        Ok(())
    }

    fn add_segment(&mut self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let (group, segment) = segment::decode(key, value)?;
        let entry = self
            .groups
            .get_mut(&group)
            .ok_or_else(|| Error::Corrupt(format!("segment of unknown group {group}")))?;
        entry.segments.push(segment);
        Ok(())
    }

    /// Finds buckets that nobody holds: of dropped groups whose files outlived a crash, and of half imports.
    fn bury_strays(&mut self, view: &dyn View) -> Result<(), Error> {
        let mut from = Bucket(0);
        loop {
            let mut found = None;
            let keys = stream_log::buckets(from, Bucket(u32::MAX - 1));
            view.scan(Family::StreamLog, &keys, 0, &mut |key, _| {
                found = Some(stream_log::decode(key)?.0);
                Ok(ControlFlow::Break(()))
            })?;
            let Some(bucket) = found else { return Ok(()) };
            self.buckets.bury(bucket);
            from = bucket.next();
        }
    }

    /// The group, made alive if it is not: the first write of a group brings its row.
    pub(crate) fn touch(&mut self, id: GroupId, class: LogClass, batch: &mut Batch) -> &mut Group {
        if !self.groups.get(&id).is_some_and(|group| group.alive) {
            let generation = self.generation_unused(id);
            self.make(id, GroupRow { class, alive: true, generation }, batch);
        }
        self.groups.get_mut(&id).expect("made above when it was not there")
    }

    /// Gives a group a new, empty life. Returns the one before.
    pub(crate) fn make(&mut self, id: GroupId, row: GroupRow, batch: &mut Batch) -> Option<Group> {
        batch.put(Family::Meta, group_row::key(id), group_row::encode(row));
        self.groups.insert(id, Group::from_row(row))
    }

    /// The next generation of a group that neither it nor an import of it uses.
    pub(crate) fn generation_unused(&self, id: GroupId) -> Generation {
        let installed = self.groups.get(&id).map_or(Generation(0), |group| group.generation);
        let of_group = (id, Generation(0))..=(id, Generation(u32::MAX));
        let staged = self.staged.range(of_group).next_back().map_or(Generation(0), |((_, last), _)| *last);
        installed.max(staged).next()
    }

    /// Lets go of buckets. One that dies of it makes the batch a synced one: files are dropped only after the
    /// change that killed them is on disk.
    pub(crate) fn release(&mut self, buckets: impl IntoIterator<Item = Bucket>, batch: &mut Batch) {
        for bucket in buckets {
            if self.buckets.release(bucket) {
                self.note_counter(batch);
                batch.sync = true;
            }
        }
    }

    /// Writes the bucket counter.
    pub(crate) fn note_counter(&self, batch: &mut Batch) {
        batch.put(Family::Meta, bucket_counter::key(), bucket_counter::value(self.buckets.next()));
    }
}

fn discard_staging(key: &[u8], batch: &mut Batch) -> Result<(), Error> {
    let (group, generation) = staging::decode(key)?;
    delete_generation(group, generation, batch);
    batch.delete(Family::Meta, key.to_vec());
    Ok(())
}

/// Deletes the rows and queue entries of one generation.
pub(crate) fn delete_generation(group: GroupId, generation: Generation, batch: &mut Batch) {
    batch.delete_range(Family::Rows, machine_row::with_prefix(group, generation, b""));
    batch.delete_range(Family::QueueLog, queue_log::range(group, generation, 0..u64::MAX));
}
