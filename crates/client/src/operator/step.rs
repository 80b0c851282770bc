//! What a handler works with.

use bytes::Bytes;

use super::clock::EventClock;
use super::state::{Space, State};
use crate::{Outputs, Record};

/// One record's handling: what it reads and changes, and what it appends. All of it takes effect together with the
/// position behind the record, or none of it.
#[derive(Debug)]
pub struct Step<'a> {
    pub(super) state: &'a mut State,
    pub(super) outputs: Outputs,
    /// What this record has emitted, and what those before it in the same step have emitted and changed.
    pub(super) bytes: usize,
    pub(super) bytes_before: usize,
    pub(super) clock: EventClock,
}

/// A step is closed when what it appends, changes of state included, has so many bytes: a quarter of what one may have, as the
/// last window and the last record of it come on top.
pub(super) const STEP_BYTES_MAX: usize = 1 << 20;

impl Step<'_> {
    /// Appends a record to a stream, or a message to a queue. A record without a timestamp gets the time of the step.
    pub fn emit(&mut self, topic: &str, record: Record) {
        self.bytes += record.buffer_bytes();
        self.outputs = std::mem::take(&mut self.outputs).append(topic, record);
    }

    /// What is remembered under a key. Every partition of the input has a state of its own, which only records of that
    /// partition see: to count by another key than the records have, give them that key in an operator before.
    pub fn get(&self, key: &[u8]) -> Option<Bytes> {
        self.state.get(Space::Handler, key).cloned()
    }

    /// Remembers a value.
    pub fn put(&mut self, key: &[u8], value: impl Into<Bytes>) {
        self.state.put(Space::Handler, key, value.into());
    }

    /// Forgets a value, and gives it back.
    pub fn remove(&mut self, key: &[u8]) -> Option<Bytes> {
        self.state.remove(Space::Handler, key)
    }

    /// What is remembered under keys that begin with a prefix, in order of key.
    pub fn with_prefix(&self, prefix: &[u8]) -> impl Iterator<Item = (&[u8], &Bytes)> {
        self.state.with_prefix(Space::Handler, prefix)
    }

    /// Whether more may be emitted before the step is closed.
    pub(super) fn has_room(&self) -> bool {
        self.bytes_before + self.bytes + self.state.changed_bytes() < STEP_BYTES_MAX
    }

    /// The partition's event time in milliseconds since the Unix epoch: no earlier timestamp is expected any more. It
    /// follows the largest timestamp so far at the distance of
    /// [`out_of_order`](crate::operator::OperatorOptions::out_of_order), and never falls.
    pub fn watermark_ms(&self) -> u64 {
        self.clock.watermark_ms()
    }
}
