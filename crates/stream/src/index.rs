//! Where every retained batch lies: by offset and by time.

use std::collections::VecDeque;

use weir_types::{At, Corrupt, LogIndex, Offset, Pointer, RowChange, WallClock};

use crate::limits::RUN_BATCHES_MAX;
use crate::rows::{self, Key, RunBatch, RunRow};
use crate::{Append, OutOfRange};

/// A retained batch, as a reader finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchAt {
    /// Offset of its first record. The first batch of a reader may begin before the offset it asked for.
    pub base_offset: Offset,
    /// Records in it.
    pub count: u32,
    /// When it was appended; never falls as offsets rise.
    pub append_time: WallClock,
    /// The largest timestamp that its producer gave a record, milliseconds since the Unix epoch.
    pub max_timestamp_ms: i64,
    /// Where its bytes lie.
    pub pointer: Pointer,
}

/// The batches that the log still holds for this stream, one entry of 48 bytes each, and the offsets they cover.
///
/// In the store they lie as *runs*: up to [`RUN_BATCHES_MAX`] consecutive batches of one Raft entry in one row. Here
/// every batch has its own entry; a sparse index would keep the runs only. Retiring goes by whole runs, so batches
/// below the start may be left: they count as held, but no reader sees them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    start: Offset,
    end: Offset,
    held: VecDeque<Held>,
    /// Batches of the last run: the ones at the back of `held` that share a row.
    last_run_batches: usize,
    bytes: u64,
}

/// No stream gets there: 63 bits, as in the record batch.
const OFFSET_MAX: Offset = Offset(i64::MAX as u64);

/// One batch. Its count follows from the base offset of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Held {
    base_offset: Offset,
    append_time: WallClock,
    max_timestamp_ms: i64,
    pointer: Pointer,
}

const _: () = assert!(size_of::<Held>() <= 48, "ten million batches are half a gigabyte, no more");

/// The oldest run held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FrontRun {
    pub(crate) base_offset: Offset,
    pub(crate) end: Offset,
    pub(crate) append_time: WallClock,
    pub(crate) batches: usize,
}

impl Index {
    pub(crate) fn start(&self) -> Offset {
        self.start
    }

    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn retained_from(&self) -> Option<LogIndex> {
        self.held.front().map(|held| held.pointer.index)
    }

    /// Adds a batch at the end and writes its run's row. Fails when the entry lies before one that was applied.
    pub(crate) fn append(
        &mut self,
        at: At,
        append: &Append,
        changes: &mut Vec<RowChange>,
    ) -> Result<Offset, Corrupt> {
        let pointer =
            Pointer { term: at.term, index: at.index, position: append.position, length: append.length };
        let append_time = match self.held.back() {
            Some(last) if (last.pointer.term, last.pointer.index) > (at.term, at.index) => {
                let (last, now) = (last.pointer, at);
                return Err(Corrupt(format!(
                    "entry {} of term {} is applied after entry {} of term {}",
                    now.index, now.term, last.index, last.term
                )));
            }
            Some(last) => at.wall_clock.max(last.append_time),
            None => at.wall_clock,
        };
        let base_offset = self.end;
        if !self.continues_last_run(pointer) {
            self.last_run_batches = 0;
        }
        let max_timestamp_ms = append.max_timestamp_ms;
        self.push(Held { base_offset, append_time, max_timestamp_ms, pointer }, append.count);
        let run_start = self.held.len() - self.last_run_batches;
        let (key, row) = self.run_row(run_start, self.last_run_batches);
        rows::put_again(changes, rows::put(&key, &row));
        Ok(base_offset)
    }

    fn continues_last_run(&self, pointer: Pointer) -> bool {
        let same_entry = self.held.back().is_some_and(|last| last.pointer.index == pointer.index);
        same_entry && self.last_run_batches < RUN_BATCHES_MAX
    }

