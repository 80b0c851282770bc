//! What falls out of the stream: by age, by bytes, when all groups that it is kept for have read it, and what a trim has left
//! behind.

use weir_types::{Offset, Retention, RowChange, WallClock};

use crate::groups::Groups;
use crate::index::{FrontRun, Index};
use crate::limits::RETIRE_BATCHES_PER_COMMAND_MAX;

/// What lets records go, as it stands after a command.
pub(crate) struct Bounds {
    age_ms: Option<u64>,
    bytes: Option<u64>,
    /// What lies below has been read by all groups that the stream is kept for; 0 when there are none.
    read_below: Offset,
}

impl Bounds {
    pub(crate) fn of(retention: &Retention, groups: &Groups) -> Self {
        let read_below = groups.read_below(&retention.groups);
        Self { age_ms: retention.age_ms, bytes: retention.bytes, read_below }
    }
}

/// Retires what is due at `now`, run by run from the oldest on, a bounded number of batches. A run goes whole: when
/// its youngest record is too old, when the stream is over its bytes without being down to its newest run, when all
/// groups have read it, or when it lies below the start. Returns whether anything was retired.
pub(crate) fn retire(
    index: &mut Index,
    bounds: &Bounds,
    now: WallClock,
    changes: &mut Vec<RowChange>,
) -> bool {
    let mut start = index.start();
    let mut batches_left = RETIRE_BATCHES_PER_COMMAND_MAX;
    let mut retired = false;
    while let Some(run) = index.front_run() {
        if !is_due(index, bounds, run, now) || run.batches > batches_left {
            break;
        }
        batches_left -= run.batches;
        index.retire_front_run(run, changes);
        start = run.end;
        retired = true;
    }
    // What was retired may have lain below the start already.
    if start > index.start() {
        index.move_start(start, changes);
    }
    retired
}

/// When [`retire`] next has something to do; the epoch when that is now, whatever the time.
pub(crate) fn deadline(index: &Index, bounds: &Bounds) -> Option<WallClock> {
    let run = index.front_run()?;
    if is_done(index, bounds, run) {
        return Some(WallClock(0));
    }
    bounds.age_ms.map(|age_ms| run.append_time + age_ms)
}

fn is_due(index: &Index, bounds: &Bounds, run: FrontRun, now: WallClock) -> bool {
    let is_old = bounds.age_ms.is_some_and(|age_ms| run.append_time + age_ms <= now);
    is_old || is_done(index, bounds, run)
}

/// Whether the run may go whatever the time.
fn is_done(index: &Index, bounds: &Bounds, run: FrontRun) -> bool {
    run.end <= index.start() || run.end <= bounds.read_below || is_over(index, bounds, run)
}

fn is_over(index: &Index, bounds: &Bounds, run: FrontRun) -> bool {
    let is_newest = run.end == index.end();
    !is_newest && bounds.bytes.is_some_and(|bytes| index.bytes() > bytes)
}
