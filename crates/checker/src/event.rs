//! One finished operation, as it stands in a line of a history.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Microseconds since the history began, on the harness's one monotonic clock.
pub type Micros = u64;

/// A logical client: at most one of its operations is under way at a time. After an operation whose outcome is unknown
/// it goes on under a new number (Jepsen's rule), because the old one may still be at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Process(pub u32);

/// A consumer of a queue or reader of a stream, across its processes: what sessions and group members belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Consumer(pub u32);

/// A payload, unique in a history: who sent it, and its place among what that producer sent, from 0. Written
/// `producer-sequence`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// Who sent it.
    pub producer: u32,
    /// Its place in the producer's sequence.
    pub sequence: u64,
}

/// A message of a queue: its partition and the id that the broker gave it. Written `partition:id`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The partition.
    pub partition: u32,
    /// The id, unique in the partition.
    pub id: u64,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It happened, between the two times.
    Ok,
    /// It did not happen, and never will.
    Fail,
    /// It may have happened, or may happen yet.
    Info,
}

/// One operation: a line of the history. Lines stand in the order in which they were written, so `to` never falls
/// among the operations that have one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Before it was asked.
    pub from: Micros,
    /// After it was answered. None while an [`Outcome::Info`] may still take effect: it then overlaps everything
    /// that follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Micros>,
    /// Who asked. Events of the harness itself carry `Process(0)`; clients count from 1.
    pub process: Process,
    /// The node that was asked or answered, when the client knows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// What was asked, with what came back.
    pub op: Op,
    /// How it ended.
    pub outcome: Outcome,
    /// The error's stable code and text, for [`Outcome::Fail`] and [`Outcome::Info`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Event {
    /// When it surely was over; an operation without an answer never is.
    pub fn end(&self) -> Micros {
        self.to.unwrap_or(Micros::MAX)
    }

    /// Whether it was over before `other` began: the one order that a history proves.
    pub fn precedes(&self, other: &Self) -> bool {
        self.end() < other.from
    }
}

/// Conditions that a producer put on a message. All absent by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// FIFO key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Not to be delivered before this time, on the history's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_before: Option<Micros>,
    /// Not to be delivered after this time, on the history's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Micros>,
    /// The higher, the sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u8>,
}

/// A message that came under a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// Which.
    pub message: MessageId,
    /// Its payload; None when it is nothing that any producer made: it was damaged on its way.
    pub value: Option<Value>,
    /// The grant: grows with every grant of the same message.
    pub lease: u64,
    /// How often the message was granted so far, this one included, as the broker says.
    pub attempt: u32,
    /// For how long it is leased from the moment of the grant, in microseconds. None when the client does not know, when
    /// the grant may be older than the operation (a receive that was asked again), and for leases of a session, which
    /// may end sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held: Option<u64>,
}

/// What a holder does with a leased message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// Done: it is never to be delivered again.
    Ack,
    /// Given back; the attempt counts.
    Nack,
    /// Given back; the attempt does not count.
    Release,
    /// Parked at once.
    Reject,
    /// Leased for so many microseconds more from now.
    Extend(u64),
}

/// A parked message, as the broker lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ParkedMessage {
    /// Which.
    pub message: MessageId,
    /// Its payload; None when damaged.
    pub value: Option<Value>,
    /// Its attempts.
    pub attempts: u32,
}

/// What a replica holds of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MessageState {
    /// May be leased, now or after a delay.
    Ready,
    /// Under a lease.
    Leased,
    /// Parked.
    Parked,
    /// Acked, discarded or expired: it is gone.
    Gone,
}

/// A replica's whole state of one partition, at one applied index.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// The replica's node.
    pub node: String,
    /// The topic.
    pub topic: String,
    /// Its partition.
    pub partition: u32,
    /// The applied index.
    pub applied: u64,
    /// A hash over everything that is replicated.
    pub hash: String,
    /// Queue: every message that is not gone.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<(u64, MessageState)>,
    /// Stream: its first and next offset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<(u64, u64)>,
}

/// The beginning, the end, or a moment of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FaultPhase {
    /// It begins.
    Begin,
    /// It is over.
    End,
    /// It happens at once and has no end of its own.
    Once,
}

