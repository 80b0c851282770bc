//! How a node's consensus is set up: identity, address book, timings and limits.

use std::time::Duration;

use weir_runtime::Runtime;
use weir_storage::{LogClass, Store};
use weir_types::{ClusterId, GroupId, Incarnation, NodeId, ReplicaId};

/// Everything that [`Groups::start`](crate::Groups::start) needs.
pub struct Options {
    /// The cluster; connections that name another are refused.
    pub cluster: ClusterId,
    /// This node.
    pub node: NodeId,
    /// This life of the node's data directory.
    pub incarnation: Incarnation,
    /// `host:port` to listen on for peers; port 0 lets the system choose.
    pub listen: String,
    /// Timers.
    pub timings: Timings,
    /// Bounds.
    pub limits: Limits,
    /// Clocks, randomness and sockets.
    pub runtime: Runtime,
    /// The node's store.
    pub store: Store,
}

/// Where a peer listens, as the address book knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerAddress {
    /// `host:port` of the peer port.
    pub address: String,
    /// The incarnation the cluster knows; a node that presents another is refused. None accepts any.
    pub incarnation: Option<Incarnation>,
}

/// Which replica of which group to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupSpec {
    /// The group.
    pub group: GroupId,
    /// This node's replica of it.
    pub replica: ReplicaId,
    /// How its log entries die.
    pub class: LogClass,
}

/// Timers. Failover is the work of the node-level failure detector; openraft's own timers are long and stand
/// behind it as a backstop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timings {
    /// Heartbeat of every group.
    pub heartbeat: Duration,
    /// Shortest election timeout of the backstop; more than twice `heartbeat`.
    pub election_min: Duration,
    /// Longest one; also how long a follower refuses ordinary votes after its leader's last sign of life.
    pub election_max: Duration,
    /// A ping on each control connection.
    pub ping: Duration,
    /// Silence on a control connection after which a peer is suspected.
    pub suspect: Duration,
    /// How long the designated candidate has before the next one may try.
    pub candidate_patience: Duration,
    /// Silence on a connection with unanswered requests after which it is dropped.
    pub stall: Duration,
    /// First pause before connecting again; grows eightfold at most, with jitter.
    pub reconnect: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(2),
            election_min: Duration::from_millis(4_500),
            election_max: Duration::from_secs(6),
            ping: Duration::from_millis(100),
            suspect: Duration::from_millis(400),
            candidate_patience: Duration::from_millis(1_200),
            stall: Duration::from_secs(10),
            reconnect: Duration::from_millis(50),
        }
    }
}

impl Timings {
    /// Pings in the time from one heartbeat of a group to the next.
    pub(crate) fn pings_per_heartbeat(&self) -> u32 {
        let pings = self.heartbeat.as_millis() / self.ping.as_millis().max(1);
        u32::try_from(pings).unwrap_or(u32::MAX).max(1)
    }
}

/// Bounds of one node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Proposals in flight per group.
    pub inflight_entries_max: usize,
    /// Bytes of proposals in flight per group.
    pub inflight_bytes_max: usize,
    /// Entries behind the applied position that stay replicable from the log; a follower further behind gets a
    /// snapshot. A leader keeps up to eight times as many for a follower that is heard but slow.
    pub log_entries_kept: u64,
    /// The same in bytes, for groups whose entries are short-lived; whichever rule lets go first counts. What
    /// is kept cannot be freed, so this is disk space per busy group.
    pub log_bytes_kept: u64,
    /// The same in bytes for streams, whose entries are retained anyway.
    pub stream_log_bytes_kept: u64,
    /// Bytes queued per peer on the data lane.
    pub peer_queue_bytes_max: usize,
    /// Snapshots sent at once by this node.
    pub snapshots_sent_max: usize,
    /// Snapshots received at once by this node.
    pub snapshots_received_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            inflight_entries_max: 1_024,
            inflight_bytes_max: 64 << 20,
            log_entries_kept: 50_000,
            log_bytes_kept: 16 << 20,
            stream_log_bytes_kept: 256 << 20,
            peer_queue_bytes_max: 32 << 20,
            snapshots_sent_max: 2,
            snapshots_received_max: 2,
        }
    }
}
