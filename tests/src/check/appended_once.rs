//! P10. Every value is sent once, by an idempotent producer: it stands at one place of its topic, and nowhere when
//! its producer was told that it does not.

use std::collections::{BTreeMap, BTreeSet};

use super::Check;
use crate::history::Topic;
use crate::{Answered, Op, Span, Value};

/// Keeps the places of every value.
#[derive(Default)]
pub(super) struct AppendedOnce {
    places: BTreeMap<(Topic, Value), BTreeSet<(u32, u64)>>,
    sent: BTreeMap<(Topic, Value), Answered>,
}

impl AppendedOnce {
    fn place(&mut self, topic: Topic, value: Value, at: (u32, u64)) {
        self.places.entry((topic, value)).or_default().insert(at);
    }
}

impl Check for AppendedOnce {
    fn property(&self) -> &'static str {
        "P10 what was sent once is appended once, and not at all when it was refused"
    }

    fn observe(&mut self, _: Span, op: &Op) {
        match op {
            Op::Sent { topic, value, at, answered } => {
                self.sent.insert((*topic, *value), *answered);
                if let Some(at) = at {
                    self.place(*topic, *value, *at);
                }
            }
            Op::Delivered { value, message, .. } => self.place(Topic::Queue, *value, *message),
            Op::Read { value, partition, offset, .. } => {
                self.place(Topic::Stream, *value, (*partition, *offset));
            }
            _ => {}
        }
    }

    fn violations(&self) -> Vec<String> {
        let wrong = self.places.iter().filter_map(|((topic, value), places)| {
            let what = match self.sent.get(&(*topic, *value)) {
                _ if places.len() > 1 => "stands at several places",
                None => "was never sent, and stands at",
                Some(Answered::No) => "was refused, and stands at",
                Some(Answered::Yes | Answered::Unknown) => return None,
            };
            Some(format!("{value:?} {what} of the {topic:?}: {places:?}"))
        });
        wrong.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::{appended, delivered, enqueued, read, verdict};
    use crate::history::Reader;

    fn answered(sequence: u32, answered: Answered) -> Op {
        Op::Sent { topic: Topic::Stream, value: Value { producer: 0, sequence }, at: None, answered }
    }

    #[test]
    fn one_place_however_often_it_is_seen() {
        let ops = [
            enqueued(1, 0, 7),
            delivered(1, 0, 7, 1),
            delivered(1, 0, 7, 2),
            appended(1, 2, 3),
            read(Reader::Last, 1, 2, 3),
        ];
        assert_eq!(verdict(AppendedOnce::default(), &ops), 0);
    }

    #[test]
    fn what_has_no_answer_may_be_there() {
        let ops =
            [answered(1, Answered::Unknown), read(Reader::Last, 1, 0, 0), answered(2, Answered::Unknown)];
        assert_eq!(verdict(AppendedOnce::default(), &ops), 0);
    }

    #[test]
    fn two_places_are_one_too_many() {
        assert_eq!(verdict(AppendedOnce::default(), &[appended(1, 0, 3), read(Reader::Last, 1, 0, 4)]), 1);
        assert_eq!(verdict(AppendedOnce::default(), &[enqueued(1, 0, 7), delivered(1, 1, 7, 1)]), 1);
    }

    #[test]
    fn what_was_refused_or_never_sent_is_nowhere() {
        assert_eq!(
            verdict(AppendedOnce::default(), &[answered(1, Answered::No), read(Reader::Last, 1, 0, 0)]),
            1
        );
        assert_eq!(verdict(AppendedOnce::default(), &[delivered(1, 0, 7, 1)]), 1);
    }
}
