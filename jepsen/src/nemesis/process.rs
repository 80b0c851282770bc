//! Processes that end, stand still, or are replaced.

use std::time::Duration;

use super::Kind;
use super::work::Work;
use crate::env::{Node, Result};

/// How long a node may take to stop in good order, and to be ready again.
const STOPPING: Duration = Duration::from_secs(20);
const READY: Duration = Duration::from_secs(30);
/// Time between two nodes of a rolling restart.
const BETWEEN: Duration = Duration::from_secs(1);

/// SIGKILL, and a start. Whether a node needs a snapshot afterwards is a matter of how long it was down.
pub(super) fn kill(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    work.begin_sick("");
    let killed = work.each(Node::kill);
    if killed.is_ok() {
        work.last();
    }
    work.start_nodes().and(killed)?;
    work.end("");
    Ok(())
}

/// SIGSTOP, and SIGCONT.
pub(super) fn pause(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    work.begin_sick("");
    let paused = work.each(Node::pause);
    if paused.is_ok() {
        work.last();
    }
    work.each(Node::go_on).and(paused)?;
    work.end("");
    Ok(())
}

/// One node after the other stops in good order and starts again: with the other build, when there is one. A fault that
/// starts a node later brings it back to the first, so that builds are mixed.
pub(super) fn rolling_restart(work: &mut Work<'_>) -> Result<()> {
    debug_assert_eq!(work.kind(), Kind::RollingRestart);
    let options = work.site().options();
    let binary = options.other_binary.as_ref().unwrap_or(&options.binary);
    work.begin_sick(if options.other_binary.is_some() { "to the other build" } else { "" });
    let (mut restarted, mut killed) = (0, 0);
    for node in work.nodes() {
        // Under other faults a node may have nobody to hand over to in time; it is killed then.
        killed += u32::from(node.terminate(STOPPING).is_err());
        node.start_build(binary)?;
        // A node that does not get ready now, under other faults, does so after the heal.
        let _ = node.ready(READY, &|| work.is_healing());
        restarted += 1;
        if !work.rest(BETWEEN) {
            break;
        }
    }
    work.end(format!("{restarted} nodes, {killed} of them did not stop by themselves"));
    Ok(())
}
