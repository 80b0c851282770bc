//! What is remembered of idempotent producers: enough to answer a repeated batch with its first offset.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_types::limits::{PRODUCER_BATCHES_REMEMBERED_MAX, PRODUCERS_PER_PARTITION_MAX};
use weir_types::{Corrupt, LeaseClock, Offset, ProducerEpoch, ProducerId, ProducerSequence, RowChange};

use crate::Rejection;
use crate::fences::{Fence, Fences};
use crate::limits::{PRODUCER_QUIET_MS_MAX, PRODUCERS_FORGOTTEN_PER_COMMAND_MAX};
use crate::rows::{self, Key, ProducerRow};

/// Slots of a producer, used in turn: one row for each batch remembered.
const SLOTS: u8 = PRODUCER_BATCHES_REMEMBERED_MAX as u8;

/// The last batches of every producer that was not quiet for too long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Producers {
    by_id: BTreeMap<ProducerId, Producer>,
    /// The same producers, the one quiet for longest first.
    by_seen: BTreeSet<(LeaseClock, ProducerId)>,
    /// Of those that have appended nothing under their new epoch yet.
    fences: Fences,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Producer {
    epoch: ProducerEpoch,
    /// When it last appended.
    seen: LeaseClock,
    /// Of this epoch, in order; never empty.
    batches: VecDeque<Remembered>,
    /// Slot of the newest batch; those before it lie in the slots before it, round about.
    newest_slot: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Remembered {
    base_sequence: u32,
    count: u32,
    base_offset: Offset,
    seen: LeaseClock,
}

/// Whether a batch is to be appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is the producer's next.
    New,
    /// It was appended before, at this offset.
    Duplicate(Offset),
}

impl Producers {
    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Judges a batch of `count` records. Nothing changes.
    pub(crate) fn judge(&self, stamp: ProducerSequence, count: u32) -> Result<Verdict, Rejection> {
        let got = stamp.base_sequence;
        let known = self.by_id.get(&stamp.id);
        self.judge_epoch(stamp.id, stamp.epoch)?;
        let Some(producer) = known.filter(|producer| stamp.epoch == producer.epoch) else {
            let first = got == 0;
            return if first { Ok(Verdict::New) } else { Err(Rejection::OutOfSequence { expected: 0, got }) };
        };
        let expected = producer.next_sequence();
        if got == expected {
            return Ok(Verdict::New);
        }
        producer
            .batches
            .iter()
            .find(|batch| batch.base_sequence == got && batch.count == count)
            .map(|batch| Verdict::Duplicate(batch.base_offset))
            .ok_or(Rejection::OutOfSequence { expected, got })
    }

    /// Whether a producer of this epoch is the newest of its id.
    fn judge_epoch(&self, id: ProducerId, got: ProducerEpoch) -> Result<(), Rejection> {
        let known = self.by_id.get(&id).map_or(ProducerEpoch(0), |producer| producer.epoch);
        let current = known.max(self.fences.epoch(id));
        if got < current { Err(Rejection::ProducerFenced { current, got }) } else { Ok(()) }
    }

    /// A producer comes back: older epochs may append no more.
    pub(crate) fn fence(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        seen: LeaseClock,
        changes: &mut Vec<RowChange>,
    ) -> Result<(), Rejection> {
        self.judge_epoch(id, epoch)?;
        let appended = self.by_id.get(&id).is_some_and(|producer| producer.epoch == epoch);
        if !appended {
            self.fences.raise(id, Fence { epoch, seen }, changes);
        }
        Ok(())
    }

    /// Remembers a batch that was judged new. When the partition is full of producers, the one quiet for longest is
    /// forgotten.
    pub(crate) fn remember(
        &mut self,
        stamp: ProducerSequence,
        count: u32,
        base_offset: Offset,
        seen: LeaseClock,
        changes: &mut Vec<RowChange>,
    ) {
        let id = stamp.id;
        self.fences.lift(id, changes);
        if self.by_id.get(&id).is_some_and(|producer| producer.epoch < stamp.epoch) {
            self.forget(id, changes);
        }
        if !self.by_id.contains_key(&id) && self.by_id.len() >= PRODUCERS_PER_PARTITION_MAX {
            let (_, quietest) = *self.by_seen.first().expect("a full table has a first producer");
            self.forget(quietest, changes);
        }
        let producer = self.by_id.entry(id).or_insert_with(|| Producer {
            epoch: stamp.epoch,
            seen,
            batches: VecDeque::new(),
            newest_slot: SLOTS - 1,
        });
        self.by_seen.remove(&(producer.seen, id));
        // The quietest comes first only if a clock that stands still, or falls, never makes a producer older.
        producer.seen = producer.seen.max(seen);
        self.by_seen.insert((producer.seen, id));
        let seen = producer.seen;
        producer.push(Remembered { base_sequence: stamp.base_sequence, count, base_offset, seen });
        let key = Key::Producer(id, producer.newest_slot);
        changes.push(rows::put(&key, &producer.row(producer.batches.len() - 1)));
    }

