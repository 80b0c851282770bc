//! Both sides of each limit of the registry: what is just within is taken, one more gets its code and stores nothing.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};

use weir_metadata::limits::{
    ADDRESS_BYTES_MAX, LINKS_MAX, MOVES_PER_COMMAND_MAX, NODES_MAX, PARTITIONS_MAX, PRODUCERS_NAMED_MAX,
    TOPICS_MAX,
};
use weir_metadata::{Addresses, Command, Founder, LinkKind, Registry, ReplicaMove, Reply, Reshape};
use weir_types::limits::{
    COMPACTION_MS_MAX, DELAY_MS_MAX, LEASE_MS_MAX, LEASES_PER_PARTITION_MAX, NAME_BYTES_MAX, REPLICAS_MAX,
    RETENTION_GROUPS_MAX, TENANT_HEADER_BYTES_MAX, TOPIC_PARTITIONS_MAX,
};
use weir_types::{
    At, Backoff, ClusterId, Compaction, GroupId, Incarnation, LogIndex, NodeId, Output, QueuePolicy,
    ReplicaId, RequestId, Retention, StreamPolicy, Term, TopicId, TopicPolicy,
};

/// Shards of the coordinator: partitions that the cluster has before anybody makes a topic.
const SHARDS: usize = 1;

struct Cluster {
    registry: Registry,
    index: u64,
}

impl Cluster {
    fn of(founders: u64) -> Self {
        let mut new = Self { registry: Registry::default(), index: 0 };
        let founder = |number| Founder {
            node: NodeId(number),
            replica: ReplicaId(number),
            incarnation: Incarnation(number),
            name: format!("n{number}"),
            addresses: addresses(&number.to_string()),
            rack: None,
        };
        let founders = (1..=founders).map(founder).collect();
        let cluster = ClusterId(7);
        new.ask(Command::FormCluster { cluster, founders, coordinator_shards: SHARDS as u32 }).unwrap();
        new
    }

    /// The answer, or its code: then nothing was stored.
    fn ask(&mut self, command: Command) -> Result<Reply, &'static str> {
        self.index += 1;
        let at = At { term: Term(1), index: LogIndex(self.index), ..At::default() };
        let mut out = Output::default();
        let answer = self.registry.apply(at, command, &mut out).unwrap();
        assert!(answer.is_ok() || out.changes.is_empty(), "a refusal stored {:?}", out.changes);
        answer.map_err(|rejection| rejection.code())
    }

    /// Makes a topic; its id.
    fn topic(&mut self, policy: &TopicPolicy, partitions: u32) -> TopicId {
        let name = format!("topic-{}", self.index);
        match self.ask(create(&name, policy.clone(), partitions, 1)) {
            Ok(Reply::TopicCreated { topic }) => topic,
            other => panic!("{other:?}"),
        }
    }
}

fn addresses(node: &str) -> Addresses {
    let at = |port: &str| format!("node-{node}:{port}");
    Addresses { peer: at("1"), client: at("2"), http: at("3") }
}

fn create(name: &str, policy: TopicPolicy, partitions: u32, replicas: u32) -> Command {
    let (name, request) = (name.to_owned(), RequestId(0));
    Command::CreateTopic { request, name, policy, partitions, replicas }
}

fn queue(change: impl Fn(&mut QueuePolicy)) -> TopicPolicy {
    let mut policy = QueuePolicy::default();
    change(&mut policy);
    TopicPolicy::Queue(policy)
}

fn stream(retention: Retention, compaction: Compaction) -> TopicPolicy {
    TopicPolicy::Stream(StreamPolicy { retention, compaction })
}

fn groups(count: usize) -> BTreeSet<String> {
    (0..count).map(|number| format!("group-{number}")).collect()
}

