//! What a topic promises, as set when it is created or altered. Defaults are those of `docs/LIMITS.md`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::settings::{Settings, stored_as_settings};

/// Whether reading a topic takes messages away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TopicKind {
    /// Each message goes to one consumer under a lease; ack removes it.
    Queue,
    /// Records stay at their offsets; any number of groups read them.
    Stream,
}

impl fmt::Display for TopicKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Queue => "queue",
            Self::Stream => "stream",
        })
    }
}

impl FromStr for TopicKind {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "queue" => Ok(Self::Queue),
            "stream" => Ok(Self::Stream),
            other => Err(format!("topic kind `{other}` is neither `queue` nor `stream`")),
        }
    }
}

/// The settings of one topic.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TopicPolicy {
    /// Of a queue.
    Queue(QueuePolicy),
    /// Of a stream.
    Stream(StreamPolicy),
}

impl TopicPolicy {
    /// The kind of topic that this policy is for.
    pub fn kind(&self) -> TopicKind {
        match self {
            Self::Queue(_) => TopicKind::Queue,
            Self::Stream(_) => TopicKind::Stream,
        }
    }

    /// The defaults for a kind.
    pub fn default_for(kind: TopicKind) -> Self {
        match kind {
            TopicKind::Queue => Self::Queue(QueuePolicy::default()),
            TopicKind::Stream => Self::Stream(StreamPolicy::default()),
        }
    }
}

/// How long a returned message waits before it is ready again: `base × 2^(attempt-1)`, at most `max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Wait after the first attempt, in milliseconds; 0 means at once.
    pub base_ms: u64,
    /// Longest wait, in milliseconds.
    pub max_ms: u64,
}

impl Backoff {
    /// The wait after the given attempt (1 is the first).
    pub fn after_attempt(self, attempt: u32) -> u64 {
        let doublings = attempt.saturating_sub(1).min(32);
        self.base_ms.saturating_mul(1 << doublings).min(self.max_ms)
    }
}

/// What happens around a parked message of a FIFO queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ParkPolicy {
    /// The message is set aside and its key goes on.
    ParkMessage,
    /// The key waits behind it, others flow.
    ParkKey,
    /// The key waits behind it and takes in nothing new from producers, others flow.
    BlockKey,
}

impl ParkPolicy {
    /// Whether nothing of a parked message's key is delivered before it is redriven or gone.
    pub fn holds_key(self) -> bool {
        match self {
            Self::ParkMessage => false,
            Self::ParkKey | Self::BlockKey => true,
        }
    }
}

impl fmt::Display for ParkPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ParkMessage => "park_message",
            Self::ParkKey => "park_key",
            Self::BlockKey => "block_key",
        })
    }
}

/// The settings of a queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Settings", try_from = "Settings")]
pub struct QueuePolicy {
    /// Strict order per message key, at most `max_inflight_per_key` leased.
    pub fifo: bool,
    /// Leases at once per key of a FIFO queue.
    pub max_inflight_per_key: u32,
    /// How long a lease runs when the consumer does not say, in milliseconds.
    pub lease_ms: u64,
    /// Deliveries before a message is parked.
    pub attempts_max: u32,
    /// Wait before a nacked message is ready again.
    pub backoff: Backoff,
    /// A message not acked this long after its arrival is gone, in milliseconds; none means never.
    pub ttl_ms: Option<u64>,
    /// What happens around a parked message of a FIFO queue.
    pub park: ParkPolicy,
    /// Bytes a partition holds before it rejects producers.
    pub bytes_max: u64,
    /// Messages a partition holds before it rejects producers.
    pub messages_max: u64,
    /// Messages of a partition that are leased at once; none means `LEASES_PER_PARTITION_MAX`.
    pub max_inflight: Option<u32>,
    /// Messages that one consumer's session holds at once; none means no bound of its own.
    pub max_inflight_per_session: Option<u32>,
    /// An acked message is kept for so long, to be replayed, in milliseconds; none means not at all.
    pub keep_ms: Option<u64>,
    /// Bytes of kept messages in a partition; beyond it the oldest go before their time.
    pub keep_bytes_max: u64,
    /// The header whose value names a message's tenant, at most `TENANT_HEADER_BYTES_MAX` bytes: tenants with ready
    /// messages take turns. None means that nobody does.
    pub fair_by: Option<String>,
}

stored_as_settings!(QueuePolicy {
    1 => fifo,
    2 => max_inflight_per_key,
    3 => lease_ms,
    4 => attempts_max,
    5 => backoff.base_ms,
    6 => backoff.max_ms,
    7 => ttl_ms,
    8 => park,
    9 => bytes_max,
    10 => messages_max,
    ; since
    11 => max_inflight,
    12 => max_inflight_per_session,
    13 => keep_ms,
    14 => keep_bytes_max,
    15 => fair_by,
});

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            fifo: false,
            max_inflight_per_key: 1,
            lease_ms: 30_000,
            attempts_max: 16,
            backoff: Backoff { base_ms: 0, max_ms: 60_000 },
            ttl_ms: None,
            park: ParkPolicy::ParkMessage,
            bytes_max: 10 << 30,
            messages_max: 100_000_000,
            max_inflight: None,
            max_inflight_per_session: None,
            keep_ms: None,
            keep_bytes_max: 1 << 30,
            fair_by: None,
        }
    }
}

/// How much of a stream is kept. A record goes as soon as one of the three says so; what is not set never says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Age by append time, in milliseconds.
    pub age_ms: Option<u64>,
    /// Bytes per partition.
    pub bytes: Option<u64>,
    /// Consumer groups that the stream is for, at most `RETENTION_GROUPS_MAX`: what all of them have committed beyond may
    /// go. One that has no position has read nothing. Empty: nobody's reading lets a record go.
    pub groups: BTreeSet<String>,
}

/// The settings of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Settings", try_from = "Settings")]
pub struct StreamPolicy {
    /// How much is kept: seven days unless set.
    pub retention: Retention,
    /// What compaction leaves of each key.
    pub compaction: Compaction,
}

/// Whether only the last record of each key is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compaction {
    /// Records that a later one of their key has replaced are taken out, and every record needs a key.
    pub enabled: bool,
    /// No record is taken out before it is this old, in milliseconds.
    pub after_ms: u64,
    /// A key without a value, which deletes the key, is kept this long after the records that it deletes, in
    /// milliseconds: readers that have seen those must see it too.
    pub tombstone_ms: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { enabled: false, after_ms: 0, tombstone_ms: 24 * 3600 * 1000 }
    }
}

stored_as_settings!(StreamPolicy {
    1 => retention.age_ms,
    2 => retention.bytes,
    ; since
    3 => retention.groups,
    4 => compaction.enabled,
    5 => compaction.after_ms,
    6 => compaction.tombstone_ms,
});

impl Default for StreamPolicy {
    fn default() -> Self {
        Self {
            retention: Retention { age_ms: Some(7 * 24 * 3600 * 1000), ..Retention::default() },
            compaction: Compaction::default(),
        }
    }
}
