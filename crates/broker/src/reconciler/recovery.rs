//! Nodes that are away for too long: what they hold is placed on others. The leader of the registry watches, by its own
//! clock from when it began to lead, since the registry knows no time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::{Instant, timeout};
use tracing::{debug, warn};
use weir_metadata::{Command, Feature};
use weir_types::NodeId;

use crate::broker::Broker;

/// How often the leader of the registry looks who is heard: nothing tells it that somebody is still away.
const LOOK: Duration = Duration::from_secs(1);

pub(super) async fn run(broker: Broker, grace: Duration) {
    let mut leadership = broker.metadata().partition().leadership();
    let look = LOOK.min(grace);
    while leadership.wait_for(|known| known.here).await.is_ok() {
        let mut silent = Silent::default();
        while leadership.borrow().here {
            let members: BTreeSet<NodeId> =
                broker.registry(|registry| registry.members().map(|node| node.id).collect());
            let down = broker.unheard();
            for node in silent.overdue(&members, &down, Instant::now(), grace) {
                recover(&broker, node, &down).await;
            }
            let pause = broker.inner().runtime.jittered(look);
            match timeout(pause, leadership.wait_for(|known| !known.here)).await {
                // Whoever leads no more counts no further.
                Err(_) | Ok(Ok(_)) => {}
                Ok(Err(_)) => return,
            }
        }
    }
}

async fn recover(broker: &Broker, node: NodeId, down: &BTreeSet<NodeId>) {
    if !broker.registry(|registry| registry.is_recoverable(node, down)) {
        return;
    }
    if !broker.allows(Feature::Recovery) {
        debug!(%node, level = %broker.level(), "the feature level does not let its replicas be placed on others");
        return;
    }
    warn!(%node, ?down, "the node has been away for too long: its replicas are placed on others");
    let command = Command::RecoverNode { node, down: down.clone() };
    match broker.metadata().propose(command).await {
        Ok(_) => metrics::counter!("weir_node_recoveries_total").increment(1),
        Err(error) => warn!(%node, %error, "its replicas were not placed on others, that is tried again"),
    }
}

/// Since when nodes are not heard.
#[derive(Default)]
struct Silent(BTreeMap<NodeId, Instant>);

impl Silent {
    /// Takes in who is not heard now; those that have not been for `grace`.
    fn overdue(
        &mut self,
        members: &BTreeSet<NodeId>,
        down: &BTreeSet<NodeId>,
        now: Instant,
        grace: Duration,
    ) -> Vec<NodeId> {
        self.0.retain(|node, _| down.contains(node) && members.contains(node));
        for node in down.intersection(members) {
            self.0.entry(*node).or_insert(now);
        }
        self.0
            .iter()
            .filter(|(_, since)| now.duration_since(**since) >= grace)
            .map(|(node, _)| *node)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_overdue_when_it_was_silent_all_along() {
        let nodes = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect::<BTreeSet<_>>();
        let (members, grace, start) = (nodes(&[1, 2, 3]), Duration::from_mins(1), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut silent = Silent::default();
        assert!(silent.overdue(&members, &nodes(&[2, 3]), at(0), grace).is_empty());
        assert!(silent.overdue(&members, &nodes(&[3]), at(40), grace).is_empty(), "node 2 is back");
        assert_eq!(silent.overdue(&members, &nodes(&[2, 3]), at(60), grace), [NodeId(3)]);
        assert_eq!(silent.overdue(&members, &nodes(&[2, 3]), at(120), grace), [NodeId(2), NodeId(3)]);
        assert!(
            silent.overdue(&nodes(&[1]), &nodes(&[2, 3]), at(180), grace).is_empty(),
            "no members any more"
        );
    }
}