/// Something that the nemesis did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Its kind, as named on the command line: `kill`, `pause`, `partition`, …
    pub kind: String,
    /// Tells overlapping faults apart; beginning and end carry the same.
    pub id: u64,
    /// Which part of it.
    pub phase: FaultPhase,
    /// The nodes that suffer.
    pub nodes: Vec<String>,
    /// Directed links that do not carry, or carry badly: (from, to), nodes or clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
    /// How many partitions were led by those nodes.
    pub led: u32,
    /// How many partitions had a follower on those nodes.
    pub followed: u32,
    /// Whether a majority of voters is up, connected with each other and on working disks meanwhile.
    pub majority: bool,
    /// More, in words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// Parts of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Load without faults: what is normal.
    Warm,
    /// Load with faults.
    Main,
    /// No writes, faults go on.
    Quiet,
    /// Everything was healed just now.
    Healed,
    /// Load after the heal, which must go well.
    Recovery,
    /// No new writes: everything is read and acked.
    Drain,
    /// Everything is over; what follows are last looks.
    End,
}

/// What the harness itself lost or did wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lost {
    /// The harness did not run for so many microseconds.
    Stall(u64),
    /// A task of the harness failed.
    Task(String),
    /// A node's process panicked or ended when nobody asked it to: text from its log.
    Node {
        /// Which.
        node: String,
        /// The line.
        line: String,
    },
}

