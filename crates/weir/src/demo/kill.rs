//! Whom to kill, and when.

use std::collections::BTreeMap;

use weir_client::ClusterStatus;

use super::QUEUE;

/// The kill is tried from so many of a hundred tasks acked on.
const FROM_PERCENT: u64 = 35;
/// The kill counts only between these.
const WINDOW_PERCENT: std::ops::RangeInclusive<u64> = 30..=70;

/// The node to kill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Victim {
    pub(super) name: String,
    /// Partitions that it leads, the metadata group among them.
    pub(super) led: u64,
    /// Messages of the queue that are leased on it.
    pub(super) leased: u64,
}

/// Whether enough is acked.
pub(super) fn is_due(acked: u64, tasks: u64) -> bool {
    acked * 100 >= FROM_PERCENT * tasks
}

/// Whether a kill at this moment shows anything.
pub(super) fn counts(acked: u64, tasks: u64) -> bool {
    acked * 100 >= WINDOW_PERCENT.start() * tasks && acked * 100 <= WINDOW_PERCENT.end() * tasks
}

/// The node that leads most partitions; of several, the one with most leases. None while nobody leads.
pub(super) fn choose(status: &ClusterStatus) -> Option<Victim> {
    let mut nodes: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for partition in status.groups() {
        let Some(leader) = partition.leader else { continue };
        let (led, leased) = nodes.entry(leader).or_default();
        *led += 1;
        if partition.topic == QUEUE {
            *leased += partition.queue.map_or(0, |queue| queue.leased);
        }
    }
    let (node_id, (led, leased)) = nodes.into_iter().max_by_key(|(_, load)| *load)?;
    let node = status.nodes.iter().find(|node| node.node_id == node_id)?;
    Some(Victim { name: node.name.clone(), led, leased })
}

#[cfg(test)]
mod tests {
    use weir_client::{NodeInfo, NodeUse, PartitionStage, PartitionStatus, QueuePartition};

    use super::*;

    fn partition(topic: &str, leader: Option<u64>, leased: u64) -> PartitionStatus {
        PartitionStatus {
            topic: topic.to_owned(),
            partition: 0,
            group_id: 1,
            kind: None,
            voters: vec![1, 2, 3],
            reassigning: false,
            learners: Vec::new(),
            leader,
            term: 1,
            committed: 1,
            lag_entries: Vec::new(),
            stream: None,
            queue: Some(QueuePartition { ready: 0, leased, scheduled: 0, parked: 0, bytes: 0 }),
            key_first: 0,
            key_last: u32::MAX,
            stage: PartitionStage::Open,
            parents: Vec::new(),
            children: Vec::new(),
        }
    }

    fn node(node_id: u64) -> NodeInfo {
        NodeInfo {
            node_id,
            name: format!("node-{node_id}"),
            client_address: String::new(),
            peer_address: String::new(),
            http_address: String::new(),
            alive: true,
            leaders: 0,
            replicas: 0,
            version: String::new(),
            feature_level: None,
            node_use: NodeUse::InUse,
            rack: None,
        }
    }

    #[test]
    fn the_victim_leads_most_and_its_leases_are_those_of_the_queue() {
        let status = ClusterStatus {
            cluster_id: String::new(),
            feature_level: 1,
            nodes: vec![node(1), node(2), node(3)],
            partitions: vec![
                partition(QUEUE, Some(2), 5),
                partition(QUEUE, Some(3), 90),
                partition("counts", Some(2), 7),
                partition("counts", None, 0),
            ],
            metadata: Some(partition("", Some(2), 0)),
            coordinator: Vec::new(),
        };
        assert_eq!(choose(&status), Some(Victim { name: "node-2".to_owned(), led: 3, leased: 5 }));
    }

    #[test]
    fn a_kill_counts_between_thirty_and_seventy_of_a_hundred() {
        for (acked, due, counted) in
            [(299, false, false), (300, false, true), (350, true, true), (700, true, true)]
        {
            assert_eq!((is_due(acked, 1000), counts(acked, 1000)), (due, counted), "{acked}");
        }
        assert!(!counts(701, 1000));
    }
}
