//! Records that go with something else in one step: whether they are there.
//!
//! A record is there when a poll brought it. It is absent when its stream was read from its first offset to its last
//! after the run was over, and it did not come.

use std::collections::BTreeMap;

use crate::{Micros, Op, Phase, Value};

/// How far a partition was read when all was over.
#[derive(Clone, Copy, Debug, Default)]
struct Reread {
    /// First offset that was asked for, and the next one to ask for.
    read: Option<(u64, u64)>,
    /// First and next offset that there are.
    bounds: Option<(u64, u64)>,
}

/// What is known of the streams that steps append to. `W` is how a check remembers an operation.
#[derive(Clone, Debug)]
pub(crate) struct Appended<W> {
    /// Records that go with a step, and the first poll after the step's line that shows them.
    expected: BTreeMap<Value, (String, Option<W>)>,
    partitions: BTreeMap<(String, u32), Reread>,
    over: bool,
    healed: Micros,
}

impl<W> Default for Appended<W> {
    fn default() -> Self {
        Self { expected: BTreeMap::new(), partitions: BTreeMap::new(), over: false, healed: 0 }
    }
}

impl<W: Copy> Appended<W> {
    /// A step goes with this record.
    pub(crate) fn expect(&mut self, stream: &str, value: Value) {
        self.expected.entry(value).or_insert_with(|| (stream.to_owned(), None));
    }

    /// Takes note of an operation that began at `from`.
    pub(crate) fn observe(&mut self, seen: W, from: Micros, is_ok: bool, op: &Op) {
        match op {
            Op::Phase(Phase::End) => self.over = true,
            Op::Phase(Phase::Healed) => self.healed = from,
            // Nobody asks for any stream as long as no step goes with a record.
            _ if self.expected.is_empty() || !is_ok => {}
            Op::Poll { topic, partition, offset, records, .. } => {
                for value in records.iter().filter_map(|(_, value)| *value) {
                    if let Some((_, first)) = self.expected.get_mut(&value) {
                        first.get_or_insert(seen);
                    }
                }
                let next = records.last().map_or(*offset, |(last, _)| last + 1);
                let over = self.over;
                let reread = self.partitions.entry((topic.clone(), *partition)).or_default();
                if over {
                    let (first, read) = reread.read.unwrap_or((*offset, *offset));
                    reread.read = Some((first, if *offset <= read { read.max(next) } else { read }));
                }
            }
            Op::Bounds { topic, partition, start, end } if self.over => {
                self.partitions.entry((topic.clone(), *partition)).or_default().bounds = Some((*start, *end));
            }
            _ => {}
        }
    }

    /// When everything had healed, if the history says so.
    pub(crate) fn healed(&self) -> Micros {
        self.healed
    }

    /// The first poll that brought the record.
    pub(crate) fn first_seen(&self, value: Value) -> Option<&W> {
        self.expected.get(&value).and_then(|(_, first)| first.as_ref())
    }

    /// Whether the record is certainly not there.
    pub(crate) fn is_absent(&self, stream: &str, value: Value) -> bool {
        let mut of_stream = self.partitions.iter().filter(|((topic, _), _)| topic == stream).peekable();
        let known = of_stream.peek().is_some();
        let reread = of_stream.all(|(_, Reread { read, bounds })| {
            read.zip(*bounds).is_some_and(|((first, next), (start, end))| first <= start && next >= end)
        });
        known && reread && self.first_seen(value).is_none()
    }
}
