//! What waits to be appended to other partitions.

use serde::{Deserialize, Serialize};
use weir_types::{Corrupt, GroupId, LogIndex, Pointer, RowChange, TransferSequence};

use crate::bodies::Bodies;
use crate::table::Table;

/// How far the transfers to a partition are. The row stays when nothing waits: numbers are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Destination {
    /// The last batch that was put in.
    pub(crate) last: TransferSequence,
    /// The last one that arrived.
    pub(crate) confirmed: TransferSequence,
}

/// A record batch for another partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboxBatch {
    pub(crate) pointer: Pointer,
}

/// A batch that waits, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub sequence: TransferSequence,
    /// Where its bytes lie.
    pub pointer: Pointer,
}

/// The batches that wait, by destination and number, and how far each destination is.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outbox {
    destinations: Table<Destination>,
    batches: Table<OutboxBatch>,
    /// Derived: entries that hold the bytes.
    bodies: Bodies,
    /// Derived: bytes of all batches.
    bytes: u64,
}

impl Outbox {
    pub(crate) fn restored(destinations: Table<Destination>, batches: Table<OutboxBatch>) -> Self {
        let mut bodies = Bodies::default();
        let mut bytes = 0;
        for (_, batch) in batches.iter() {
            bodies.add(batch.pointer.index, 1);
            bytes += u64::from(batch.pointer.length);
        }
        Self { destinations, batches, bodies, bytes }
    }

    pub(crate) fn put(&mut self, destination: GroupId, pointer: Pointer) {
        let known = self.destinations.get(destination).copied().unwrap_or_default();
        let sequence = known.last.next();
        self.destinations.put(destination, Destination { last: sequence, ..known });
        self.batches.put((destination, sequence), OutboxBatch { pointer });
        self.bodies.add(pointer.index, 1);
        self.bytes += u64::from(pointer.length);
    }

    /// Forgets what has arrived. Answers no when that is more than was ever put in: then nothing is forgotten.
    pub(crate) fn confirm(&mut self, destination: GroupId, through: TransferSequence) -> bool {
        let known = self.destinations.get(destination).copied().unwrap_or_default();
        if through <= known.confirmed || through > known.last {
            return through <= known.last;
        }
        for sequence in (known.confirmed.0 + 1..=through.0).map(TransferSequence) {
            let batch =
                self.batches.remove((destination, sequence)).expect("a batch waits until it is confirmed");
            self.bodies.remove(batch.pointer.index, 1);
            self.bytes -= u64::from(batch.pointer.length);
        }
        self.destinations.put(destination, Destination { confirmed: through, ..known });
        true
    }

    pub(crate) fn len(&self) -> usize {
        self.batches.len()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Destinations for which something waits, each with the last batch that arrived there.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = (GroupId, TransferSequence)> {
        let waits = |known: &Destination| known.confirmed < known.last;
        self.destinations
            .iter()
            .filter(move |(_, known)| waits(known))
            .map(|(group, known)| (group, known.confirmed))
    }

    /// The batches for a destination behind `after`, in order.
    pub(crate) fn batches(
        &self,
        destination: GroupId,
        after: TransferSequence,
    ) -> impl Iterator<Item = Outgoing> {
        let all = (destination, after.next())..=(destination, TransferSequence(u64::MAX));
        self.batches.range(all).map(|((_, sequence), batch)| Outgoing { sequence, pointer: batch.pointer })
    }

    /// The lowest entry whose bodies are needed.
    pub(crate) fn retained_from(&self) -> Option<LogIndex> {
        self.bodies.first()
    }

    pub(crate) fn entries(&self) -> usize {
        self.destinations.len() + self.batches.len() + self.bodies.len()
    }

    pub(crate) fn flush(&mut self, changes: &mut Vec<RowChange>) {
        self.destinations.flush(changes);
        self.batches.flush(changes);
    }

    /// P11: what waits for a destination is exactly what was put in and has not arrived.
    pub(crate) fn check(&self) {
        let again = Self::restored(self.destinations.clone(), self.batches.clone());
        assert_eq!(*self, again, "the outbox's books do not follow from its rows");
        assert!(self.destinations.is_flushed() && self.batches.is_flushed(), "outbox rows left to write");
        let mut waiting = 0;
        for (group, known) in self.destinations.iter() {
            assert!(known.confirmed <= known.last, "more arrived at {group} than was sent: {known:?}");
            let numbers = self.batches(group, TransferSequence(0)).map(|batch| batch.sequence.0);
            assert!(numbers.eq(known.confirmed.0 + 1..=known.last.0), "P11: a batch for {group} is missing");
            waiting += known.last.0 - known.confirmed.0;
        }
        assert_eq!(waiting, self.batches.len() as u64, "P11: a batch has no destination");
    }
}

/// What restore relies on: each destination has the batches between what was confirmed and what was put in, and no
/// others.
pub(crate) fn check_stored(
    destinations: &Table<Destination>,
    batches: &Table<OutboxBatch>,
) -> Result<(), Corrupt> {
    let mut waiting = 0_u64;
    for (group, known) in destinations.iter() {
        let (Some(count), Some(next)) =
            (known.last.0.checked_sub(known.confirmed.0), known.last.0.checked_add(1))
        else {
            return Err(Corrupt(format!("destination {group}: {known:?}")));
        };
        let range = (group, known.confirmed)..(group, TransferSequence(next));
        let all =
            batches.range(range).filter(|((_, sequence), _)| *sequence > known.confirmed).count() as u64;
        if all != count {
            return Err(Corrupt(format!("destination {group} has {all} of {count} batches")));
        }
        waiting += count;
    }
    if waiting != batches.len() as u64 {
        return Err(Corrupt(format!("{} outbox batches for {waiting} places", batches.len())));
    }
    Ok(())
}