/// Name of a setting, policies within its bounds, policies beyond.
type Bounds = (&'static str, Vec<TopicPolicy>, Vec<TopicPolicy>);

/// A number of a queue's policy from `min` to `max`.
fn bounds(name: &'static str, (min, max): (u64, u64), set: impl Fn(&mut QueuePolicy, u64)) -> Bounds {
    let with = |value: &u64| queue(|policy| set(policy, *value));
    let beyond: Vec<u64> = min.checked_sub(1).into_iter().chain(max.checked_add(1)).collect();
    (name, [min, max].iter().map(with).collect(), beyond.iter().map(with).collect())
}

fn queue_settings() -> Vec<Bounds> {
    let leases = (1, LEASES_PER_PARTITION_MAX as u64);
    let header = (1, TENANT_HEADER_BYTES_MAX as u64);
    let backoff = |base_ms, max_ms| queue(|policy| policy.backoff = Backoff { base_ms, max_ms });
    vec![
        bounds("lease", (1, LEASE_MS_MAX), |policy, ms| policy.lease_ms = ms),
        bounds("attempts", (1, 1_000_000), |policy, count| policy.attempts_max = count as u32),
        bounds("leases per key", leases, |policy, count| policy.max_inflight_per_key = count as u32),
        bounds("leases", leases, |policy, count| policy.max_inflight = Some(count as u32)),
        bounds("leases of a session", leases, |policy, count| {
            policy.max_inflight_per_session = Some(count as u32);
        }),
        bounds("longest backoff", (0, DELAY_MS_MAX), |policy, ms| {
            policy.backoff = Backoff { base_ms: 0, max_ms: ms };
        }),
        ("base of the backoff", vec![backoff(7, 7)], vec![backoff(8, 7)]),
        bounds("time to live", (1, u64::MAX), |policy, ms| policy.ttl_ms = Some(ms)),
        bounds("keep", (1, DELAY_MS_MAX), |policy, ms| policy.keep_ms = Some(ms)),
        bounds("bytes of kept messages", (1, u64::MAX), |policy, bytes| policy.keep_bytes_max = bytes),
        bounds("bytes", (1, u64::MAX), |policy, bytes| policy.bytes_max = bytes),
        bounds("messages", (1, u64::MAX), |policy, count| policy.messages_max = count),
        bounds("header of tenants", header, |policy, bytes| {
            policy.fair_by = Some("h".repeat(bytes as usize));
        }),
    ]
}

fn stream_settings() -> Vec<Bounds> {
    let age = |ms| stream(Retention { age_ms: Some(ms), ..Retention::default() }, Compaction::default());
    let bytes = |max| stream(Retention { bytes: Some(max), ..Retention::default() }, Compaction::default());
    let kept = |count, enabled| {
        let retention = Retention { groups: groups(count), ..Retention::default() };
        stream(retention, Compaction { enabled, ..Compaction::default() })
    };
    let after = |after_ms| stream(Retention::default(), Compaction { after_ms, ..Compaction::default() });
    let tombstones =
        |tombstone_ms| stream(Retention::default(), Compaction { tombstone_ms, ..Compaction::default() });
    let max = COMPACTION_MS_MAX;
    vec![
        ("age", vec![age(1), age(u64::MAX)], vec![age(0)]),
        ("bytes", vec![bytes(1), bytes(u64::MAX)], vec![bytes(0)]),
        ("groups", vec![kept(RETENTION_GROUPS_MAX, false)], vec![kept(RETENTION_GROUPS_MAX + 1, false)]),
        ("groups of a compacted stream", vec![kept(0, true)], vec![kept(1, true)]),
        ("age of what is compacted", vec![after(0), after(max)], vec![after(max + 1)]),
        ("time of tombstones", vec![tombstones(0), tombstones(max)], vec![tombstones(max + 1)]),
    ]
}

#[test]
fn a_setting_is_taken_from_its_least_to_its_largest_value() {
    let mut cluster = Cluster::of(1);
    for (setting, within, beyond) in queue_settings().into_iter().chain(stream_settings()) {
        for policy in within {
            let made = cluster.ask(create(&format!("topic-{}", cluster.index), policy, 1, 1));
            assert!(made.is_ok(), "{setting}: {made:?}");
        }
        for policy in beyond {
            let refused = cluster.ask(create("beyond", policy.clone(), 1, 1));
            assert_eq!(refused, Err("invalid-policy"), "{setting}: {policy:?}");
        }
    }
}

#[test]
fn a_topic_has_as_many_partitions_and_replicas_and_as_long_a_name_as_it_may() {
    let mut cluster = Cluster::of(u64::from(REPLICAS_MAX) + 1);
    let plain = || queue(|_| {});
    let named = |bytes: usize| create(&"n".repeat(bytes), plain(), 1, 1);
    let of = |partitions, replicas| create("sized", plain(), partitions, replicas);
    for (beyond, code) in [
        (named(0), "invalid-name"),
        (named(NAME_BYTES_MAX + 1), "invalid-name"),
        (of(0, 1), "no-partitions"),
        (of(TOPIC_PARTITIONS_MAX + 1, 1), "too-many-partitions"),
        (of(1, 0), "no-replicas"),
        (of(1, REPLICAS_MAX + 1), "too-many-replicas"),
    ] {
        assert_eq!(cluster.ask(beyond), Err(code));
    }
    for within in [named(1), named(NAME_BYTES_MAX), of(TOPIC_PARTITIONS_MAX, REPLICAS_MAX)] {
        assert!(cluster.ask(within).is_ok());
    }
    let mut small = Cluster::of(3);
    assert_eq!(small.ask(of(1, 4)), Err("not-enough-nodes"));
    assert!(small.ask(of(1, 3)).is_ok());
}

#[test]
fn a_cluster_has_as_many_topics_as_it_may() {
    let mut cluster = Cluster::of(1);
    for _ in 0..TOPICS_MAX {
        cluster.topic(&queue(|_| {}), 1);
    }
    assert_eq!(cluster.ask(create("one-more", queue(|_| {}), 1, 1)), Err("too-many-topics"));
    cluster.ask(Command::DeleteTopic { topic: TopicId(1) }).unwrap();
    assert!(cluster.ask(create("one-more", queue(|_| {}), 1, 1)).is_ok());
}

#[test]
fn a_cluster_has_as_many_partitions_as_it_may() {
    let mut cluster = Cluster::of(1);
    let mut left = PARTITIONS_MAX - SHARDS;
    while left > 0 {
        let partitions = left.min(TOPIC_PARTITIONS_MAX as usize);
        cluster.topic(&queue(|_| {}), partitions as u32);
        left -= partitions;
    }
    assert_eq!(cluster.ask(create("one-more", queue(|_| {}), 1, 1)), Err("too-many-partitions"));
}

#[test]
fn a_topic_is_split_into_as_many_partitions_as_it_may_have() {
    let mut cluster = Cluster::of(1);
    let topic = cluster.topic(&queue(|_| {}), TOPIC_PARTITIONS_MAX - 1);
    let first = SHARDS as u32 + 1;
    let split = |at: u32| Reshape::Split { parent: GroupId(first + at), at: None };
    let reshape = |request, steps: Vec<Reshape>| {
        let (request, down) = (RequestId(request), BTreeSet::new());
        Command::Reshape { topic, request, steps, down }
    };
    assert_eq!(cluster.ask(reshape(1, vec![split(0), split(1)])), Err("too-many-partitions"));
    assert!(cluster.ask(reshape(1, vec![split(0)])).is_ok());
    // What is under way counts as done.
    assert_eq!(cluster.ask(reshape(2, vec![split(1)])), Err("too-many-partitions"));
    let merge = Reshape::Merge { left: GroupId(first + 1), right: GroupId(first + 2) };
    assert!(cluster.ask(reshape(2, vec![merge, split(3)])).is_ok());
}

#[test]
fn sealed_partitions_and_coming_ones_are_partitions_of_the_cluster() {
    let mut cluster = Cluster::of(1);
    let topic = cluster.topic(&queue(|_| {}), 1);
    let parent = GroupId(SHARDS as u32 + 1);
    let mut left = PARTITIONS_MAX - SHARDS - 2;
    while left > 0 {
        let partitions = left.min(TOPIC_PARTITIONS_MAX as usize);
        cluster.topic(&queue(|_| {}), partitions as u32);
        left -= partitions;
    }
    let steps = vec![Reshape::Split { parent, at: None }];
    let split = Command::Reshape { topic, request: RequestId(1), steps, down: BTreeSet::new() };
    assert_eq!(cluster.ask(split.clone()), Err("too-many-partitions"));
    cluster.ask(Command::DeleteTopic { topic: TopicId(topic.0 + 1) }).unwrap();
    assert!(cluster.ask(split).is_ok());
}

#[test]
fn a_cluster_has_as_many_nodes_as_it_may_with_texts_as_long_as_they_may_be() {
    let mut cluster = Cluster::of(1);
    let register = |number: usize, rack: Option<usize>| Command::RegisterNode {
        incarnation: Incarnation(1_000_000 + number as u64),
        name: format!("n{number}"),
        addresses: addresses(&number.to_string()),
        rack: rack.map(|bytes| "r".repeat(bytes)),
    };
    for number in 2..=NODES_MAX {
        assert!(cluster.ask(register(number, None)).is_ok());
    }
    assert_eq!(cluster.ask(register(NODES_MAX + 1, None)), Err("too-many-nodes"));
    assert!(cluster.ask(register(2, Some(ADDRESS_BYTES_MAX))).is_ok(), "one that is there comes back");
    for bytes in [0, ADDRESS_BYTES_MAX + 1] {
        assert_eq!(cluster.ask(register(2, Some(bytes))), Err("invalid-node"));
    }
}

#[test]
fn a_cluster_has_as_many_links_as_it_may() {
    let mut cluster = Cluster::of(1);
    let streams = TopicPolicy::Stream(StreamPolicy::default());
    let streams: Vec<_> = (0..=100).map(|_| cluster.topic(&streams, 1)).collect();
    let queues: Vec<_> = (0..LINKS_MAX / 100).map(|_| cluster.topic(&queue(|_| {}), 1)).collect();
    let link = |from: usize, to: usize| {
        let (from, to, starts) = (streams[from], queues[to], BTreeMap::new());
        Command::CreateLink { kind: LinkKind::Subscription, from, to, starts }
    };
    for number in 0..LINKS_MAX {
        assert!(cluster.ask(link(number % 100, number / 100)).is_ok());
    }
    assert_eq!(cluster.ask(link(100, 0)), Err("too-many-links"));
    assert!(cluster.ask(link(0, 0)).is_ok(), "one that is there is made again");
}

#[test]
fn a_cluster_has_as_many_named_producers_as_it_may() {
    let mut cluster = Cluster::of(1);
    let named = |name: String| Command::InitProducer { name: Some(name), request: RequestId(1) };
    for bytes in [0, NAME_BYTES_MAX + 1] {
        assert_eq!(cluster.ask(named("p".repeat(bytes))), Err("invalid-name"));
    }
    for number in 0..PRODUCERS_NAMED_MAX {
        assert!(cluster.ask(named(number.to_string())).is_ok());
    }
    assert_eq!(cluster.ask(named("p".repeat(NAME_BYTES_MAX))), Err("too-many-producers"));
    assert!(cluster.ask(named("0".to_owned())).is_ok(), "one that is there goes on");
    assert!(cluster.ask(Command::InitProducer { name: None, request: RequestId(2) }).is_ok());
}

#[test]
fn a_request_names_as_many_moves_as_it_may() {
    let mut cluster = Cluster::of(2);
    for _ in 0..=MOVES_PER_COMMAND_MAX / TOPIC_PARTITIONS_MAX as usize {
        cluster.topic(&queue(|_| {}), TOPIC_PARTITIONS_MAX);
    }
    let a_move = |group| {
        let voters = &cluster.registry.membership(group).unwrap().current.voters;
        let from = *voters.values().next().unwrap();
        ReplicaMove { group, from, to: NodeId(3 - from.0) }
    };
    // Behind the coordinator's.
    let groups = (SHARDS as u32 + 1..).map(GroupId).take(MOVES_PER_COMMAND_MAX + 1);
    let moves: Vec<_> = groups.map(a_move).collect();
    let groups: Vec<_> = moves.iter().map(|step| step.group).collect();
    let within = MOVES_PER_COMMAND_MAX;
    assert_eq!(cluster.ask(Command::MoveReplicas { moves: moves.clone() }), Err("too-many-moves"));
    let planned = cluster.ask(Command::MoveReplicas { moves: moves[..within].to_vec() });
    assert_eq!(planned, Ok(Reply::MovesPlanned { moves: within as u32 }));
    assert_eq!(cluster.ask(Command::CancelMoves { groups: groups.clone() }), Err("too-many-moves"));
    assert!(cluster.ask(Command::CancelMoves { groups: groups[..within].to_vec() }).is_ok());
}
