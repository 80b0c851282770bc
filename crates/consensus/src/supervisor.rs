//! Rebuilds groups whose core died.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use weir_types::GroupId;

use crate::registry::Registry;

/// Deaths of one group within [`STRIKE_WINDOW`] after which rebuilding is no use.
const STRIKES_MAX: u32 = 3;
const STRIKE_WINDOW: Duration = Duration::from_mins(1);

struct Strikes {
    first: Instant,
    count: u32,
}

/// Takes the groups whose core died from `deaths` and rebuilds them, until that does not help: then `dead` names
/// the group and the node must stop, because a dead group in a live process is the worst outcome. The peers of a
/// rebuilt leader learn from its detector that it does not lead any more.
pub(crate) async fn supervise(
    registry: Arc<Registry>,
    mut deaths: mpsc::Receiver<GroupId>,
    dead: watch::Sender<Option<GroupId>>,
) {
    let mut strikes = BTreeMap::new();
    while let Some(group) = deaths.recv().await {
        let Some(replica) = registry.get(group) else { continue };
        loop {
            if strike(&mut strikes, group) >= STRIKES_MAX {
                tracing::error!(%group, "the group dies again and again: the node must stop");
                dead.send_replace(Some(group));
                break;
            }
            match replica.rebuild().await {
                Ok(()) => {
                    tracing::warn!(%group, "the group was rebuilt from the store");
                    break;
                }
                Err(error) => tracing::error!(%group, %error, "the group could not be rebuilt"),
            }
        }
    }
}

fn strike(strikes: &mut BTreeMap<GroupId, Strikes>, group: GroupId) -> u32 {
    let now = Instant::now();
    let known = strikes.entry(group).or_insert(Strikes { first: now, count: 0 });
    if now.duration_since(known.first) > STRIKE_WINDOW {
        *known = Strikes { first: now, count: 0 };
    }
    known.count += 1;
    known.count
}
