//! What a partition has promised to other partitions and not yet delivered: the book that every machine with an outbox
//! keeps.
//!
//! ```text
//!  put ──► waiting: (destination, number) → where its bytes lie ──► confirm: it has arrived
//!          destination: the last number put in, the last one that arrived
//!                         │
//!                         └► recut: the destination is sealed; waits for others now, under their next numbers
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::limits::{OUTBOX_BATCHES_MAX, OUTBOX_BYTES_MAX};
use crate::mutants::{self, Mutant};
use crate::{At, Corrupt, GroupId, LogIndex, OutputBatch, Pointer, Recut, TransferSequence};

/// How far the transfers to a partition are. It stays when nothing waits: numbers are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The last batch that was put in.
    pub last: TransferSequence,
    /// The last one that arrived, or was cut anew for other destinations.
    pub confirmed: TransferSequence,
}

/// A batch that waits, as its sender sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number.
    pub sequence: TransferSequence,
    /// Where its bytes lie.
    pub pointer: Pointer,
}

/// There is no room: what waits has to leave first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{batches} batches of {bytes} bytes wait in the outbox, at most {OUTBOX_BATCHES_MAX} of {OUTBOX_BYTES_MAX} fit"
)]
pub struct OutboxFull {
    /// Batches that wait.
    pub batches: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A row that changed, for the machine to store under keys of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutboxRow {
    /// How far a destination is.
    Destination(GroupId, Destination),
    /// A batch that waits, or none any more.
    Batch(GroupId, TransferSequence, Option<Pointer>),
}

/// The batches that wait, by destination and number, and how far each destination is.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    destinations: BTreeMap<GroupId, Destination>,
    batches: BTreeMap<(GroupId, TransferSequence), Pointer>,
    /// Derived: how many batches lie in each entry.
    entries: BTreeMap<LogIndex, usize>,
    /// Derived: bytes of all batches.
    bytes: u64,
    /// What has to be written.
    changed: (BTreeSet<GroupId>, BTreeSet<(GroupId, TransferSequence)>),
}

/// Equal when their rows are; what is still to be written is no part of the state.
impl PartialEq for Outbox {
    fn eq(&self, other: &Self) -> bool {
        (&self.destinations, &self.batches) == (&other.destinations, &other.batches)
    }
}

impl Eq for Outbox {}

impl Outbox {
    /// Whether these batches fit. What is larger than the whole outbox could never be sent: an empty one takes anything.
    pub fn check_room(&self, outputs: &[OutputBatch]) -> Result<(), OutboxFull> {
        let (batches, bytes) = (self.batches.len(), self.bytes);
        let more: u64 = outputs.iter().map(|output| u64::from(output.length)).sum();
        let fits = batches + outputs.len() <= OUTBOX_BATCHES_MAX && bytes + more <= OUTBOX_BYTES_MAX;
        if fits || outputs.is_empty() || batches == 0 { Ok(()) } else { Err(OutboxFull { batches, bytes }) }
    }

    /// Puts batches of the entry at `at` in, in order.
    pub fn put(&mut self, at: At, outputs: &[OutputBatch]) {
        for OutputBatch { destination, position, length } in outputs {
            let pointer = Pointer { term: at.term, index: at.index, position: *position, length: *length };
            let known = self.destinations.entry(*destination).or_default();
            known.last = known.last.next();
            let name = (*destination, known.last);
            self.changed.0.insert(*destination);
            self.changed.1.insert(name);
            self.add(name, pointer);
        }
    }

    fn add(&mut self, name: (GroupId, TransferSequence), pointer: Pointer) -> bool {
        *self.entries.entry(pointer.index).or_default() += 1;
        self.bytes += u64::from(pointer.length);
        self.batches.insert(name, pointer).is_none()
    }

    /// Forgets what has arrived. Answers no when that is more than was ever put in: then nothing is forgotten.
    pub fn confirm(&mut self, destination: GroupId, through: TransferSequence) -> bool {
        let known = self.destinations.get(&destination).copied().unwrap_or_default();
        let through = if mutants::on(Mutant::M45) && through < known.last { through.next() } else { through };
        if through <= known.confirmed || through > known.last {
            return through <= known.last;
        }
        for sequence in (known.confirmed.0 + 1..=through.0).map(TransferSequence) {
            let name = (destination, sequence);
            let pointer = self.batches.remove(&name).expect("a batch waits until it is confirmed");
            self.bytes -= u64::from(pointer.length);
            let left = self.entries.get_mut(&pointer.index).expect("a batch's entry is counted");
            *left -= 1;
            if *left == 0 {
                self.entries.remove(&pointer.index);
            }
            self.changed.1.insert(name);
        }
        self.destinations.insert(destination, Destination { confirmed: through, ..known });
        self.changed.0.insert(destination);
        true
    }