    fn push(&mut self, held: Held, count: u32) {
        self.bytes += u64::from(held.pointer.length);
        self.held.push_back(held);
        self.last_run_batches += 1;
        self.end = self.end + u64::from(count);
    }

    /// The oldest run, if a batch is held.
    pub(crate) fn front_run(&self) -> Option<FrontRun> {
        let first = self.held.front()?;
        let batches = self.run_batches(0);
        Some(FrontRun {
            base_offset: first.base_offset,
            end: self.base_offset_at(batches),
            append_time: first.append_time,
            batches,
        })
    }

    /// How many batches the run has that begins at `place`: those that share its entry, up to the most that a run
    /// has. Runs are retired whole, so the first batch held begins one, and so does the one after each run.
    fn run_batches(&self, place: usize) -> usize {
        let entry = self.held.get(place).map(|held| held.pointer.index);
        self.held
            .range(place..)
            .take(RUN_BATCHES_MAX)
            .take_while(|held| Some(held.pointer.index) == entry)
            .count()
    }

    /// Drops the oldest run and its row.
    pub(crate) fn retire_front_run(&mut self, run: FrontRun, changes: &mut Vec<RowChange>) {
        debug_assert_eq!(self.front_run(), Some(run));
        for held in self.held.drain(..run.batches) {
            self.bytes -= u64::from(held.pointer.length);
        }
        self.last_run_batches = self.last_run_batches.min(self.held.len());
        changes.push(rows::delete(&Key::Run(run.base_offset)));
    }

    /// Moves the start up and writes it. Batches below it are left to be retired.
    pub(crate) fn move_start(&mut self, start: Offset, changes: &mut Vec<RowChange>) {
        assert!(self.start < start && start <= self.end, "the start moves up, at most to the end");
        self.start = start;
        rows::put_again(changes, rows::put(&Key::Start, &start));
    }

    /// The first offset whose batch was appended at `time` or later; the end when there is none.
    pub(crate) fn offset_for_time(&self, time: WallClock) -> Offset {
        let place = self.held.partition_point(|held| held.append_time < time);
        self.base_offset_at(place).max(self.start)
    }

    /// When the record at `offset` was appended; none at the end and outside the range.
    pub(crate) fn append_time(&self, offset: Offset) -> Option<WallClock> {
        let place = self.place_of(offset).ok()?;
        self.held.get(place).map(|held| held.append_time)
    }

    /// The batches from the one that holds `offset` on: as many as fit into `bytes_max`, but at least one. None at the
    /// end.
    pub(crate) fn locate(&self, offset: Offset, bytes_max: u64) -> Result<Vec<BatchAt>, OutOfRange> {
        let first = self.place_of(offset)?;
        let mut bytes = 0;
        let fits = |batch: &BatchAt| {
            bytes += u64::from(batch.pointer.length);
            bytes <= bytes_max || bytes == u64::from(batch.pointer.length)
        };
        Ok((first..self.held.len()).map(|place| self.batch_at(place)).take_while(fits).collect())
    }

    /// Where the batch of `offset` stands; the length of `held` for the end.
    fn place_of(&self, offset: Offset) -> Result<usize, OutOfRange> {
        if offset < self.start || offset > self.end {
            return Err(OutOfRange { offset, start: self.start, end: self.end });
        }
        if offset == self.end {
            return Ok(self.held.len());
        }
        let after = self.held.partition_point(|held| held.base_offset <= offset);
        Ok(after.checked_sub(1).expect("an offset from the start on lies in a batch that is held"))
    }

    fn base_offset_at(&self, place: usize) -> Offset {
        self.held.get(place).map_or(self.end, |held| held.base_offset)
    }

    fn batch_at(&self, place: usize) -> BatchAt {
        let Held { base_offset, append_time, max_timestamp_ms, pointer } = self.held[place];
        let count = (self.base_offset_at(place + 1) - base_offset) as u32;
        BatchAt { base_offset, count, append_time, max_timestamp_ms, pointer }
    }

