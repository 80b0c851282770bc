//! Record headers with a meaning of their own. Their names start with `weir-`; a queue reads them once, at the
//! door; a stream carries them like any other. Numbers are decimal ASCII text.

/// Every reserved header's name starts with this.
pub const PREFIX: &str = "weir-";
/// Priority of a message, `0` (last) to `9` (first).
pub const PRIORITY: &str = "weir-priority";
/// Not delivered before this time: milliseconds since the Unix epoch.
pub const DELIVER_AT: &str = "weir-deliver-at";
/// Gone this long after its arrival if not acked: milliseconds.
pub const TTL: &str = "weir-ttl";
/// Why a message became a dead letter; on those that were moved to another topic.
pub const DEAD_LETTER_REASON: &str = "weir-dead-letter-reason";
/// How often it was delivered before.
pub const DEAD_LETTER_ATTEMPTS: &str = "weir-dead-letter-attempts";
/// Where it was: `topic/partition/message id`.
pub const DEAD_LETTER_ORIGIN: &str = "weir-dead-letter-origin";
/// The source that appended a record to a stream.
pub const SOURCE: &str = "weir-source";
/// Where the record is in what the source reads: grows from record to record.
pub const SOURCE_POSITION: &str = "weir-source-position";
/// Up to where everything was in the stream when the record was sent.
pub const SOURCE_ACKED: &str = "weir-source-acked";
/// Id for dedup within the queue's window: any bytes.
pub const MESSAGE_ID: &str = "weir-message-id";
/// The message that a replayed one was: `topic/partition/message id`.
pub const REPLAY_ORIGIN: &str = "weir-replay-origin";
