//! Checks of streams, under the names that Jepsen's workload for Kafka gives them where it has one.
//!
//! | check | promise | anomaly | what is wrong | file |
//! |---|---|---|---|---|
//! | S1 | P13 | `inconsistent-offset` | one offset has two records | `partition.rs` |
//! | S1 | P13 | `ack-offset-mismatch` | a poll shows another record at an offset that an append was told | `partition.rs` |
//! | S1 | P10 | `duplicate` | one record is at two offsets, or in two partitions | `partition.rs` |
//! | S1 | P13 | `corrupt-payload` | a record that no producer can have made | `partition.rs` |
//! | S2 | P1 | `aborted-read` (G1a) | a poll brings a record whose append was refused | `origin.rs` |
//! | S2 | P1 | `phantom-read` | a poll brings a record that nobody had sent by then | `origin.rs` |
//! | S3 | P1 | `lost-write` | an acknowledged record was never read, and a read shows that it is not there | `lost.rs` |
//! | S3 | P13 | `vanished` | a record was read, a later read shows nothing in its place, and nobody read it again | `lost.rs` |
//! | S4 | P13 | `poll-skip`, `nonmonotonic-poll` | a poll begins behind, or before, the offset that was asked for | `polls.rs` |
//! | S4 | P13 | `int-poll-skip`, `int-nonmonotonic-poll` | offsets inside one poll leave a gap, or do not rise | `polls.rs` |
//! | S5 | P13 | `nonmonotonic-send` | a producer's later append is at a lower offset | `sends.rs` |
//! | S5 | P13 | `int-nonmonotonic-send` | records of one append do not stand in their order | `sends.rs` |
//! | S5 | P15 | `key-in-two-partitions` | records of one key are in two partitions, and neither came of the other | `sends.rs` |
//! | S6 | P11 | `batch-torn` | only a part of the records of one append is there | `sends.rs`, `tail.rs` |
//! | S7 | P13 | `stale-tail` | a read shows an end behind one that was known before it began | `tail.rs` |
//! | S7 | P13 | `tail-regress` | an append begins behind an end that was known before it began | `tail.rs` |
//! | S7 | P13 | `spurious-zero-offset` | the same at offset 0 | `tail.rs` |
//! | S8 | P13 | `low-watermark-regress` | the first retained offset falls | `trim.rs` |
//! | S8 | P13 | `read-below-start` | a poll below the first retained offset is not refused | `trim.rs` |
//! | S9 | P12 | `replica-disagreement` | replicas differ at one applied index, or bounds fall as it rises | `replicas.rs` |
//! | S10 | P15 | `lineage-order` | a key's later record is in a parent and its earlier one in a child, or a reader along the lineage sees them so | `lineage.rs` |
//! | S10 | P15 | `lineage-skip` | a reader along the lineage sees a key's later record in a child and never its earlier one in a parent | `lineage.rs` |
//!
//! `int-send-skip` (other records between those of one append) is a note of S5.
//!
//! Rules of evidence. Offsets are dense, so a gap needs no second witness. A record stands where an acknowledged append
//! or any poll says, also one that ended badly. A reader may ask for any offset at any time: what it asks is a seek, and
//! the partition is judged by what it answers. Who reads several partitions, and none of them as a member of a group, reads
//! the topic along its lineage (S10): a child only when its parents were read to their ends. Memory grows with records and
//! with reads: about 100 bytes for each record, 16 for each read of a partition's end, 32 for each other one.

mod book;
mod lineage;
mod lost;
mod ops;
mod options;
mod origin;
mod partition;
mod polls;
mod replicas;
mod sends;
mod slots;
mod tail;
mod topic;
mod trim;
mod values;

pub use options::StreamOptions;

use book::Book;
use lineage::Reader;
use topic::Topic;

use crate::checks::Fold;
use crate::{Checked, Event, Op, Options};

/// Check and anomaly.
type Name = (&'static str, &'static str);

/// The checks, by number.
const CHECKS: &[&str] = &[
    "S1 offsets",
    "S2 origin",
    "S3 lost-write",
    "S4 polls",
    "S5 sends",
    "S6 batch-torn",
    "S7 tail",
    "S8 trim",
    "S9 replica-disagreement",
    "S10 lineage",
];

