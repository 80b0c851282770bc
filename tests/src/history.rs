//! What clients asked and what they were told, on one clock.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use tokio::time::Instant;

/// A payload, unique in a history: producer and place in its sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Value {
    /// Who sent it.
    pub producer: u16,
    /// Its place among what this producer sent, from 0.
    pub sequence: u32,
}

/// A message of the queue: partition and id.
pub type Message = (u32, u64);

/// From when to when an operation ran, in microseconds since the history began. What is known to have happened
/// happened in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Before it was asked.
    pub from: u64,
    /// After it was answered.
    pub to: u64,
}

/// How a request that changes something was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It happened.
    Yes,
    /// It did not happen.
    No,
    /// It may have happened.
    Unknown,
}

/// Which topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Topic {
    /// The queue.
    Queue,
    /// The stream.
    Stream,
}

/// Who reads the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reader {
    /// From the beginning on, all along, across every failover.
    Follower,
    /// From the beginning to the end, after everything is over.
    Last,
    /// A member of the group: its partitions come and go.
    Member(u16),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A record was sent.
    Sent {
        /// To where.
        topic: Topic,
        /// What.
        value: Value,
        /// Partition, and offset or message id, when it was acknowledged.
        at: Option<(u32, u64)>,
        /// `Yes` goes with `at`.
        answered: Answered,
    },
    /// A message of the queue came under a lease.
    Delivered {
        /// To whom.
        consumer: u16,
        /// Which.
        message: Message,
        /// Its payload.
        value: Value,
        /// The grant.
        lease_id: u64,
        /// For how long it was leased, in microseconds, if the grant surely lies within the span.
        held: Option<u64>,
    },
    /// A leased message was settled: acked, or given back.
    Settled {
        /// Which.
        message: Message,
        /// Under which grant.
        lease_id: u64,
        /// An ack; else it was given back.
        ack: bool,
        /// The answer.
        answered: Answered,
    },
    /// A record of the stream was read.
    Read {
        /// By whom.
        reader: Reader,
        /// Its partition.
        partition: u32,
        /// Its offset.
        offset: u64,
        /// Its payload.
        value: Value,
    },
    /// The group committed a position, acknowledged.
    Committed {
        /// In which partition.
        partition: u32,
        /// The next offset to read.
        offset: u64,
    },
    /// The group's position was looked at.
    Position {
        /// In which partition.
        partition: u32,
        /// What the cluster said.
        offset: Option<u64>,
    },
    /// A client got an error that is no answer to one of the above.
    Trouble {
        /// Who.
        who: String,
        /// Its text.
        error: String,
    },
}

/// Operations in the order in which they ended.
pub struct History {
    began: Instant,
    ops: Mutex<Vec<(Span, Op)>>,
}

impl Default for History {
    fn default() -> Self {
        Self { began: Instant::now(), ops: Mutex::default() }
    }
}

impl History {
    /// Microseconds since the history began.
    pub fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Writes down an operation that began at `from` and ends now.
    pub fn note(&self, from: u64, op: Op) {
        let mut ops = self.lock();
        // The clock is read under the lock, so that the ends never fall.
        let to = self.now();
        ops.push((Span { from, to }, op));
    }

    /// Shows every operation to `see`.
    pub fn each(&self, mut see: impl FnMut(Span, &Op)) {
        self.lock().iter().for_each(|(span, op)| see(*span, op));
    }

    /// How many operations of this kind there are.
    pub fn count(&self, of: impl Fn(&Op) -> bool) -> usize {
        self.lock().iter().filter(|(_, op)| of(op)).count()
    }

    /// The next offset of each partition for a reader.
    pub fn next_offsets(&self, who: Reader) -> BTreeMap<u32, u64> {
        let mut next = BTreeMap::new();
        self.each(|_, op| match op {
            Op::Read { reader, partition, offset, .. } if *reader == who => {
                next.insert(*partition, offset + 1);
            }
            _ => {}
        });
        next
    }

    /// Every answer that a client which repeats should not have got: refused or unknown sends, refused or unknown
    /// settles, errors of readers and workers.
    pub fn troubles(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.each(|span, op| {
            let at = span.to / 1000;
            match op {
                Op::Sent { answered, value, topic, .. } if *answered != Answered::Yes => {
                    found.push(format!("{at} ms: {value:?} for the {topic:?}: {answered:?}"));
                }
                Op::Settled { answered, message, ack, .. } if *answered != Answered::Yes => {
                    found.push(format!("{at} ms: settle of {message:?} (ack: {ack}): {answered:?}"));
                }
                Op::Trouble { who, error } => found.push(format!("{at} ms: {who}: {error}")),
                _ => {}
            }
        });
        found
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Span, Op)>> {
        self.ops.lock().expect("nobody panics while writing down")
    }
}