    /// Forgets producers that were quiet for too long, a bounded number of them.
    pub(crate) fn forget_quiet(&mut self, now: LeaseClock, changes: &mut Vec<RowChange>) {
        self.fences.forget_quiet(now, changes);
        for _ in 0..PRODUCERS_FORGOTTEN_PER_COMMAND_MAX {
            match self.by_seen.first() {
                Some(&(seen, id)) if seen + PRODUCER_QUIET_MS_MAX <= now => self.forget(id, changes),
                _ => break,
            }
        }
    }

    /// When the next producer is forgotten.
    pub(crate) fn deadline(&self) -> Option<LeaseClock> {
        let quietest = self.by_seen.first().map(|(seen, _)| *seen + PRODUCER_QUIET_MS_MAX);
        quietest.into_iter().chain(self.fences.deadline()).min()
    }

    /// Takes a fence's row back in.
    pub(crate) fn restore_fence(&mut self, id: ProducerId, fence: Fence) {
        self.fences.restore(id, fence);
    }

    fn forget(&mut self, id: ProducerId, changes: &mut Vec<RowChange>) {
        let producer = self.by_id.remove(&id).expect("only known producers are forgotten");
        self.by_seen.remove(&(producer.seen, id));
        let keys = (0..producer.batches.len()).map(|place| Key::Producer(id, producer.slot(place)));
        changes.extend(keys.map(|key| rows::delete(&key)));
    }

    /// Takes the rows of one producer back in.
    pub(crate) fn restore(
        &mut self,
        id: ProducerId,
        slots: BTreeMap<u8, ProducerRow>,
    ) -> Result<(), Corrupt> {
        let mut by_offset: Vec<_> = slots.into_iter().collect();
        by_offset.sort_by_key(|(_, row)| row.base_offset);
        let corrupt = || Corrupt(format!("batches remembered of producer {id} are not one sequence"));
        let Some(&(newest_slot, newest)) = by_offset.last() else { return Ok(()) };
        if by_offset.iter().any(|(slot, _)| *slot >= SLOTS) {
            return Err(corrupt());
        }
        let batches = by_offset.iter().map(|(_, row)| Remembered {
            base_sequence: row.base_sequence,
            count: row.count,
            base_offset: row.base_offset,
            seen: row.seen,
        });
        let (epoch, seen) = (newest.epoch, newest.seen);
        let producer = Producer { epoch, seen, batches: batches.collect(), newest_slot };
        let as_written = by_offset
            .iter()
            .enumerate()
            .all(|(place, (slot, row))| *slot == producer.slot(place) && *row == producer.row(place));
        if !as_written || !producer.is_in_sequence() {
            return Err(corrupt());
        }
        self.by_seen.insert((seen, id));
        self.by_id.insert(id, producer);
        Ok(())
    }

    /// All rows, in order of producer.
    pub(crate) fn rows(&self) -> Vec<RowChange> {
        let of_producer = |(id, producer): (&ProducerId, &Producer)| {
            let put = |place| rows::put(&Key::Producer(*id, producer.slot(place)), &producer.row(place));
            (0..producer.batches.len()).map(put).collect::<Vec<_>>()
        };
        self.by_id.iter().flat_map(of_producer).chain(self.fences.rows()).collect()
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self, end: Offset) {
        assert!(self.by_id.len() <= PRODUCERS_PER_PARTITION_MAX, "producers are bounded");
        assert_eq!(
            self.by_id.len(),
            self.by_seen.len(),
            "every producer has its place in the order of quiet"
        );
        self.fences.check_invariants();
        for (id, producer) in &self.by_id {
            assert!(self.fences.epoch(*id) == ProducerEpoch(0) || self.fences.epoch(*id) > producer.epoch);
            assert!(self.by_seen.contains(&(producer.seen, *id)), "the order of quiet has the last append");
            assert!((1..=usize::from(SLOTS)).contains(&producer.batches.len()), "batches are bounded");
            assert!(producer.is_in_sequence(), "a producer's batches are one sequence without gap or repeat");
            assert!(producer.batches.iter().all(|batch| batch.base_offset < end), "batches were appended");
        }
    }
}

impl Producer {
    fn next_sequence(&self) -> u32 {
        let newest = self.batches.back().expect("a producer is known by a batch");
        ProducerSequence::advance(newest.base_sequence, newest.count)
    }

    fn push(&mut self, batch: Remembered) {
        if self.batches.len() == usize::from(SLOTS) {
            self.batches.pop_front();
        }
        self.batches.push_back(batch);
        self.newest_slot = (self.newest_slot + 1) % SLOTS;
    }

    /// Slot of the batch at `place`.
    fn slot(&self, place: usize) -> u8 {
        let behind_newest = (self.batches.len() - 1 - place) as u8;
        (self.newest_slot + SLOTS - behind_newest) % SLOTS
    }

    fn row(&self, place: usize) -> ProducerRow {
        let Remembered { base_sequence, count, base_offset, seen } = self.batches[place];
        ProducerRow { epoch: self.epoch, base_sequence, count, base_offset, seen }
    }

    fn is_in_sequence(&self) -> bool {
        self.batches.iter().zip(self.batches.iter().skip(1)).all(|(earlier, later)| {
            let next = ProducerSequence::advance(earlier.base_sequence, earlier.count);
            later.base_sequence == next && earlier.base_offset < later.base_offset
        })
    }
}
