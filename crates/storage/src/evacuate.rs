//! Empties time buckets that are mostly dead, so that a few long-lived entries do not keep the disk space of all the
//! short-lived ones that arrived beside them.
//!
//! A survey looks at the buckets that lost a holder since the last one and asks the engine how much of each is
//! alive. Sparse ones are remembered; when the garbage in them is a quarter of the stream log, or the disk is full, the
//! emptiest are evacuated: survivors are copied through the log writer into a bucket of their own, and their
//! segments are changed over. The memory engine has no space to give back and does none of this. A crash in between leaves copies that nobody refers to, which the next opening clears.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use weir_types::{GroupId, LogIndex};

use crate::buckets::{Bucket, Segment};
use crate::catalog::{Catalog, Group};
use crate::engine::{Engine, Family, View};
use crate::inbox::Inbox;
use crate::op::{Done, Op};
use crate::reclaim::Urgency;
use crate::tables::stream_log;
use crate::{Error, log_reader};

/// Below this nothing is worth an evacuation.
const GARBAGE_BYTES_MIN: u64 = 256 << 20;
/// Buckets evacuated in one go.
const BUCKETS_MAX: usize = 8;
/// A bucket with less than a quarter alive is sparse.
const SPARSE_FACTOR: u64 = 4;
/// Bytes copied at once.
const COPY_BYTES: usize = 1 << 20;

/// How full a sparse bucket is.
#[derive(Clone, Copy, Debug)]
struct Fill {
    live: u64,
    total: u64,
}

/// The sparse buckets known so far.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    sparse: BTreeMap<Bucket, Fill>,
}

impl Survey {
    /// Looks at what was thinned, and returns the buckets to evacuate now.
    pub(crate) fn take(
        &mut self,
        engine: &dyn Engine,
        catalog: &Mutex<Catalog>,
        urgency: Urgency,
    ) -> Vec<Bucket> {
        let thinned = catalog.lock().buckets.take_thinned();
        let live = live_ranges(catalog, &thinned);
        self.sparse.retain(|bucket, _| catalog.lock().buckets.is_held(*bucket));
        for bucket in thinned {
            let mut ranges = live.get(&bucket).cloned().unwrap_or_default();
            ranges.push(stream_log::buckets(bucket, bucket));
            let mut bytes = engine.approximate_bytes(Family::StreamLog, &ranges);
            let total = bytes.pop().unwrap_or_default();
            self.note(bucket, Fill { live: bytes.into_iter().sum(), total });
        }
        if !self.is_worth(engine, urgency) {
            return Vec::new();
        }
        let mut buckets: Vec<(Bucket, Fill)> = self.sparse.iter().map(|(at, fill)| (*at, *fill)).collect();
        buckets.sort_by_key(|(bucket, fill)| (fill.live, *bucket));
        buckets.truncate(BUCKETS_MAX);
        for (bucket, _) in &buckets {
            self.sparse.remove(bucket);
        }
        buckets.into_iter().map(|(bucket, _)| bucket).collect()
    }

    fn note(&mut self, bucket: Bucket, fill: Fill) {
        if fill.live.saturating_mul(SPARSE_FACTOR) < fill.total {
            self.sparse.insert(bucket, fill);
        } else {
            self.sparse.remove(&bucket);
        }
    }

    fn is_worth(&self, engine: &dyn Engine, urgency: Urgency) -> bool {
        let garbage: u64 = self.sparse.values().map(|fill| fill.total - fill.live).sum();
        match urgency {
            Urgency::DiskFull => garbage > 0,
            Urgency::Usual => {
                let table_bytes = engine.table_bytes(Family::StreamLog).unwrap_or(u64::MAX);
                garbage >= GARBAGE_BYTES_MIN && garbage >= table_bytes / 4
            }
        }
    }
}

type Keys = std::ops::Range<Vec<u8>>;

/// Keys that are alive in each of the buckets. Locks the catalog for one group at a time: the log writer needs it.
fn live_ranges(catalog: &Mutex<Catalog>, buckets: &BTreeSet<Bucket>) -> BTreeMap<Bucket, Vec<Keys>> {
    let mut live: BTreeMap<Bucket, Vec<Keys>> = BTreeMap::new();
    if buckets.is_empty() {
        return live;
    }
    for id in group_ids(catalog) {
        let catalog = catalog.lock();
        let segments = catalog.groups.get(&id).into_iter().flat_map(|group| &group.segments);
        for segment in segments.filter(|segment| buckets.contains(&segment.bucket)) {
            let keys = stream_log::group_from(segment.bucket, id, segment.first);
            live.entry(segment.bucket).or_default().push(keys);
        }
    }
    live
}

fn group_ids(catalog: &Mutex<Catalog>) -> Vec<GroupId> {
    catalog.lock().groups.keys().copied().collect()
}

/// Moves what is alive in `from` to a new bucket. Blocks; ends with an error when the store closes meanwhile.
pub(crate) fn evacuate(
    engine: &dyn Engine,
    catalog: &Mutex<Catalog>,
    inbox: &Arc<Inbox>,
    from: Bucket,
) -> Result<(), Error> {
    let (reply, bucket) = oneshot::channel();
    inbox.push_urgent(Op::BeginEvacuation { reply });
    let to = bucket.blocking_recv().map_err(|_| Error::Closed)??;
    let view = engine.view();
    let outcome = residents(catalog, from)
        .into_iter()
        .try_for_each(|(id, group)| move_group(&*view, inbox, (id, &group), from, to));
    inbox.push_urgent(Op::ReleaseBuckets { buckets: vec![to] });
    metrics::counter!("weir_storage_buckets_evacuated_total").increment(1);
    outcome
}

/// The groups with a segment in the bucket, with that segment alone.
fn residents(catalog: &Mutex<Catalog>, bucket: Bucket) -> Vec<(GroupId, Group)> {
    let resident = |id| Some((id, catalog.lock().groups.get(&id)?.in_bucket(bucket)?));
    group_ids(catalog).into_iter().filter_map(resident).collect()
}

fn move_group(
    view: &dyn View,
    inbox: &Inbox,
    (id, group): (GroupId, &Group),
    from: Bucket,
    to: Bucket,
) -> Result<(), Error> {
    let Some(segment) = group.segments.first() else { return Ok(()) };
    let mut next = segment.first;
    let end = segment_end(view, id, segment)?;
    while next < end {
        let records = log_reader::read(view, id, group, next.0..end.0, COPY_BYTES)?;
        next = records.last().map_or(end, |last| last.index.next());
        wait(inbox, |done| Op::Copy { group: id, to, records, done })?;
    }
    wait(inbox, |done| Op::Relocate { group: id, from, to, done })
}

/// After the segment's last entry. What a later segment replaced may be copied in vain; it stays out of sight.
fn segment_end(view: &dyn View, id: GroupId, segment: &Segment) -> Result<LogIndex, Error> {
    let keys =
        stream_log::key(segment.bucket, id, segment.first)..stream_log::key(segment.bucket, id, segment.end);
    match view.last(Family::StreamLog, &keys)? {
        Some((key, _)) => Ok(stream_log::decode(&key)?.2.next()),
        None => Ok(segment.first),
    }
}

/// Has the log writer do something and waits for it, so that one part is on its way at a time.
fn wait(inbox: &Inbox, make: impl FnOnce(Done) -> Op) -> Result<(), Error> {
    let (done, answer) = crate::store::answering();
    inbox.push_urgent(make(done));
    answer.blocking_recv().map_err(|_| Error::Closed)?
}
