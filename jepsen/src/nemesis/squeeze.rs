//! Nodes that get less of the machine than they want.

use rand::RngExt as _;

use super::work::Work;
use crate::env::{Node, Result};

/// A small share of one core.
pub(super) fn cpu(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let percent = work.dice.random_range(3..30);
    work.begin_sick(format!("{percent} % of a core"));
    let limited = work.each(|node| node.limit_cpu(Some(percent)));
    if limited.is_ok() {
        work.last();
    }
    work.each(|node| node.limit_cpu(None)).and(limited)?;
    work.end("");
    Ok(())
}

/// Hardly more memory than is used now; the kernel kills a process that wants more.
pub(super) fn memory(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let spare = work.dice.random_range(1..32) << 20;
    work.begin_sick(format!("{} MiB more", spare >> 20));
    work.nodes().iter().for_each(|node| node.may_die());
    let limited = work.each(|node| node.limit_memory(Some(spare)));
    if limited.is_ok() {
        work.last();
    }
    let lifted = work.each(|node| node.limit_memory(None));
    let died = died(work);
    work.revive_nodes().and(lifted).and(limited)?;
    work.end(died);
    Ok(())
}

/// Hardly more files and sockets than are open now.
pub(super) fn files(work: &mut Work<'_>) -> Result<()> {
    work.node()?;
    let more = work.dice.random_range(0..6);
    work.begin_sick(format!("{more} more"));
    work.nodes().iter().for_each(|node| node.may_die());
    let limited = work.each(|node| node.limit_files(Some(more)));
    if limited.is_ok() {
        work.last();
    }
    let died = died(work);
    let lifted = work.each(|node| node.limit_files(None));
    work.revive_nodes().and(lifted).and(limited)?;
    work.end(died);
    Ok(())
}

/// Which nodes a fault has ended, in words.
pub(super) fn died(work: &Work<'_>) -> String {
    let dead: Vec<&str> =
        work.nodes().into_iter().filter(|node| !node.is_running()).map(Node::name).collect();
    if dead.is_empty() { String::new() } else { format!("ended {}", dead.join(", ")) }
}
