//! One operation as Jepsen writes it.

use weir_checker::{Event, FaultPhase, How, MessageId, Micros, Op, Outcome, Value};

use super::edn::Edn;
use super::keys::Keys;
use super::order::Part;

/// A line to be: an operation without its index.
pub(super) struct Line(Vec<(Edn, Edn)>);

impl Line {
    /// With its place in the file.
    pub(super) fn indexed(mut self, index: u64) -> Edn {
        self.0.insert(0, (Edn::Keyword("index"), Edn::Integer(index)));
        Edn::Map(self.0)
    }
}

/// The lines of a part of an operation at a moment: one, but for a seek, which is a whole operation of its own.
pub(super) fn lines(event: &Event, part: &Part, keys: &Keys, at: Micros) -> Vec<Line> {
    let process = match part {
        Part::Whole => Edn::Keyword("nemesis"),
        _ => Edn::Integer(event.process.0.into()),
    };
    let line = |kind, f, value| line(at, kind, process.clone(), f, value);
    match part {
        Part::Seek(rest) => {
            let rest = Edn::vector(rest, |(topic, partition)| keys.of_partition(topic, *partition));
            vec![line("invoke", "assign", rest.clone()), line("ok", "assign", rest)]
        }
        Part::Whole => vec![line("info", fault_name(&event.op), Edn::Text(harness(&event.op)))],
        Part::Invoke => vec![line("invoke", name(event), asked(&event.op, keys))],
        Part::Complete => {
            let answered = event.outcome == Outcome::Ok;
            let value = if answered { answer(&event.op, keys) } else { asked(&event.op, keys) };
            let mut line = line(outcome(event.outcome), name(event), value);
            let more = [("node", &event.node), ("error", &event.error)];
            let more = more
                .into_iter()
                .filter_map(|(key, value)| Some((Edn::Keyword(key), Edn::text(value.as_ref()?))));
            line.0.extend(more);
            vec![line]
        }
    }
}

fn line(at: Micros, kind: &'static str, process: Edn, f: &'static str, value: Edn) -> Line {
    let entries = [
        ("time", Edn::Integer(at * 1_000)),
        ("type", Edn::Keyword(kind)),
        ("process", process),
        ("f", Edn::Keyword(f)),
        ("value", value),
    ];
    Line(entries.into_iter().map(|(key, value)| (Edn::Keyword(key), value)).collect())
}

fn outcome(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Ok => "ok",
        Outcome::Fail => "fail",
        Outcome::Info => "info",
    }
}

fn name(event: &Event) -> &'static str {
    match &event.op {
        Op::Enqueue { .. } => "enqueue",
        // A drain without an answer has no meaning for Jepsen.
        Op::Receive { .. } if event.outcome == Outcome::Ok => "drain",
        Op::Receive { .. } => "dequeue",
        Op::Settle { how, .. } => match how {
            How::Ack => "ack",
            How::Nack => "nack",
            How::Release => "release",
            How::Reject => "reject",
            How::Extend(_) => "extend",
        },
        Op::CloseSession { .. } => "close-session",
        Op::ListParked { .. } => "list-parked",
        Op::Redrive { .. } => "redrive",
        Op::Discard { .. } => "discard",
        Op::Cancel { .. } => "cancel",
        Op::Purge { .. } => "purge",
        Op::AckAndAppend { .. } => "ack-and-append",
        Op::Append { .. } => "send",
        Op::Poll { .. } => "poll",
        Op::Assign { .. } => "subscribe",
        Op::Commit { .. } => "commit",
        Op::CommitAndAppend { .. } => "commit-and-append",
        Op::Position { .. } => "position",
        Op::Bounds { .. } => "bounds",
        other => fault_name(other),
    }
}

fn fault_name(op: &Op) -> &'static str {
    match op {
        Op::Fault(fault) if fault.phase == FaultPhase::End => "stop-fault",
        Op::Fault(_) => "start-fault",
        _ => "phase",
    }
}

fn harness(op: &Op) -> String {
    match op {
        Op::Fault(fault) => format!("{} {} {}", fault.kind, fault.id, fault.nodes.join(",")),
        Op::Phase(phase) => format!("{phase:?}").to_lowercase(),
        _ => String::new(),
    }
}