const INCONSISTENT_OFFSET: Name = ("S1", "inconsistent-offset");
const ACK_OFFSET_MISMATCH: Name = ("S1", "ack-offset-mismatch");
const DUPLICATE: Name = ("S1", "duplicate");
const CORRUPT_PAYLOAD: Name = ("S1", "corrupt-payload");
const ABORTED_READ: Name = ("S2", "aborted-read");
const PHANTOM_READ: Name = ("S2", "phantom-read");
const LOST_WRITE: Name = ("S3", "lost-write");
const VANISHED: Name = ("S3", "vanished");
const POLL_SKIP: Name = ("S4", "poll-skip");
const NONMONOTONIC_POLL: Name = ("S4", "nonmonotonic-poll");
const INT_POLL_SKIP: Name = ("S4", "int-poll-skip");
const INT_NONMONOTONIC_POLL: Name = ("S4", "int-nonmonotonic-poll");
const NONMONOTONIC_SEND: Name = ("S5", "nonmonotonic-send");
const INT_NONMONOTONIC_SEND: Name = ("S5", "int-nonmonotonic-send");
const KEY_IN_TWO_PARTITIONS: Name = ("S5", "key-in-two-partitions");
const BATCH_TORN: Name = ("S6", "batch-torn");
const STALE_TAIL: Name = ("S7", "stale-tail");
const TAIL_REGRESS: Name = ("S7", "tail-regress");
const SPURIOUS_ZERO_OFFSET: Name = ("S7", "spurious-zero-offset");
const LOW_WATERMARK_REGRESS: Name = ("S8", "low-watermark-regress");
const READ_BELOW_START: Name = ("S8", "read-below-start");
const REPLICA_DISAGREEMENT: Name = ("S9", "replica-disagreement");
const LINEAGE_ORDER: Name = ("S10", "lineage-order");
const LINEAGE_SKIP: Name = ("S10", "lineage-skip");

/// The anomalies of streams, each in a check.
pub const ANOMALIES: &[(&str, &str)] = &[
    INCONSISTENT_OFFSET,
    ACK_OFFSET_MISMATCH,
    DUPLICATE,
    CORRUPT_PAYLOAD,
    ABORTED_READ,
    PHANTOM_READ,
    LOST_WRITE,
    VANISHED,
    POLL_SKIP,
    NONMONOTONIC_POLL,
    INT_POLL_SKIP,
    INT_NONMONOTONIC_POLL,
    NONMONOTONIC_SEND,
    INT_NONMONOTONIC_SEND,
    KEY_IN_TWO_PARTITIONS,
    BATCH_TORN,
    STALE_TAIL,
    TAIL_REGRESS,
    SPURIOUS_ZERO_OFFSET,
    LOW_WATERMARK_REGRESS,
    READ_BELOW_START,
    REPLICA_DISAGREEMENT,
    LINEAGE_ORDER,
    LINEAGE_SKIP,
];

/// All checks of streams, in one fold: they share what they note.
pub(crate) struct Streams {
    options: StreamOptions,
    /// In the order in which they were first seen.
    topics: Vec<Topic>,
}

impl Streams {
    pub(crate) fn new(options: &Options) -> Self {
        Self { options: options.stream.clone(), topics: Vec::new() }
    }

    fn topic(&mut self, name: &str) -> &mut Topic {
        let known = self.topics.iter().position(|topic| topic.name == name);
        let place = known.unwrap_or_else(|| {
            self.topics.push(Topic::new(name));
            self.topics.len() - 1
        });
        &mut self.topics[place]
    }
}

impl Fold for Streams {
    fn observe(&mut self, line: u64, event: &Event) {
        let polls_see_the_end = self.options.polls_see_the_end;
        match &event.op {
            Op::Append { topic, values, key, at } => {
                self.topic(topic).append(line, event, (values, key.as_deref()), *at);
            }
            Op::AckAndAppend { stream, value, .. } | Op::CommitAndAppend { stream, value, .. } => {
                self.topic(stream).append(line, event, (&[*value], None), None);
            }
            Op::Poll { topic, consumer, group, partition, offset, records } => {
                let reader = Reader { consumer: *consumer, as_member: group.is_some() };
                let asked = (*partition, *offset, reader);
                self.topic(topic).poll(line, event, asked, (records, polls_see_the_end));
            }
            Op::Reshaped { topic, parents, children } => self.topic(topic).reshaped(parents, children),
            Op::Bounds { topic, partition, start, end } => {
                self.topic(topic).bounds(line, event, *partition, (*start, *end));
            }
            Op::Digest(digested) if digested.bounds.is_some() => {
                self.topic(&digested.topic).digest(line, event, digested);
            }
            Op::Phase(phase) => self.topics.iter_mut().for_each(|topic| topic.phase(*phase)),
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Vec<Checked> {
        let mut book = Book::new();
        for topic in self.topics {
            topic.judge(&self.options, &mut book);
        }
        book.close()
    }
}
