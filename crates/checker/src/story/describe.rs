//! Operations in words.

use super::Trace;
use crate::{Delivery, Digested, How, MessageId, Op, ParkedMessage, Value};

/// What clients do, in the order in which a page shows it.
pub const KINDS: [&str; 20] = [
    "enqueue",
    "receive",
    "ack",
    "nack",
    "release",
    "reject",
    "extend",
    "close-session",
    "ack-and-append",
    "list-parked",
    "redrive",
    "discard",
    "cancel",
    "purge",
    "append",
    "poll",
    "assign",
    "commit",
    "position",
    "bounds",
];

/// Most records and deliveries that are named one by one.
const NAMED_MAX: usize = 4;

/// What was asked, in a word: one of [`KINDS`] if a client did.
pub fn kind(op: &Op) -> &'static str {
    match op {
        Op::Enqueue { .. } => "enqueue",
        Op::Receive { .. } => "receive",
        Op::Settle { how, .. } => settle(*how),
        Op::CloseSession { .. } => "close-session",
        Op::ListParked { .. } => "list-parked",
        Op::Redrive { .. } => "redrive",
        Op::Discard { .. } => "discard",
        Op::Cancel { .. } => "cancel",
        Op::Purge { .. } => "purge",
        Op::AckAndAppend { .. } => "ack-and-append",
        Op::Append { .. } => "append",
        Op::Poll { .. } => "poll",
        Op::Assign { .. } => "assign",
        Op::Commit { .. } => "commit",
        Op::CommitAndAppend { .. } => "commit-and-append",
        Op::Position { .. } => "position",
        Op::Bounds { .. } => "bounds",
        Op::Leader { .. }
        | Op::Digest(_)
        | Op::Fault(_)
        | Op::Phase(_)
        | Op::Lost(_)
        | Op::Reshaped { .. } => "harness",
    }
}

fn settle(how: How) -> &'static str {
    match how {
        How::Ack => "ack",
        How::Nack => "nack",
        How::Release => "release",
        How::Reject => "reject",
        How::Extend(_) => "extend",
    }
}

/// The operation with what it asked and got. Of long lists only what `trace` follows is named.
pub fn words(op: &Op, trace: &Trace) -> String {
    match op {
        Op::Enqueue { topic, value, terms, at } => {
            let place = at.map_or_else(String::new, |id| format!(" → {id}"));
            let terms = if *terms == <_>::default() { String::new() } else { format!(" {}", json(terms)) };
            format!("enqueue {value} to {topic}{terms}{place}")
        }
        Op::Receive { topic, consumer, deliveries } => {
            let followed = |delivery: &Delivery| trace.follows(topic, Some(delivery.message), delivery.value);
            let got = list(deliveries, followed, delivery);
            format!("receive from {topic} by c{} → {got}", consumer.0)
        }
        Op::Settle { topic, consumer, message, lease, how } => {
            let more = if let How::Extend(more) = how { format!(" by {more} µs") } else { String::new() };
            format!("{} {message} of {topic} under lease {lease} by c{}{more}", settle(*how), consumer.0)
        }
        Op::CloseSession { topic, consumer } => format!("close session of c{} on {topic}", consumer.0),
        Op::ListParked { topic, messages } => {
            let followed = |parked: &_| {
                let ParkedMessage { message, value, .. } = *parked;
                trace.follows(topic, Some(message), value)
            };
            let named =
                |parked: &ParkedMessage| format!("{} after {} attempts", parked.message, parked.attempts);
            format!("list parked of {topic} → {}", list(messages, followed, named))
        }
        Op::Redrive { topic, messages } | Op::Discard { topic, messages } => {
            let named = list(messages, |id| trace.follows(topic, Some(*id), None), ToString::to_string);
            format!("{} {named} of {topic}", kind(op))
        }
        Op::Cancel { topic, message } => format!("cancel {message} of {topic}"),
        Op::Purge { topic } => format!("purge {topic}"),
        Op::AckAndAppend { queue, consumer, message, lease, stream, value } => format!(
            "ack {message} of {queue} under lease {lease} by c{}, append {value} to {stream}",
            consumer.0
        ),
        other => stream_words(other, trace),
    }
}

