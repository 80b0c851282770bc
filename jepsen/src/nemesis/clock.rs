//! Wall clocks that jump. Monotonic clocks go on as they are: no machine's jump.

use std::time::Duration;

use rand::RngExt as _;

use super::work::Work;
use crate::env::Result;

/// The farthest jump, in seconds.
const JUMP_MAX_S: i64 = 3_600;
/// How often a strobing clock jumps.
const STROBE_EVERY: Duration = Duration::from_millis(200);

fn draw_offset_ns(work: &mut Work<'_>) -> i64 {
    let seconds = match work.dice.random_range(0..3) {
        0 => work.dice.random_range(1..10),
        1 => work.dice.random_range(10..600),
        _ => work.dice.random_range(600..=JUMP_MAX_S),
    };
    let sign = if work.dice.random_bool(0.5) { 1 } else { -1 };
    sign * seconds * 1_000_000_000
}

fn set(work: &Work<'_>, offset_ns: i64) -> Result<()> {
    work.each(|node| node.interposer().set_clock(offset_ns))
}

/// One jump, and back.
pub(super) fn jump(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let offset_ns = draw_offset_ns(work);
    work.begin(format!("by {} s", offset_ns / 1_000_000_000));
    let jumped = set(work, offset_ns);
    if jumped.is_ok() {
        work.last();
    }
    set(work, 0).and(jumped)?;
    work.end("");
    Ok(())
}

/// To and fro all the time.
pub(super) fn strobe(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let offset_ns = draw_offset_ns(work);
    work.begin(format!("by {} s", offset_ns / 1_000_000_000));
    let mut strobed = Ok(());
    for turn in 0..work.lasts().as_millis() / STROBE_EVERY.as_millis() {
        strobed = set(work, if turn % 2 == 0 { offset_ns } else { 0 });
        if strobed.is_err() || !work.rest(STROBE_EVERY) {
            break;
        }
    }
    set(work, 0).and(strobed)?;
    work.end("");
    Ok(())
}
