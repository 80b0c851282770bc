//! Where bodies lie: where they came in, or where they were written anew.

use std::collections::{BTreeMap, BTreeSet};

use weir_queue::{Bodies, Command, MessageRun, Queue, Relocate, RelocatedBatch};
use weir_types::{LogIndex, MessageId, Pointer};

use super::Oracle;

/// Batch and record.
type Place = (Pointer, u32);

/// Where each message was last seen, and the steps that were proposed.
#[derive(Default)]
pub(crate) struct Places {
    known: BTreeMap<MessageId, Place>,
    steps: Vec<Relocate>,
}

impl Oracle {
    /// Bodies out of older entries, as a leader writes them anew, in batches of two runs; or a step that was taken before.
    pub(crate) fn relocate(
        &mut self,
        back: u8,
        rows: usize,
        again: Option<u8>,
        queue: &Queue,
    ) -> Option<Command> {
        if let Some(back) = again {
            let steps = &self.places.steps;
            let place = steps.len().checked_sub(1 + usize::from(back) % steps.len().max(1))?;
            return Some(Command::Relocate(steps[place].clone()));
        }
        let horizon = LogIndex(self.at.index.0.saturating_sub(u64::from(back % 8)));
        let (bodies, _) = queue.bodies_before(horizon, MessageId(0), rows);
        let batches = (0..).zip(bodies.chunks(2)).map(|(place, bodies)| RelocatedBatch {
            position: place * 1_000,
            length: 900,
            runs: bodies
                .iter()
                .map(|Bodies { first, count, .. }| MessageRun { first: *first, count: *count })
                .collect(),
        });
        let step = Relocate { batches: batches.collect() };
        self.places.steps.push(step.clone());
        (!bodies.is_empty()).then_some(Command::Relocate(step))
    }

    /// A body stays where it is, unless it was written anew in this entry; and no entry is given up that holds one.
    pub(crate) fn check_places(&mut self, commands: &[Command], queue: &Queue) {
        let mut offered: BTreeMap<MessageId, Vec<Place>> = BTreeMap::new();
        for command in commands {
            let Command::Relocate(step) = command else { continue };
            for (message, place) in step.batches.iter().flat_map(|batch| self.places_of(batch)) {
                offered.entry(message).or_default().push(place);
            }
        }
        let alive = queue.peek(MessageId(0), 10_000).into_iter().map(|view| view.message);
        let kept = queue.kept(MessageId(0), 10_000).into_iter().map(|kept| kept.message);
        let there: BTreeSet<MessageId> = alive.chain(kept).collect();
        for message in &there {
            let place = queue.place(*message).expect("a message that is there has a body");
            let old = self.places.known.insert(*message, place);
            let new = offered.get(message).is_some_and(|offered| offered.contains(&place));
            let came_in = place.0.index == self.at.index;
            assert!(
                old.map_or(came_in, |old| old == place) || new,
                "message {message}: {old:?}, now {place:?}"
            );
            let retained = queue.retained_from().expect("its entry is needed");
            assert!(retained <= place.0.index, "P1: entry {} is given up before {retained}", place.0.index);
        }
        self.places.known.retain(|message, _| there.contains(message));
    }

    fn places_of(&self, batch: &RelocatedBatch) -> Vec<(MessageId, Place)> {
        let (term, index) = (self.at.term, self.at.index);
        let pointer = Pointer { term, index, position: batch.position, length: batch.length };
        let ids = batch.runs.iter().flat_map(|run| run.first.0..run.first.0 + u64::from(run.count));
        ids.zip(0..).map(|(id, record)| (MessageId(id), (pointer, record))).collect()
    }
}
