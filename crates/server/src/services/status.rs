//! Topics, partitions and the routing table on the wire.

use weir_broker::api::admin::{Leaders, NodeView, PartitionState};
use weir_broker::{ContentsView, NodeState, PartitionRoute, QueueCounts, Routing, Stage, Topic, TopicRoute};
use weir_proto::v1;

pub(super) fn topic(topic: &Topic) -> v1::Topic {
    v1::Topic {
        topic_id: topic.id.0,
        name: topic.name.clone(),
        kind: v1::TopicKind::from(topic.policy.kind()) as i32,
        partitions: topic.partitions,
        replicas: topic.replicas,
        settings: Some((&topic.policy).into()),
        created_at_ms: topic.created.0,
    }
}

pub(super) fn partition(state: &PartitionState) -> v1::PartitionStatus {
    let view = state.view.as_ref();
    let family = state.family.as_ref();
    let contents = view.map(|view| &view.contents);
    let kind = contents.and_then(ContentsView::kind);
    v1::PartitionStatus {
        topic: state.topic.clone(),
        partition: state.index,
        group_id: state.group.0,
        kind: kind.map_or(v1::TopicKind::Unspecified, v1::TopicKind::from) as i32,
        voters: state.voters.values().map(|node| node.0).collect(),
        learners: state.learners.values().map(|node| node.0).collect(),
        reassigning: state.reassigning,
        leader: state.leader.map(|node| node.0),
        term: view.map_or(0, |view| view.term),
        committed: view.map_or(0, |view| view.committed),
        replicas: view
            .map(|view| {
                let replica = |(replica, node, lag): &(weir_types::ReplicaId, weir_types::NodeId, u64)| {
                    v1::ReplicaStatus { node_id: node.0, replica_id: replica.0, lag_entries: *lag }
                };
                view.replicas.iter().map(replica).collect()
            })
            .unwrap_or_default(),
        stream: match contents {
            Some(ContentsView::Stream { start, end, bytes }) => {
                Some(v1::StreamPartitionStatus { start_offset: start.0, end_offset: end.0, bytes: *bytes })
            }
            _ => None,
        },
        queue: match contents {
            Some(ContentsView::Queue(counts)) => Some(queue(counts)),
            _ => None,
        },
        key_first: family.map_or(0, |family| family.range.first().0),
        key_last: family.map_or(0, |family| family.range.last().0),
        stage: family.map_or(v1::PartitionStage::Unspecified, |family| stage(family.stage)) as i32,
        parents: family.map(|family| family.parents.clone()).unwrap_or_default(),
        children: family.map(|family| family.children.clone()).unwrap_or_default(),
    }
}

fn stage(stage: Stage) -> v1::PartitionStage {
    match stage {
        Stage::Open => v1::PartitionStage::Unspecified,
        Stage::Coming => v1::PartitionStage::Coming,
        Stage::Sealing => v1::PartitionStage::Sealing,
        Stage::Sealed => v1::PartitionStage::Sealed,
    }
}

pub(super) fn queue(counts: &QueueCounts) -> v1::QueuePartitionStatus {
    v1::QueuePartitionStatus {
        ready: counts.ready,
        leased: counts.leased,
        scheduled: counts.scheduled,
        parked: counts.parked,
        bytes: counts.bytes,
    }
}

pub(super) fn node(view: &NodeView, partitions: &[PartitionState]) -> v1::NodeStatus {
    let led = partitions.iter().filter(|partition| partition.leader == Some(view.node)).count();
    let held = |partition: &&PartitionState| {
        partition.voters.values().chain(partition.learners.values()).any(|node| *node == view.node)
    };
    v1::NodeStatus {
        node_id: view.node.0,
        name: view.name.clone(),
        client_address: view.addresses.client.clone(),
        peer_address: view.addresses.peer.clone(),
        http_address: view.addresses.http.clone(),
        alive: view.version.is_some(),
        leaders: led as u32,
        replicas: partitions.iter().filter(held).count() as u32,
        version: view.version.clone().unwrap_or_default(),
        feature_level: view.knows.map_or(0, |level| level.0),
        r#use: node_use(view) as i32,
        rack: view.rack.clone().unwrap_or_default(),
    }
}

fn node_use(view: &NodeView) -> v1::NodeUse {
    match view.state {
        NodeState::Cordoned if view.drained => v1::NodeUse::Drained,
        NodeState::Cordoned => v1::NodeUse::Draining,
        NodeState::Draining => v1::NodeUse::Leaving,
        NodeState::Registered | NodeState::Removed | NodeState::Replaced { .. } => v1::NodeUse::Unspecified,
    }
}

pub(super) fn routing(routing: &Routing, leaders: &Leaders, version: u64) -> v1::RoutingTable {
    v1::RoutingTable {
        cluster_id: routing.cluster.to_string(),
        version,
        nodes: routing
            .nodes
            .iter()
            .map(|node| v1::RoutingNode { node_id: node.id.0, client_address: node.addresses.client.clone() })
            .collect(),
        topics: routing.topics.iter().map(|topic| topic_route(topic, leaders)).collect(),
    }
}

fn topic_route(topic: &TopicRoute, leaders: &Leaders) -> v1::RoutingTopic {
    let routes = |partitions: &[PartitionRoute]| {
        let route = |partition: &PartitionRoute| v1::RoutingPartition {
            partition: partition.index,
            group_id: partition.group.0,
            key_first: partition.range.first().0,
            key_last: partition.range.last().0,
            leader: leaders.get(&partition.group).map(|node| node.0),
            voters: partition.nodes.iter().map(|node| node.0).collect(),
            parents: partition.parents.iter().map(|parent| parent.0).collect(),
        };
        partitions.iter().map(route).collect()
    };
    v1::RoutingTopic {
        topic_id: topic.id.0,
        name: topic.name.clone(),
        kind: v1::TopicKind::from(topic.policy.kind()) as i32,
        partitions: routes(&topic.partitions),
        sealed: routes(&topic.sealed),
    }
}
