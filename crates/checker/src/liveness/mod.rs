//! Checks of liveness: things go on while they can, and are well again soon after a heal. Promises P9 and P16.
//!
//! | check | anomaly | what is wrong | file |
//! |---|---|---|---|
//! | L1 | `unavailable-after-heal` | a partition that was asked did not succeed soon enough after the heal | `silence.rs` |
//! | L1 | `stuck` | it did not for a very long time | `silence.rs` |
//! | L1 | `slow-after-heal` | writes were not as fast again as before the faults | `latency.rs` |
//! | L2 | `undrained` | something acknowledged was still unread, or still in a queue, long after the heal | `drain.rs` |
//! | L3 | `silent-majority` | no success on a partition that was asked, while a majority was healthy | `silence.rs` |
//! | L4 | `starvation` | a ready message and a receiver without one, side by side | `starvation.rs` |
//! | L4 | `false-empty` | an empty receive while a message was ready all along, in a queue of one partition | `starvation.rs` |
//! | L5 | `hung-call` | a call came back long after its deadline | `deadline.rs` |
//! | L6 | `not-converged` | replicas had not applied the same long after the last write | `converge.rs` |
//! | L6 | `two-leaders` | two leaders in one term | `terms.rs` |
//! | L7 | `election-storm` | too many terms under a one-way partition | `terms.rs` |
//!
//! Nothing is held against a partition that nobody asked. L1, L2 and L6 begin with [`Phase::Healed`](crate::Phase): a
//! history without it is not judged by them. What could not be seen to its end is unknown.

mod converge;
mod deadline;
mod drain;
mod latency;
mod options;
mod silence;
mod starvation;
mod terms;

pub use options::LivenessOptions;

use crate::checks::Fold;
use crate::{Anomaly, Event, Micros, Op, Options, Outcome};

/// Check and anomaly.
type Name = (&'static str, &'static str);

const UNAVAILABLE_AFTER_HEAL: Name = ("L1", "unavailable-after-heal");
const STUCK: Name = ("L1", "stuck");
const SLOW_AFTER_HEAL: Name = ("L1", "slow-after-heal");
const UNDRAINED: Name = ("L2", "undrained");
const SILENT_MAJORITY: Name = ("L3", "silent-majority");
const STARVATION: Name = ("L4", "starvation");
const FALSE_EMPTY: Name = ("L4", "false-empty");
const HUNG_CALL: Name = ("L5", "hung-call");
const NOT_CONVERGED: Name = ("L6", "not-converged");
const TWO_LEADERS: Name = ("L6", "two-leaders");
const ELECTION_STORM: Name = ("L7", "election-storm");

/// The anomalies of liveness, each in a check.
pub const ANOMALIES: &[(&str, &str)] = &[
    UNAVAILABLE_AFTER_HEAL,
    STUCK,
    SLOW_AFTER_HEAL,
    UNDRAINED,
    SILENT_MAJORITY,
    STARVATION,
    FALSE_EMPTY,
    HUNG_CALL,
    NOT_CONVERGED,
    TWO_LEADERS,
    ELECTION_STORM,
];

/// All of these checks.
pub(crate) fn whole(all: &Options) -> Vec<Box<dyn Fold>> {
    let options = &all.liveness;
    vec![
        Box::new(silence::Silence::new(options)),
        Box::new(latency::Latency::new(options)),
        Box::new(drain::Drain::new(options)),
        Box::new(starvation::Starvation::new(all)),
        Box::new(deadline::Deadline::new(options)),
        Box::new(converge::Converge::new(options)),
        Box::new(terms::Terms::new(options)),
    ]
}

/// A violation. `about` is the topic, and what of it in words.
fn anomaly(
    (check, name): Name,
    at: Micros,
    (topic, subject): (&str, String),
    text: String,
    lines: &[u64],
) -> Anomaly {
    Anomaly {
        check: check.to_owned(),
        name: name.to_owned(),
        at,
        topic: topic.to_owned(),
        subject,
        text,
        evidence: lines.to_vec(),
    }
}

/// As people read it.
fn seconds(time: Micros) -> String {
    format!("{}.{:03} s", time / 1_000_000, time % 1_000_000 / 1_000)
}

/// When it was known: at its end, or at its beginning if it never was over.
fn known(event: &Event) -> Micros {
    event.to.unwrap_or(event.from)
}

/// Refusals that only a partition at work can give: it looked at what was asked, and kept its promise.
const ANSWERS: &[&str] = &[
    "group-fenced",
    "lease-lost",
    "message-not-parked",
    "offset-behind",
    "offset-out-of-range",
    "out-of-sequence",
    "producer-fenced",
];

/// Whether the partition was there and at work.
fn answered(event: &Event) -> bool {
    let code = event.error.as_deref().and_then(|error| error.split([':', ' ']).next());
    event.outcome == Outcome::Ok
        || (event.outcome == Outcome::Fail && code.is_some_and(|code| ANSWERS.contains(&code)))
}

/// The topic that a client asked, with the partitions that it named or was told. None for what is not a client's.
fn asked(op: &Op) -> Option<(&str, Vec<u32>)> {
    Some(match op {
        Op::Enqueue { topic, at, .. } => (topic, at.iter().map(|id| id.partition).collect()),
        Op::Receive { topic, deliveries, .. } => {
            let mut partitions: Vec<u32> =
                deliveries.iter().map(|delivery| delivery.message.partition).collect();
            partitions.sort_unstable();
            partitions.dedup();
            (topic, partitions)
        }
        Op::Settle { topic, message, .. } | Op::Cancel { topic, message } => (topic, vec![message.partition]),
        Op::AckAndAppend { queue, message, .. } => (queue, vec![message.partition]),
        Op::Append { topic, at, .. } => (topic, at.iter().map(|(partition, _)| *partition).collect()),
        Op::Poll { topic, partition, .. }
        | Op::Commit { topic, partition, .. }
        | Op::CommitAndAppend { topic, partition, .. }
        | Op::Position { topic, partition, .. }
        | Op::Bounds { topic, partition, .. } => (topic, vec![*partition]),
        Op::Assign { topic, partitions, .. } => (topic, partitions.clone()),
        Op::CloseSession { topic, .. }
        | Op::ListParked { topic, .. }
        | Op::Redrive { topic, .. }
        | Op::Discard { topic, .. }
        | Op::Purge { topic } => (topic, Vec::new()),
        Op::Leader { .. }
        | Op::Digest(_)
        | Op::Fault(_)
        | Op::Phase(_)
        | Op::Lost(_)
        | Op::Reshaped { .. } => return None,
    })
}
