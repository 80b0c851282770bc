//! What falls out of the stream: by age, by bytes, and what a trim has left behind.

use weir_types::{Offset, Retention, RowChange, WallClock};

use crate::index::{FrontRun, Index};
use crate::limits::RETIRE_BATCHES_PER_COMMAND_MAX;

/// Retires what is due at `now`, run by run from the oldest on, a bounded number of batches. A run goes whole: when
/// its youngest record is too old, when the stream is over its bytes without being down to its newest run, or when
/// it lies below the start. Returns whether anything was retired.
pub(crate) fn retire(
    index: &mut Index,
    retention: Retention,
    now: WallClock,
    changes: &mut Vec<RowChange>,
) -> bool {
    let mut start = index.start();
    let mut batches_left = RETIRE_BATCHES_PER_COMMAND_MAX;
    let mut retired = false;
    while let Some(run) = index.front_run() {
        if !is_due(index, retention, run, now) || run.batches > batches_left {
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
pub(crate) fn deadline(index: &Index, retention: Retention) -> Option<WallClock> {
    let run = index.front_run()?;
    if is_below(run, index.start()) || is_over(index, retention, run) {
        return Some(WallClock(0));
    }
    retention.age_ms.map(|age_ms| run.append_time + age_ms)
}

fn is_due(index: &Index, retention: Retention, run: FrontRun, now: WallClock) -> bool {
    let is_old = retention.age_ms.is_some_and(|age_ms| run.append_time + age_ms <= now);
    is_old || is_below(run, index.start()) || is_over(index, retention, run)
}

fn is_below(run: FrontRun, start: Offset) -> bool {
    run.end <= start
}

fn is_over(index: &Index, retention: Retention, run: FrontRun) -> bool {
    let is_newest = run.end == index.end();
    !is_newest && retention.bytes.is_some_and(|bytes| index.bytes() > bytes)
}