    /// Puts batches of the entry at `at` in the place of some that wait for a sealed destination. What lies up to and with
    /// `after` has arrived there, whether that was confirmed or not. Room is not asked for: what is replaced had it.
    ///
    /// Answers no, and changes nothing, when it is not about what waits: another leader was faster, so that more is
    /// confirmed than `after`; or there is nothing to replace; or more would be replaced than was ever put in.
    pub fn recut(&mut self, at: At, recut: &Recut) -> bool {
        let Recut { destination, after, through, outputs } = recut;
        let known = self.destinations.get(destination).copied().unwrap_or_default();
        if known.confirmed > *after || known.last < *through || through <= after {
            return false;
        }
        let is_known = self.confirm(*destination, *through);
        assert!(is_known, "P11: what is replaced was put in");
        if !mutants::on(Mutant::M52) {
            self.put(at, outputs);
        }
        true
    }

    /// Batches that wait.
    pub fn len(&self) -> usize {
        self.batches.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Bytes of the batches that wait.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Items that are held in memory.
    pub fn items(&self) -> usize {
        self.destinations.len() + self.batches.len() + self.entries.len()
    }

    /// Destinations for which something waits, each with the last batch that arrived there.
    pub fn waiting(&self) -> impl Iterator<Item = (GroupId, TransferSequence)> {
        let waiting = self.destinations.iter().filter(|(_, known)| known.confirmed < known.last);
        waiting.map(|(group, known)| (*group, known.confirmed))
    }

    /// The last batch that was put in for each destination for which something waits.
    pub fn last(&self) -> impl Iterator<Item = (GroupId, TransferSequence)> {
        let waiting = self.destinations.iter().filter(|(_, known)| known.confirmed < known.last);
        waiting.map(|(group, known)| (*group, known.last))
    }

    /// Every destination for which something was ever put in.
    pub fn destinations(&self) -> impl Iterator<Item = GroupId> {
        self.destinations.keys().copied()
    }

    /// How many of the batches for a destination, up to and with `through`, have not arrived.
    pub fn left(&self, destination: GroupId, through: TransferSequence) -> u64 {
        let confirmed = self.destinations.get(&destination).map_or(0, |known| known.confirmed.0);
        through.0.saturating_sub(confirmed)
    }

    /// The batches for a destination behind `after`, in order.
    pub fn batches(
        &self,
        destination: GroupId,
        after: TransferSequence,
    ) -> impl DoubleEndedIterator<Item = Outgoing> {
        let all = (destination, after.next())..=(destination, TransferSequence(u64::MAX));
        self.batches
            .range(all)
            .map(|((_, sequence), pointer)| Outgoing { sequence: *sequence, pointer: *pointer })
    }

    /// The lowest entry whose bodies are needed.
    pub fn retained_from(&self) -> Option<LogIndex> {
        self.entries.first_key_value().map(|(entry, _)| *entry)
    }

    /// The rows that changed since the last flush, in order of destination and number.
    pub fn flush(&mut self) -> Vec<OutboxRow> {
        let (destinations, batches) = std::mem::take(&mut self.changed);
        let destination = |group: GroupId| OutboxRow::Destination(group, self.destinations[&group]);
        let batch = |name: (GroupId, TransferSequence)| {
            OutboxRow::Batch(name.0, name.1, self.batches.get(&name).copied())
        };
        destinations.into_iter().map(destination).chain(batches.into_iter().map(batch)).collect()
    }

    /// All rows, in the same order.
    pub fn rows(&self) -> impl Iterator<Item = OutboxRow> {
        let destinations =
            self.destinations.iter().map(|(group, known)| OutboxRow::Destination(*group, *known));
        let batches = self.batches.iter();
        destinations
            .chain(batches.map(|((group, at), pointer)| OutboxRow::Batch(*group, *at, Some(*pointer))))
    }

    /// Takes in a stored row. All of them have to come before [`check_restored`](Self::check_restored).
    pub fn restore(&mut self, row: OutboxRow) -> Result<(), Corrupt> {
        let is_new = match row {
            OutboxRow::Destination(group, known) => self.destinations.insert(group, known).is_none(),
            OutboxRow::Batch(group, sequence, Some(pointer)) => self.add((group, sequence), pointer),
            OutboxRow::Batch(_, _, None) => true,
        };
        if is_new { Ok(()) } else { Err(Corrupt(format!("outbox row {row:?} is stored twice"))) }
    }

    /// Each destination has the batches between what was confirmed and what was put in, and no others.
    pub fn check_restored(&self) -> Result<(), Corrupt> {
        let mut waiting = 0_u64;
        for (group, known) in &self.destinations {
            let broken = || Corrupt(format!("destination {group}: {known:?}"));
            let count = known.last.0.checked_sub(known.confirmed.0).ok_or_else(broken)?;
            known.last.0.checked_add(1).ok_or_else(broken)?;
            let range = (*group, known.confirmed.next())..=(*group, known.last.max(known.confirmed.next()));
            let all = self.batches.range(range).count() as u64;
            if all != count {
                return Err(Corrupt(format!("destination {group} has {all} of {count} batches")));
            }
            waiting += count;
        }
        if waiting != self.batches.len() as u64 {
            return Err(Corrupt(format!("{} outbox batches for {waiting} places", self.batches.len())));
        }
        Ok(())
    }

    /// P11: what waits for a destination is exactly what was put in and has not arrived. Panics when it is not.
    pub fn check_invariants(&self) {
        let mut again = Self::default();
        self.rows().for_each(|row| again.restore(row).expect("a row comes once"));
        assert_eq!(again.check_restored(), Ok(()), "P11: a batch is missing, or has no destination");
        let derived = |outbox: &Self| (outbox.entries.clone(), outbox.bytes);
        assert_eq!(derived(self), derived(&again), "the outbox's books do not follow from its rows");
        assert!(self.changed.0.is_empty() && self.changed.1.is_empty(), "outbox rows left to write");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Term;

    const LEFT: GroupId = GroupId(7);
    const RIGHT: GroupId = GroupId(9);
    const CHILD: GroupId = GroupId(11);

    fn output(destination: GroupId, position: u32) -> OutputBatch {
        OutputBatch { destination, position, length: 10 }
    }

    fn at(index: u64) -> At {
        At { term: Term(1), index: LogIndex(index), ..At::default() }
    }

    fn loaded() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.put(at(5), &[output(LEFT, 0), output(RIGHT, 10), output(LEFT, 20)]);
        outbox.put(at(6), &[output(LEFT, 0)]);
        outbox
    }

    #[test]
    fn a_batch_waits_under_a_number_of_its_destination_until_it_is_confirmed() {
        let mut outbox = loaded();
        assert_eq!(outbox.flush().len(), 6);
        assert_eq!((outbox.len(), outbox.bytes(), outbox.retained_from()), (4, 40, Some(LogIndex(5))));
        assert!(outbox.confirm(LEFT, TransferSequence(2)));
        assert!(outbox.confirm(LEFT, TransferSequence(1)), "what is known already is no contradiction");
        assert!(!outbox.confirm(LEFT, TransferSequence(4)), "more than was ever put in");
        assert_eq!(
            outbox.last().collect::<Vec<_>>(),
            [(LEFT, TransferSequence(3)), (RIGHT, TransferSequence(1))]
        );
        assert_eq!((outbox.left(LEFT, TransferSequence(3)), outbox.left(LEFT, TransferSequence(2))), (1, 0));
        assert_eq!(
            outbox.waiting().collect::<Vec<_>>(),
            [(LEFT, TransferSequence(2)), (RIGHT, TransferSequence(0))]
        );
        assert!(outbox.confirm(RIGHT, TransferSequence(1)));
        assert_eq!((outbox.len(), outbox.retained_from()), (1, Some(LogIndex(6))));
        outbox.flush();
        outbox.check_invariants();
    }

    fn recut(after: u64, through: u64, outputs: Vec<OutputBatch>) -> Recut {
        let (after, through) = (TransferSequence(after), TransferSequence(through));
        Recut { destination: LEFT, after, through, outputs }
    }

    /// The destination, number and place of everything that waits.
    fn waiting(outbox: &Outbox) -> Vec<(GroupId, u64, (u64, u32))> {
        let batches = outbox.batches.iter();
        batches
            .map(|((group, number), pointer)| (*group, number.0, (pointer.index.0, pointer.position)))
            .collect()
    }

    /// What a store holds that has written all rows.
    fn stored(rows: Vec<OutboxRow>, before: &mut Outbox) -> Outbox {
        for row in rows {
            match row {
                OutboxRow::Destination(group, known) => drop(before.destinations.insert(group, known)),
                OutboxRow::Batch(group, number, None) => {
                    let gone = before.batches.remove(&(group, number));
                    assert!(gone.is_some(), "a batch that was never stored is deleted");
                }
                OutboxRow::Batch(group, number, Some(pointer)) => {
                    before.batches.insert((group, number), pointer);
                }
            }
        }
        before.clone()
    }

    #[test]
    fn what_waits_for_a_sealed_destination_is_cut_anew_for_others_and_never_sent_there_again() {
        let mut outbox = loaded();
        let mut store = stored(outbox.flush(), &mut Outbox::default());
        // The first has arrived, which nobody has confirmed.
        assert!(outbox.recut(at(7), &recut(1, 3, vec![output(RIGHT, 0), output(CHILD, 10)])));
        let left = [(RIGHT, 1, (5, 10)), (RIGHT, 2, (7, 0)), (CHILD, 1, (7, 10))];
        assert_eq!(waiting(&outbox), left, "behind what waited there before");
        assert_eq!(outbox.left(LEFT, TransferSequence(3)), 0);
        assert_eq!((outbox.bytes(), outbox.retained_from()), (30, Some(LogIndex(5))));
        assert_eq!(stored(outbox.flush(), &mut store), outbox, "every change has its row");
        outbox.check_invariants();
        // Its numbers are never used again.
        outbox.put(at(8), &[output(LEFT, 0)]);
        assert_eq!(waiting(&outbox)[0], (LEFT, 4, (8, 0)));
    }

    #[test]
    fn a_sealed_destination_is_emptied_piece_by_piece_and_each_piece_once() {
        let mut outbox = loaded();
        let first = recut(0, 2, vec![output(CHILD, 0)]);
        assert!(outbox.recut(at(7), &first));
        outbox.flush();
        let before = outbox.clone();
        assert!(!outbox.recut(at(8), &first), "the same once more, by the next leader");
        assert!(!outbox.recut(at(8), &recut(1, 3, vec![output(CHILD, 0)])), "some of it was replaced before");
        assert_eq!(outbox.flush(), [], "and nothing has changed");
        assert_eq!(outbox, before);
        assert!(outbox.recut(at(9), &recut(2, 3, vec![output(CHILD, 5)])));
        assert_eq!(waiting(&outbox), [(RIGHT, 1, (5, 10)), (CHILD, 1, (7, 0)), (CHILD, 2, (9, 5))]);
        outbox.flush();
        outbox.check_invariants();
    }

    #[test]
    fn a_recut_of_what_does_not_wait_changes_nothing() {
        let mut outbox = loaded();
        assert!(outbox.confirm(LEFT, TransferSequence(2)));
        outbox.flush();
        let before = outbox.clone();
        let nowhere = Recut { destination: GroupId(99), ..recut(0, 1, vec![output(CHILD, 0)]) };
        for refused in [
            recut(1, 3, vec![output(CHILD, 0)]),
            recut(2, 4, vec![output(CHILD, 0)]),
            recut(2, 2, vec![output(CHILD, 0)]),
            recut(3, 3, vec![output(CHILD, 0)]),
            nowhere,
        ] {
            assert!(!outbox.recut(at(7), &refused), "{refused:?}");
            assert_eq!(outbox.flush(), []);
            assert_eq!(outbox, before);
        }
        assert!(outbox.recut(at(7), &recut(2, 3, vec![output(CHILD, 0)])));
    }

    #[test]
    fn rows_make_the_same_outbox_again_and_a_missing_one_is_noticed() {
        let outbox = loaded();
        let rows: Vec<_> = outbox.rows().collect();
        let restored = |rows: &[OutboxRow]| {
            let mut again = Outbox::default();
            rows.iter().try_for_each(|row| again.restore(*row)).and_then(|()| again.check_restored())?;
            Ok::<_, Corrupt>(again)
        };
        assert_eq!(restored(&rows).as_ref(), Ok(&outbox));
        for missing in 0..rows.len() {
            let mut some = rows.clone();
            some.remove(missing);
            assert!(restored(&some).is_err(), "{:?} is missing", rows[missing]);
        }
        let twice = [rows.clone(), vec![rows[0]]].concat();
        assert!(restored(&twice).is_err());
    }

    #[test]
    fn a_full_outbox_refuses_and_an_empty_one_takes_anything() {
        let large = OutputBatch { length: u32::MAX, ..output(LEFT, 0) };
        let mut outbox = Outbox::default();
        assert_eq!(outbox.check_room(&[large]), Ok(()));
        outbox.put(at(1), &[large]);
        assert_eq!(outbox.check_room(&[]), Ok(()));
        let bytes = u64::from(u32::MAX);
        assert_eq!(outbox.check_room(&[output(LEFT, 0)]), Err(OutboxFull { batches: 1, bytes }));
    }
}
