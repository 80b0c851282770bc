//! Reads a group's log out of a view: in which buckets to look, and that nothing is missing.

use std::ops::{ControlFlow, Range};

use weir_types::{GroupId, LogIndex};

use crate::buckets::Segment;
use crate::catalog::Group;
use crate::engine::{Family, View};
use crate::tables::{entry, queue_log, stream_log};
use crate::{Error, LogClass, LogPosition, LogRecord};

/// A stretch of keys that holds a stretch of indexes.
struct Stretch {
    family: Family,
    keys: Range<Vec<u8>>,
}

/// Where the entries of `range` lie, in order.
fn stretches(id: GroupId, group: &Group, range: &Range<u64>) -> Vec<Stretch> {
    if group.class == LogClass::Queue {
        let keys = queue_log::range(id, group.generation, range.clone());
        return vec![Stretch { family: Family::QueueLog, keys }];
    }
    (0..group.segments.len())
        .filter_map(|at| {
            let segment = group.segments[at];
            let start = range.start.max(segment.first.0);
            let end = range.end.min(segment_end(&group.segments, at));
            (start < end).then(|| Stretch {
                family: Family::StreamLog,
                keys: stream_log::key(segment.bucket, id, LogIndex(start))
                    ..stream_log::key(segment.bucket, id, LogIndex(end)),
            })
        })
        .collect()
}

fn segment_end(segments: &[Segment], at: usize) -> u64 {
    let next = segments.get(at + 1).map_or(Segment::OPEN, |next| next.first);
    segments[at].end.min(next).0
}

/// The entries of `range`, which must all be there; a non-empty part from its start when they exceed
/// `bytes_max`.
pub(crate) fn read(
    view: &dyn View,
    id: GroupId,
    group: &Group,
    range: Range<u64>,
    bytes_max: usize,
) -> Result<Vec<LogRecord>, Error> {
    let mut found: Vec<LogRecord> = Vec::new();
    let mut bytes = 0;
    let mut full = false;
    // One entry alone is a message that is delivered late: nothing follows that would be worth reading ahead.
    let expected_bytes = if range.end - range.start == 1 { 0 } else { bytes_max };
    for stretch in stretches(id, group, &range) {
        view.scan(stretch.family, &stretch.keys, expected_bytes, &mut |key, value| {
            let expected = LogIndex(range.start + found.len() as u64);
            let index = index_of(stretch.family, key)?;
            if index != expected {
                return Err(Error::Hole { group: id, index: expected });
            }
            bytes += value.len();
            if bytes > bytes_max && !found.is_empty() {
                full = true;
                return Ok(ControlFlow::Break(()));
            }
            found.push(entry::decode(index, value)?);
            Ok(ControlFlow::Continue(()))
        })?;
        if full {
            return Ok(found);
        }
    }
    let expected = range.start + found.len() as u64;
    if expected < range.end {
        return Err(Error::Hole { group: id, index: LogIndex(expected) });
    }
    Ok(found)
}

fn index_of(family: Family, key: &[u8]) -> Result<LogIndex, Error> {
    match family {
        Family::StreamLog => Ok(stream_log::decode(key)?.2),
        _ => Ok(queue_log::decode(key)?.2),
    }
}

/// The first entry at or after `from`, and the last.
pub(crate) fn ends(
    view: &dyn View,
    id: GroupId,
    group: &Group,
    from: LogIndex,
) -> Result<Option<(LogPosition, LogPosition)>, Error> {
    let stretches = stretches(id, group, &(from.0..u64::MAX));
    let mut first = None;
    for stretch in &stretches {
        view.scan(stretch.family, &stretch.keys, 0, &mut |key, value| {
            first = Some(entry::decode(index_of(stretch.family, key)?, value)?.position());
            Ok(ControlFlow::Break(()))
        })?;
        if first.is_some() {
            break;
        }
    }
    let Some(first) = first else { return Ok(None) };
    for stretch in stretches.iter().rev() {
        if let Some((key, value)) = view.last(stretch.family, &stretch.keys)? {
            let last = entry::decode(index_of(stretch.family, &key)?, &value)?.position();
            return Ok(Some((first, last)));
        }
    }
    Err(Error::Hole { group: id, index: first.index })
}
