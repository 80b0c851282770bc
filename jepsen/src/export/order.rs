//! From one line per operation to two, in the order of time.

use std::collections::BTreeMap;

use weir_checker::{Event, Micros, Op, Outcome, Process};

/// Something that happens at one moment.
pub(super) struct Moment {
    pub(super) at: Micros,
    /// Among what happens in the same microsecond.
    rank: u32,
    /// The event's place in the history.
    pub(super) event: usize,
    pub(super) part: Part,
}

/// Which part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Before it: its reader turns to another offset than the next, and goes on with these partitions as before.
    Seek(Vec<(String, u32)>),
    /// It is asked.
    Invoke,
    /// It is answered or given up.
    Complete,
    /// All of it: what the harness does has no answer.
    Whole,
}

/// What one process did so far.
#[derive(Default)]
struct Past {
    /// The end of its last operation, with its rank.
    end: Option<(Micros, u32)>,
    /// The next offset of each partition that it reads.
    reads: BTreeMap<(String, u32), u64>,
}

/// Two moments per operation. Where times are equal, a call begins before another ends: nothing says that it did not;
/// but a process ends one call before it begins the next.
pub(super) fn moments(events: &[Event]) -> Vec<Moment> {
    let mut moments = Vec::with_capacity(events.len() * 2);
    let mut past: BTreeMap<Process, Past> = BTreeMap::new();
    let mut now = 0;
    for (event, Event { from, to, process, op, outcome, .. }) in events.iter().enumerate() {
        now = now.max(to.unwrap_or(*from));
        if matches!(op, Op::Fault(_) | Op::Phase(_)) {
            moments.push(Moment { at: *from, rank: 0, event, part: Part::Whole });
        }
        if process.0 == 0 {
            continue;
        }
        let past = past.entry(*process).or_default();
        let mut rank = past.end.filter(|(end, _)| end == from).map_or(0, |(_, rank)| rank + 1);
        if let Some(rest) = past.seeks(op, *outcome) {
            moments.push(Moment { at: *from, rank, event, part: Part::Seek(rest) });
            rank += 1;
        }
        moments.push(Moment { at: *from, rank, event, part: Part::Invoke });
        // Without an end, its client gave up when the line was written: after all lines before it.
        let end = to.unwrap_or(now);
        let rank = if end == *from { rank + 1 } else { 1 };
        past.end = Some((end, rank));
        moments.push(Moment { at: end, rank, event, part: Part::Complete });
    }
    moments.sort_by_key(|moment| (moment.at, moment.rank, moment.event));
    moments
}

impl Past {
    /// If a poll does not go on where the last one of its partition ended: the other partitions that are being read.
    fn seeks(&mut self, op: &Op, outcome: Outcome) -> Option<Vec<(String, u32)>> {
        let Op::Poll { topic, partition, offset, records, .. } = op else { return None };
        let place = (topic.clone(), *partition);
        let seeks = self.reads.get(&place).is_some_and(|next| next != offset);
        let next = records.last().map_or(*offset, |(last, _)| last + 1);
        if outcome == Outcome::Ok {
            self.reads.insert(place.clone(), next);
        }
        seeks.then(|| self.reads.keys().filter(|other| **other != place).cloned().collect())
    }
}