fn stream_words(op: &Op, trace: &Trace) -> String {
    match op {
        Op::Append { topic, values, key, at } => {
            let named = list(values, |value| trace.follows(topic, None, Some(*value)), ToString::to_string);
            let key = key.as_ref().map_or_else(String::new, |key| format!(" with key {key}"));
            let place = at.map_or_else(String::new, |(partition, offset)| format!(" → {partition}:{offset}"));
            format!("append {named} to {topic}{key}{place}")
        }
        Op::Poll { topic, consumer, group, partition, offset, records } => {
            let id = |offset| MessageId { partition: *partition, id: offset };
            let followed =
                |(offset, value): &(u64, Option<_>)| trace.follows(topic, Some(id(*offset)), *value);
            let named = |(offset, value): &(u64, Option<Value>)| {
                format!("{offset}: {}", value.map_or_else(|| "damaged".to_owned(), |value| value.to_string()))
            };
            let group = group
                .as_ref()
                .map_or_else(String::new, |(group, epoch)| format!(" for group {group} in epoch {epoch}"));
            let got = list(records, followed, named);
            format!("poll {topic} {partition} from offset {offset} by c{}{group} → {got}", consumer.0)
        }
        Op::CommitAndAppend { group, topic, consumer, epoch, partition, from, offset, stream, value } => {
            let from = from.map_or_else(|| "the beginning".to_owned(), |from| from.to_string());
            format!(
                "commit {topic} {partition} from {from} to {offset} for group {group} by c{} in epoch {epoch}, append {value} to {stream}",
                consumer.0
            )
        }
        Op::Assign { group, topic, consumer, epoch, partitions } => {
            format!(
                "group {group} gives c{} partitions {partitions:?} of {topic} in epoch {epoch}",
                consumer.0
            )
        }
        Op::Commit { group, topic, consumer, epoch, partition, offset } => format!(
            "commit offset {offset} of {topic} {partition} for group {group} in epoch {epoch} by c{}",
            consumer.0
        ),
        Op::Position { group, topic, partition, offset } => {
            let offset = offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string());
            format!("position of group {group} in {topic} {partition} → {offset}")
        }
        Op::Bounds { topic, partition, start, end } => {
            format!("bounds of {topic} {partition} → {start} to {end}")
        }
        other => harness_words(other),
    }
}

fn harness_words(op: &Op) -> String {
    match op {
        Op::Leader { topic, partition, term, leader } => {
            format!("{leader} leads {topic} {partition} in term {term}")
        }
        Op::Digest(Digested { node, topic, partition, applied, hash, messages, bounds }) => {
            let more = bounds.map_or_else(
                || format!("{} messages", messages.len()),
                |(start, end)| format!("offsets {start} to {end}"),
            );
            format!("{node} holds {topic} {partition} at applied index {applied}: hash {hash}, {more}")
        }
        Op::Reshaped { topic, parents, children } => {
            format!("partitions {children:?} of {topic} took over the keys of {parents:?}")
        }
        other => json(other),
    }
}

fn delivery(delivery: &Delivery) -> String {
    let Delivery { message, value, lease, attempt, .. } = delivery;
    let value = value.map_or_else(|| "damaged".to_owned(), |value| value.to_string());
    format!("{message} ({value}) under lease {lease}, attempt {attempt}")
}

/// Names what is followed, or the first few if nothing is, and counts the rest.
fn list<T>(all: &[T], followed: impl Fn(&T) -> bool, named: impl Fn(&T) -> String) -> String {
    let mut names: Vec<_> = all.iter().filter(|item| followed(item)).map(&named).collect();
    if names.is_empty() {
        names = all.iter().take(NAMED_MAX).map(&named).collect();
    }
    let rest = all.len() - names.len();
    match (names.is_empty(), rest) {
        (true, _) => "nothing".to_owned(),
        (false, 0) => names.join(", "),
        (false, rest) => format!("{} and {rest} more", names.join(", ")),
    }
}

fn json(what: &impl serde::Serialize) -> String {
    serde_json::to_string(what).unwrap_or_else(|error| error.to_string())
}
