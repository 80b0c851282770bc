//! Histories written by hand, for the tests of the checks. Each operation begins when the one before has ended, and
//! takes ten microseconds.

use super::Check;
use crate::history::{Reader, Topic};
use crate::{Answered, Op, Span, Value};

fn value(sequence: u32) -> Value {
    Value { producer: 0, sequence }
}

fn sent(topic: Topic, sequence: u32, at: (u32, u64)) -> Op {
    Op::Sent { topic, value: value(sequence), at: Some(at), answered: Answered::Yes }
}

pub(super) fn enqueued(sequence: u32, partition: u32, id: u64) -> Op {
    sent(Topic::Queue, sequence, (partition, id))
}

pub(super) fn appended(sequence: u32, partition: u32, offset: u64) -> Op {
    sent(Topic::Stream, sequence, (partition, offset))
}

pub(super) fn delivered(sequence: u32, partition: u32, id: u64, lease_id: u64) -> Op {
    Op::Delivered { consumer: 1, message: (partition, id), value: value(sequence), lease_id, held: None }
}

/// A grant to `consumer` that surely began within its operation, of a message of partition 0.
pub(super) fn held(consumer: u16, id: u64, lease_id: u64, micros: u64) -> Op {
    Op::Delivered { consumer, message: (0, id), value: value(0), lease_id, held: Some(micros) }
}

pub(super) fn acked(partition: u32, id: u64, lease_id: u64) -> Op {
    Op::Settled { message: (partition, id), lease_id, ack: true, answered: Answered::Yes }
}

pub(super) fn given_back(partition: u32, id: u64, lease_id: u64, answered: Answered) -> Op {
    Op::Settled { message: (partition, id), lease_id, ack: false, answered }
}

pub(super) fn read(reader: Reader, sequence: u32, partition: u32, offset: u64) -> Op {
    Op::Read { reader, partition, offset, value: value(sequence) }
}

/// How many violations a check finds.
pub(super) fn verdict(mut check: impl Check, ops: &[Op]) -> usize {
    for (place, op) in (0_u64..).zip(ops) {
        // A microsecond apart from the one before, so that "before" is strict.
        check.observe(Span { from: 10 * place + 1, to: 10 * place + 10 }, op);
    }
    check.violations().len()
}