/// What an operation asks, before anybody answered.
fn asked(op: &Op, keys: &Keys) -> Edn {
    match op {
        Op::Enqueue { value, .. } => Edn::text(value),
        Op::Settle { message, lease, .. } => settled(*message, *lease),
        Op::Redrive { topic, messages } | Op::Discard { topic, messages } => {
            Edn::map([("topic", Edn::text(topic)), ("messages", Edn::vector(messages, Edn::text))])
        }
        Op::CloseSession { topic, .. } | Op::Purge { topic } | Op::ListParked { topic, .. } => {
            Edn::map([("topic", Edn::text(topic))])
        }
        Op::Cancel { topic, message } => {
            Edn::map([("topic", Edn::text(topic)), ("message", Edn::text(message))])
        }
        Op::AckAndAppend { message, lease, value, .. } => {
            let both = [
                ("message", Edn::text(message)),
                ("lease", Edn::Integer(*lease)),
                ("value", Edn::text(value)),
            ];
            Edn::map(both)
        }
        Op::Append { topic, values, at, .. } => {
            let partition = at.map(|(partition, _)| partition);
            Edn::vector(values, |value| send(keys.of_value(topic, partition, *value), Edn::text(value)))
        }
        Op::Poll { .. } => Edn::Vector(vec![Edn::Vector(vec![Edn::Keyword("poll")])]),
        Op::Assign { topic, partitions, .. } => {
            Edn::vector(partitions, |partition| keys.of_partition(topic, *partition))
        }
        Op::Commit { group, topic, partition, offset, epoch, .. } => Edn::map([
            ("group", Edn::text(group)),
            ("key", keys.of_partition(topic, *partition)),
            ("offset", Edn::Integer(*offset)),
            ("epoch", Edn::Integer(*epoch)),
        ]),
        Op::CommitAndAppend { group, topic, partition, offset, epoch, value, .. } => Edn::map([
            ("group", Edn::text(group)),
            ("key", keys.of_partition(topic, *partition)),
            ("offset", Edn::Integer(*offset)),
            ("epoch", Edn::Integer(*epoch)),
            ("value", Edn::text(value)),
        ]),
        Op::Position { group, topic, partition, .. } => {
            Edn::map([("group", Edn::text(group)), ("key", keys.of_partition(topic, *partition))])
        }
        Op::Bounds { topic, partition, .. } => Edn::map([("key", keys.of_partition(topic, *partition))]),
        _ => Edn::Nil,
    }
}

/// What came back from an operation that happened.
fn answer(op: &Op, keys: &Keys) -> Edn {
    match op {
        Op::Receive { deliveries, .. } => Edn::vector(deliveries, |delivery| payload(delivery.value)),
        Op::ListParked { messages, .. } => Edn::vector(messages, |parked| payload(parked.value)),
        Op::Append { topic, values, at: Some((partition, first)), .. } => {
            Edn::vector((*first..).zip(values), |(offset, value)| {
                let key = keys.of_value(topic, Some(*partition), *value);
                send(key, Edn::Vector(vec![Edn::Integer(offset), Edn::text(value)]))
            })
        }
        Op::Poll { topic, partition, records, .. } => {
            let pairs = Edn::vector(records, |(offset, value)| {
                Edn::Vector(vec![Edn::Integer(*offset), payload(*value)])
            });
            let read = if records.is_empty() {
                Vec::new()
            } else {
                vec![(keys.of_partition(topic, *partition), pairs)]
            };
            Edn::Vector(vec![Edn::Vector(vec![Edn::Keyword("poll"), Edn::Map(read)])])
        }
        Op::Position { offset, .. } => offset.map_or(Edn::Nil, Edn::Integer),
        Op::Bounds { start, end, .. } => Edn::Vector(vec![Edn::Integer(*start), Edn::Integer(*end)]),
        other => asked(other, keys),
    }
}

fn send(key: Edn, what: Edn) -> Edn {
    Edn::Vector(vec![Edn::Keyword("send"), key, what])
}

fn settled(message: MessageId, lease: u64) -> Edn {
    Edn::map([("message", Edn::text(message)), ("lease", Edn::Integer(lease))])
}

fn payload(value: Option<Value>) -> Edn {
    value.map_or(Edn::Keyword("damaged"), Edn::text)
}
