//! P1. It is checked after everything has drained: what was acknowledged must have been delivered or read by then.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::history::{Reader, Topic};
use crate::{Op, Span, Value};

/// Compares what was acknowledged with what was seen.
#[derive(Default)]
pub(super) struct AcknowledgedIsKept {
    acknowledged: BTreeMap<(Topic, Value), (u32, u64)>,
    delivered: BTreeSet<Value>,
    /// By the last reader: others may have been somewhere else.
    read: BTreeSet<Value>,
}

impl Check for AcknowledgedIsKept {
    fn property(&self) -> &'static str {
        "P1 an acknowledged append or enqueue is never lost"
    }

    fn observe(&mut self, _: Span, op: &Op) {
        match op {
            Op::Sent { topic, value, at: Some(at), .. } => {
                self.acknowledged.insert((*topic, *value), *at);
            }
            Op::Delivered { value, .. } => {
                self.delivered.insert(*value);
            }
            Op::Read { reader: Reader::Last, value, .. } => {
                self.read.insert(*value);
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        let lost = self.acknowledged.iter().filter(|((topic, value), _)| match topic {
            Topic::Queue => !self.delivered.contains(value),
            Topic::Stream => !self.read.contains(value),
        });
        lost.map(|((topic, value), at)| {
            format!("{value:?}, acknowledged at {at:?} of the {topic:?}, is lost")
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{appended, delivered, enqueued, read, verdict};

    #[test]
    fn what_was_acknowledged_and_seen_is_kept() {
        let ops = [enqueued(1, 0, 7), delivered(1, 0, 7, 1), appended(2, 0, 0), read(Reader::Last, 2, 0, 0)];
        assert_eq!(verdict(AcknowledgedIsKept::default(), &ops), 0);
    }

    #[test]
    fn what_nobody_acknowledged_may_be_missing() {
        let value = Value { producer: 0, sequence: 1 };
        let unknown = Op::Sent { topic: Topic::Queue, value, at: None, answered: crate::Answered::Unknown };
        assert_eq!(verdict(AcknowledgedIsKept::default(), &[unknown]), 0);
    }

    #[test]
    fn a_message_that_never_came_is_lost() {
        assert_eq!(verdict(AcknowledgedIsKept::default(), &[enqueued(1, 0, 7), enqueued(2, 0, 8)]), 2);
    }

    #[test]
    fn a_record_that_only_an_earlier_reader_saw_is_lost() {
        let ops = [appended(2, 0, 0), read(Reader::Follower, 2, 0, 0)];
        assert_eq!(verdict(AcknowledgedIsKept::default(), &ops), 1);
    }
}
