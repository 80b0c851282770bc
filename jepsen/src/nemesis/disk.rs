//! Disks that are full, fail, are slow, hang, or tear a write.

use std::time::Duration;

use rand::RngExt as _;

use super::squeeze::died;
use super::work::Work;
use crate::env::{FileFaults, INPUT_OUTPUT_ERROR, Node, Result};

/// What a full disk may still have.
const LEFT_MAX: u64 = 48 << 20;
/// How long a node may take to come to the write that tells it of one that failed in the background.
const TOLD: Duration = Duration::from_secs(2);
/// How long a node may take to end after a sync that failed.
const ENDING: Duration = Duration::from_secs(10);

fn set(work: &Work<'_>, faults: &FileFaults) -> Result<()> {
    work.each(|node| node.interposer().set(faults))
}

/// Counts what the faults met, so that a fault that met nothing can be told from one that did.
fn met(work: &Work<'_>) -> u64 {
    let counts = work.nodes().into_iter().filter_map(|node| node.interposer().counts().ok());
    counts.map(|counts| counts.syncs_faulted + counts.writes_faulted).sum()
}

/// Nothing, or little, is left of the disk.
pub(super) fn full(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let left = if work.dice.random_bool(0.3) { 0 } else { work.dice.random_range(0..LEFT_MAX) };
    work.begin_sick(format!("{} KiB left", left >> 10));
    work.nodes().iter().for_each(|node| node.may_die());
    let filled = work.each(|node| node.fill_disk(Some(left)));
    if filled.is_ok() {
        work.last();
    }
    let emptied = work.each(|node| node.fill_disk(None));
    // A write that failed in the background is told with the next one, which may come when there is room again.
    let _ = work.each(|node| {
        node.ended(TOLD);
        Ok(())
    });
    let died = died(work);
    work.revive_nodes().and(emptied).and(filled)?;
    work.end(died);
    Ok(())
}

/// Writes, syncs or both fail. A node that went on after a failed sync would lie: it has to end.
pub(super) fn failing(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let (name, write_error, sync_error) = match work.dice.random_range(0..3) {
        0 => ("writes", INPUT_OUTPUT_ERROR, 0),
        1 => ("syncs", 0, INPUT_OUTPUT_ERROR),
        _ => ("writes and syncs", INPUT_OUTPUT_ERROR, INPUT_OUTPUT_ERROR),
    };
    during(work, &FileFaults { write_error, sync_error, ..FileFaults::default() }, format!("{name} fail"))
}

/// Nodes that go on although a sync of theirs failed: nobody knows what of it is on disk.
fn must_have_ended(work: &Work<'_>, failed_before: &[u64]) {
    for (node, before) in work.nodes().into_iter().zip(failed_before) {
        let failed = syncs_faulted(node).saturating_sub(*before);
        if failed > 0 && node.ended(ENDING).is_none() && node.is_awake() {
            node.blame(format!("goes on although {failed} of its syncs failed"));
        }
    }
}

fn syncs_faulted(node: &Node) -> u64 {
    node.interposer().counts().map_or(0, |counts| counts.syncs_faulted)
}

fn writes_faulted(node: &Node) -> u64 {
    node.interposer().counts().map_or(0, |counts| counts.writes_faulted)
}

/// Nodes of which a write failed in the background, and that have written nothing since: they would end at their next write,
/// when the fault is over and nothing may end them any more.
fn end_those_that_will(work: &Work<'_>, failed_before: &[u64]) -> Result<()> {
    let met =
        work.nodes().into_iter().zip(failed_before).filter(|(node, before)| writes_faulted(node) > **before);
    met.filter(|(node, _)| node.is_running()).try_for_each(|(node, _)| node.kill())
}

/// Syncs take longer.
pub(super) fn slow(work: &mut Work<'_>) -> Result<()> {
    let millis = [50, 200, 500, 2_000][work.dice.random_range(0..4)];
    let faults = FileFaults { sync_delay: Duration::from_millis(millis), ..FileFaults::default() };
    during(work, &faults, format!("{millis} ms longer"))
}

/// Syncs do not return.
pub(super) fn hung(work: &mut Work<'_>) -> Result<()> {
    during(work, &FileFaults { sync_hangs: true, ..FileFaults::default() }, String::new())
}

/// The next write is written in part, and the process ends by it.
pub(super) fn torn(work: &mut Work<'_>) -> Result<()> {
    let torn_permille = work.dice.random_range(1..1_000);
    during(work, &FileFaults { torn_permille, ..FileFaults::default() }, format!("after {torn_permille} ‰"))
}

fn during(work: &mut Work<'_>, faults: &FileFaults, detail: String) -> Result<()> {
    work.node()?;
    let before = met(work);
    let failed_before: Vec<u64> = work.nodes().into_iter().map(syncs_faulted).collect();
    let writes_before: Vec<u64> = work.nodes().into_iter().map(writes_faulted).collect();
    work.begin_sick(detail);
    work.nodes().into_iter().for_each(Node::may_die);
    let failing = set(work, faults);
    if failing.is_ok() {
        work.last();
    }
    if faults.sync_error != 0 {
        must_have_ended(work, &failed_before);
    }
    let ended = if faults.write_error != 0 { end_those_that_will(work, &writes_before) } else { Ok(()) };
    let healed = set(work, &FileFaults::default());
    let (died, met) = (died(work), met(work) - before);
    work.revive_nodes().and(healed).and(failing).and(ended)?;
    work.end(format!("met {met} calls {died}").trim_end().to_owned());
    Ok(())
}
