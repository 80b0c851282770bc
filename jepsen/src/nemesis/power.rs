//! Power that fails: what was not synced is gone.

use super::work::Work;
use crate::env::{FileFaults, Node, Result};

/// The power of all nodes of the step fails at one moment.
pub(super) fn cut(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    work.begin_sick("");
    // First all processes end, then all disks: none goes on writing for the others.
    let cut = work.each(Node::kill).and_then(|()| work.each(Node::cut_power));
    if cut.is_ok() {
        work.last();
    }
    work.start_nodes().and(cut)?;
    work.end("");
    Ok(())
}

/// Syncs of the database say that they did what they did not; then the power fails. The superblock's are true: a disk
/// that lies about everything leaves a state that was once whole, and nobody could tell.
pub(super) fn lying(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let before = lies(work);
    work.begin_sick("");
    work.remember_damage();
    let lying = work.each(|node| {
        node.interposer().set_scope(&node.data().join("db"))?;
        node.interposer().set(&FileFaults { sync_lies: true, ..FileFaults::default() })
    });
    if lying.is_ok() {
        work.last();
    }
    let told = lies(work) - before;
    let cut = work.each(Node::kill).and_then(|()| work.each(Node::cut_power));
    let honest = work.each(|node| {
        node.interposer().set(&FileFaults::default())?;
        node.interposer().set_scope(&node.data())
    });
    let refused = work.start_damaged();
    cut.and(honest).and(lying)?;
    work.end(format!("{told} syncs were lies; {}", refused?).trim_end_matches("; ").to_owned());
    Ok(())
}

fn lies(work: &Work<'_>) -> u64 {
    let counts = work.nodes().into_iter().filter_map(|node| node.interposer().counts().ok());
    counts.map(|counts| counts.syncs_faulted).sum()
}
