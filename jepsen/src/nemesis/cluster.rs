//! What operators do to a cluster: hand leaderships over, add nodes.

use std::time::Duration;

use super::work::Work;
use crate::env::{Error, Node, Result};

/// How long a blank node may take to join.
const JOINING: Duration = Duration::from_secs(30);
/// How long a node may take to stop in good order.
const STOPPING: Duration = Duration::from_secs(20);

/// A node that is not yet, or no longer, there joins; when it is over, it stops in good order.
pub(super) fn membership(work: &mut Work<'_>) -> Result<()> {
    let spare = work.site().spares().iter().find(|node| !node.is_running());
    let spare = spare.ok_or_else(|| Error::Unable("the site has no spare node that is down".to_owned()))?;
    work.befall(spare)?;
    work.begin("");
    spare.start()?;
    let joined = spare.ready(JOINING, &|| work.is_healing());
    work.last();
    let stopped = Node::terminate(spare, STOPPING);
    joined.and(stopped)?;
    work.end("");
    Ok(())
}
