//! Bounds of the registry that no other part needs; the shared ones are in `weir_types::limits`.

/// Most nodes ever registered and not removed.
pub const NODES_MAX: usize = 1_000;
/// Highest id of a founder or of its replica: those that come later count on from there.
pub const FOUNDING_ID_MAX: u64 = u32::MAX as u64;
/// Most topics of a cluster.
pub const TOPICS_MAX: usize = 10_000;
/// Most partitions of a cluster, over all topics.
pub const PARTITIONS_MAX: usize = 100_000;
/// Most named producers. Unnamed ones leave nothing behind, so they are not counted.
pub const PRODUCERS_NAMED_MAX: usize = 100_000;
/// Voters of the metadata group once the cluster has as many nodes; every other node is a learner.
pub const METADATA_VOTERS: usize = 3;
/// Most voters of the metadata group: a cluster founded by five or more nodes has five.
pub const METADATA_VOTERS_MAX: usize = 5;
/// Most shards of the consumer-group coordinator.
pub const COORDINATOR_SHARDS_MAX: u32 = 64;
/// Replicas of a coordinator shard, if there are as many founders.
pub const COORDINATOR_REPLICAS: usize = 3;
/// Most links between topics.
pub const LINKS_MAX: usize = 10_000;
/// Groups that a node leads and whose replicas are copied to other nodes at once: one replica that moves, or all that a
/// group is to have more. Each copies a whole replica, so this is what bounds the work that a drain, a balance or a
/// higher number of replicas makes; leaderships are handed over without it.
pub const MOVES_AT_ONCE: usize = 4;
/// Most moves of replicas in one command.
pub const MOVES_PER_COMMAND_MAX: usize = 10_000;
/// Longest address or rack, in bytes.
pub const ADDRESS_BYTES_MAX: usize = 300;