/// What was asked, with what came back. Fields that the answer brings are None or empty without one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Op {
    /// A message was sent to a queue. Several events with one payload are tries of one send, under the same ids.
    Enqueue {
        /// The queue.
        topic: String,
        /// Its payload.
        value: Value,
        /// Its conditions.
        #[serde(default)]
        terms: Terms,
        /// Where it went.
        at: Option<MessageId>,
    },
    /// A consumer asked a queue for messages.
    Receive {
        /// The queue.
        topic: String,
        /// Who.
        consumer: Consumer,
        /// What it got; empty is an answer too.
        deliveries: Vec<Delivery>,
    },
    /// A leased message was settled or its lease extended. Several events that ask the same under one lease are tries of
    /// one request, under the same id.
    Settle {
        /// The queue.
        topic: String,
        /// By whom.
        consumer: Consumer,
        /// Which.
        message: MessageId,
        /// Under which grant.
        lease: u64,
        /// What was asked.
        how: How,
    },
    /// A consumer's session ended: all its leases with it.
    CloseSession {
        /// The queue.
        topic: String,
        /// Whose.
        consumer: Consumer,
    },
    /// Parked messages were listed.
    ListParked {
        /// The queue.
        topic: String,
        /// All that are parked in the partitions that answered.
        messages: Vec<ParkedMessage>,
    },
    /// Parked messages were made ready again. With several of them it is several steps: one that failed may have done
    /// some.
    Redrive {
        /// The queue.
        topic: String,
        /// Which.
        messages: Vec<MessageId>,
    },
    /// Parked messages were dropped, in steps as well.
    Discard {
        /// The queue.
        topic: String,
        /// Which.
        messages: Vec<MessageId>,
    },
    /// A message that waited for its delivery time was called off.
    Cancel {
        /// The queue.
        topic: String,
        /// Which.
        message: MessageId,
    },
    /// Everything in the queue was dropped, in steps as well.
    Purge {
        /// The queue.
        topic: String,
    },
    /// A message was acked and a record appended, in one step.
    AckAndAppend {
        /// The queue.
        queue: String,
        /// By whom.
        consumer: Consumer,
        /// Which.
        message: MessageId,
        /// Under which grant.
        lease: u64,
        /// The stream.
        stream: String,
        /// The record.
        value: Value,
    },
    /// Records were appended to one partition of a stream, all or none.
    Append {
        /// The stream.
        topic: String,
        /// The records, in order.
        values: Vec<Value>,
        /// Their key, when they have one: a key is always in the same partition.
        key: Option<String>,
        /// Partition, and offset of the first.
        at: Option<(u32, u64)>,
    },
    /// Records of one partition were read.
    Poll {
        /// The stream.
        topic: String,
        /// By whom.
        consumer: Consumer,
        /// As a member of this group, in this epoch of its assignment; None reads by itself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        group: Option<(String, u64)>,
        /// The partition.
        partition: u32,
        /// The first offset that was asked for.
        offset: u64,
        /// What came: offset and payload (None: damaged). Empty is an answer too.
        records: Vec<(u64, Option<Value>)>,
    },
    /// A member of a group was given partitions. Partitions of different epochs are given by events of their own, so
    /// what a member was given before stays its own until another is given it under a higher epoch.
    Assign {
        /// The group.
        group: String,
        /// The stream.
        topic: String,
        /// Who.
        consumer: Consumer,
        /// The epoch of the assignment.
        epoch: u64,
        /// The partitions, all under this epoch.
        partitions: Vec<u32>,
    },
    /// A group committed a position.
    Commit {
        /// The group.
        group: String,
        /// The stream.
        topic: String,
        /// By whom.
        consumer: Consumer,
        /// The epoch of its assignment.
        epoch: u64,
        /// The partition.
        partition: u32,
        /// The next offset to read.
        offset: u64,
    },
    /// A group committed a position and a record was appended, in one step. Several events with one payload are tries of
    /// one step.
    CommitAndAppend {
        /// The group.
        group: String,
        /// The stream that it reads.
        topic: String,
        /// By whom.
        consumer: Consumer,
        /// The epoch of its assignment.
        epoch: u64,
        /// The partition.
        partition: u32,
        /// Where the group stands; None before its first commit.
        from: Option<u64>,
        /// The next offset to read.
        offset: u64,
        /// The stream that it appends to.
        stream: String,
        /// The record.
        value: Value,
    },
    /// A group's position was read.
    Position {
        /// The group.
        group: String,
        /// The stream.
        topic: String,
        /// The partition.
        partition: u32,
        /// What it is.
        offset: Option<u64>,
    },
    /// The first and the next offset of a partition were read.
    Bounds {
        /// The stream.
        topic: String,
        /// The partition.
        partition: u32,
        /// The first retained offset.
        start: u64,
        /// The next offset to be written.
        end: u64,
    },
    /// A leader of a partition was seen.
    Leader {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The term.
        term: u64,
        /// The leader's node.
        leader: String,
    },
    /// A replica's whole state.
    Digest(Digested),
    /// The nemesis at work.
    Fault(Fault),
    /// A part of the run begins.
    Phase(Phase),
    /// The harness lost sight.
    Lost(Lost),
    /// Partitions were seen to have taken over the keys of others: each of the children of all the parents. A child is
    /// named with its parents before anybody judges, whenever that was seen.
    Reshaped {
        /// The topic.
        topic: String,
        /// The partitions that were split or merged.
        parents: Vec<u32>,
        /// Those that own their keys since.
        children: Vec<u32>,
    },
}

impl Op {
    /// Whether the harness did or saw this itself, and no client asked for it.
    pub(crate) fn is_of_the_harness(&self) -> bool {
        matches!(
            self,
            Self::Leader { .. }
                | Self::Digest(_)
                | Self::Fault(_)
                | Self::Phase(_)
                | Self::Lost(_)
                | Self::Reshaped { .. }
        )
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.producer, self.sequence)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.id)
    }
}

/// A text that is not `number separator number`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not two numbers with `{1}` between them")]
pub struct NotAPair(String, char);

fn pair<A: FromStr, B: FromStr>(text: &str, separator: char) -> Result<(A, B), NotAPair> {
    let numbers = text.split_once(separator).and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    numbers.ok_or_else(|| NotAPair(text.to_owned(), separator))
}

impl FromStr for Value {
    type Err = NotAPair;

    fn from_str(text: &str) -> Result<Self, NotAPair> {
        pair(text, '-').map(|(producer, sequence)| Self { producer, sequence })
    }
}

impl FromStr for MessageId {
    type Err = NotAPair;

    fn from_str(text: &str) -> Result<Self, NotAPair> {
        pair(text, ':').map(|(partition, id)| Self { partition, id })
    }
}

/// As text in JSON: short lines, and map keys that other tools can read.
macro_rules! as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

as_text!(Value, MessageId);