    fn run_row(&self, first: usize, batches: usize) -> (Key, RunRow) {
        let held = &self.held[first];
        let batches = (first..first + batches).map(|place| self.batch_at(place)).map(|batch| RunBatch {
            count: batch.count,
            position: batch.pointer.position,
            length: batch.pointer.length,
            max_timestamp_ms: batch.max_timestamp_ms,
        });
        let row = RunRow {
            term: held.pointer.term,
            index: held.pointer.index,
            append_time: held.append_time,
            batches: batches.collect(),
        };
        (Key::Run(held.base_offset), row)
    }

    /// Takes a run's row back in. Rows come in order of offset, after the start's.
    pub(crate) fn restore_run(&mut self, base_offset: Offset, run: &RunRow) -> Result<(), Corrupt> {
        if base_offset > OFFSET_MAX {
            return Err(Corrupt(format!("run at offset {base_offset}, beyond {OFFSET_MAX}")));
        }
        if self.held.is_empty() {
            self.end = base_offset;
        }
        let entry = (run.term, run.index);
        let in_order = self.held.back().is_none_or(|last| {
            let last_entry = (last.pointer.term, last.pointer.index);
            let next_of_entry = last_entry == entry && self.last_run_batches == RUN_BATCHES_MAX;
            (last_entry < entry || next_of_entry) && last.append_time <= run.append_time
        });
        if base_offset != self.end || !in_order || !(1..=RUN_BATCHES_MAX).contains(&run.batches.len()) {
            return Err(Corrupt(format!("run at offset {base_offset} does not follow offset {}", self.end)));
        }
        self.last_run_batches = 0;
        for batch in &run.batches {
            let &RunBatch { count, position, length, max_timestamp_ms } = batch;
            if count == 0 {
                return Err(Corrupt(format!("batch at offset {} is empty", self.end)));
            }
            let pointer = Pointer { term: run.term, index: run.index, position, length };
            let append_time = run.append_time;
            self.push(Held { base_offset: self.end, append_time, max_timestamp_ms, pointer }, count);
        }
        Ok(())
    }

    /// Sets the start once all runs are back.
    pub(crate) fn restore_start(&mut self, start: Offset) -> Result<(), Corrupt> {
        if self.held.is_empty() {
            self.end = start;
        }
        if start < self.base_offset_at(0) || start > self.end || start > OFFSET_MAX {
            return Err(Corrupt(format!("start offset {start} lies outside the batches up to {}", self.end)));
        }
        self.start = start;
        Ok(())
    }

    /// All rows, in order of offset.
    pub(crate) fn rows(&self) -> Vec<RowChange> {
        let mut all = Vec::new();
        let mut place = 0;
        while place < self.held.len() {
            let batches = self.run_batches(place);
            let (key, row) = self.run_row(place, batches);
            all.push(rows::put(&key, &row));
            place += batches;
        }
        if self.start > Offset(0) {
            all.push(rows::put(&Key::Start, &self.start));
        }
        all
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self) {
        assert!(self.start <= self.end, "the start lies at or before the end");
        assert!(self.base_offset_at(0) <= self.start, "every record from the start on is held");
        let bytes: u64 = self.held.iter().map(|held| u64::from(held.pointer.length)).sum();
        assert_eq!(bytes, self.bytes, "bytes are the sum of what is held");
        for (earlier, later) in self.held.iter().zip(self.held.iter().skip(1)) {
            assert!(earlier.base_offset < later.base_offset, "offsets rise");
            assert!(earlier.append_time <= later.append_time, "append times never fall");
            let entry = |held: &Held| (held.pointer.term, held.pointer.index);
            assert!(entry(earlier) <= entry(later), "batches lie in the log in the order of their offsets");
        }
        assert_eq!(self.last_run_batches == 0, self.held.is_empty(), "the last run has a batch");
        assert!(self.last_run_batches <= RUN_BATCHES_MAX.min(self.held.len()), "a run is bounded");
    }
}
