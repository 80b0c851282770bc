//! Where every retained batch lies: by offset and by time.

use weir_types::{At, Corrupt, LogIndex, Offset, Pointer, RowChange, WallClock};

use crate::batches::{Batches, Held, Section};
use crate::limits::RUN_BATCHES_MAX;
use crate::rows::{self, CompactedBatch, CompactedRow, Key, RunBatch, RunRow};
use crate::{Append, OutOfRange, RewrittenBatch};

/// A retained batch, as a reader finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchAt {
    /// Offset of its first record. The first batch of a reader may begin before the offset it asked for.
    pub base_offset: Offset,
    /// Where the next batch begins, or the end of the stream. All offsets up to here that are not in this batch, nor in
    /// one before it, are gone.
    pub next_offset: Offset,
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
/// below the start may be left: they count as held, but no reader sees them. Compaction replaces runs by others, which have
/// rows of another kind; see [`Batches`] for the sections that it makes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Index {
    start: Offset,
    end: Offset,
    held: Batches,
    /// Batches of the last run: the ones at the back of `held` that share a row.
    last_run_batches: usize,
}

/// No stream gets there: 63 bits, as in the record batch.
const OFFSET_MAX: Offset = Offset(i64::MAX as u64);

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
        self.held.bytes()
    }

    pub(crate) fn batches(&self) -> &Batches {
        &self.held
    }

    pub(crate) fn retained_from(&self) -> Option<LogIndex> {
        self.held.lowest_index()
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
        rows::put_again(changes, self.run_change(run_start, self.last_run_batches));
        Ok(base_offset)
    }

    fn continues_last_run(&self, pointer: Pointer) -> bool {
        let same_entry = self.held.back().is_some_and(|last| last.pointer.index == pointer.index);
        same_entry && self.last_run_batches < RUN_BATCHES_MAX
    }

    fn push(&mut self, held: Held, count: u32) {
        self.held.push(held);
        self.last_run_batches += 1;
        self.end = self.end + u64::from(count);
    }

    /// The oldest run, if a batch is held.
    pub(crate) fn front_run(&self) -> Option<FrontRun> {
        let first = self.held.get(0)?;
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
        let run =
            |place: usize| self.held.get(place).map(|held| (self.held.section(place), held.pointer.index));
        let first = run(place);
        (place..self.held.len()).take(RUN_BATCHES_MAX).take_while(|place| run(*place) == first).count()
    }

    /// Whether an entry's batches, or those of a section, begin at `place`. The end counts too.
    fn begins_entry(&self, place: usize) -> bool {
        let Some(before) = place.checked_sub(1) else { return true };
        let run =
            |place: usize| self.held.get(place).map(|held| (self.held.section(place), held.pointer.index));
        run(before) != run(place)
    }

    /// Drops the oldest run and its row.
    pub(crate) fn retire_front_run(&mut self, run: FrontRun, changes: &mut Vec<RowChange>) {
        debug_assert_eq!(self.front_run(), Some(run));
        let key = self.run_key(0);
        self.held.drop_front(run.batches);
        self.last_run_batches = self.last_run_batches.min(self.held.len());
        changes.push(rows::delete(&key));
    }

    fn run_key(&self, place: usize) -> Key {
        let base_offset = self.base_offset_at(place);
        match self.held.section(place) {
            Section::Rewritten | Section::Clean => Key::Compacted(base_offset),
            Section::Dirty => Key::Run(base_offset),
        }
    }

    /// Where the compaction of the next entries would begin and end: at the first batch that the pass that runs has not
    /// written, and before the first entry that is not wholly below `horizon`, or beyond both bounds. None when there is
    /// nothing to do. How many batches it is, too.
    pub(crate) fn next_to_rewrite(
        &self,
        horizon: Offset,
        (batches_max, bytes_max): (usize, u64),
    ) -> Option<(Offset, Offset, Vec<BatchAt>)> {
        let first = self.held.rewritten();
        let mut bytes = 0;
        let mut chosen = Vec::new();
        for place in first..self.held.len() {
            let batch = self.batch_at(place);
            let over = chosen.len() >= batches_max || bytes >= bytes_max;
            if batch.base_offset >= horizon || (over && self.begins_entry(place)) {
                break;
            }
            bytes += u64::from(batch.pointer.length);
            chosen.push(batch);
        }
        let (from, last) = (chosen.first()?.base_offset, chosen.last()?);
        Some((from, last.next_offset, chosen))
    }

    /// The first offset of a whole entry at or below `horizon`, below the newest entry; the least that compaction leaves.
    pub(crate) fn horizon(&self, appended_by: WallClock) -> Offset {
        let newest = self.held.back().map(|held| held.pointer.index);
        let mut place = self.held.partition_point(|held| held.append_time <= appended_by);
        while place > self.held.dirty_from()
            && (!self.begins_entry(place)
                || self.held.get(place - 1).map(|held| held.pointer.index) == newest)
        {
            place -= 1;
        }
        self.base_offset_at(place)
    }

    /// Whether compaction may go up to `offset` in one pass: a whole entry begins there, and one more is behind it.
    pub(crate) fn may_be_horizon(&self, offset: Offset) -> bool {
        let place = self.held.partition_point(|held| held.base_offset < offset);
        (self.held.dirty_from()..self.held.len()).contains(&place)
            && self.base_offset_at(place) == offset
            && self.begins_entry(place)
    }

    /// Bytes of the batches from a place on up to `to`, counted up to about `enough`.
    pub(crate) fn bytes_between(&self, from: usize, to: Offset, enough: u64) -> u64 {
        let mut bytes = 0;
        for held in self.held.iter_from(from).take_while(|held| held.base_offset < to) {
            bytes += u64::from(held.pointer.length);
            if bytes >= enough {
                break;
            }
        }
        bytes
    }

    /// The first offset that the pass that runs has not gone over; the end when it has gone over all.
    pub(crate) fn rewritten_before(&self) -> Offset {
        self.base_offset_at(self.held.rewritten())
    }

    /// What a rewrite replaces: how many batches from the first that the pass has not written up to `to`; none when they do
    /// not begin at `from`, or an entry does not end at `to`.
    pub(crate) fn to_replace(&self, from: Offset, to: Offset) -> Option<usize> {
        let first = self.held.rewritten();
        let end = self.held.partition_point(|held| held.base_offset < to);
        let exact = first < end
            && self.base_offset_at(first) == from
            && self.base_offset_at(end) == to
            && end < self.held.len()
            && self.begins_entry(end);
        exact.then(|| end - first)
    }

    /// Whether the entry has written batches of the pass that runs before.
    pub(crate) fn was_rewritten_by(&self, index: LogIndex) -> bool {
        let last = self.held.rewritten().checked_sub(1).and_then(|place| self.held.get(place));
        last.is_some_and(|held| held.pointer.index == index)
    }

    /// Replaces as many batches, as [`to_replace`](Self::to_replace) counted, by those that compaction leaves of them, and
    /// their rows.
    pub(crate) fn rewrite(
        &mut self,
        at: At,
        count: usize,
        rewritten: &[RewrittenBatch],
        changes: &mut Vec<RowChange>,
    ) {
        let first = self.held.rewritten();
        let mut place = first;
        while place < first + count {
            changes.push(rows::delete(&self.run_key(place)));
            place += self.run_batches(place);
        }
        let append_time = |offset: Offset| {
            let after = self.held.partition_point(|held| held.base_offset <= offset);
            self.held.get(after - 1).map_or(at.wall_clock, |held| held.append_time)
        };
        let new: Vec<Held> = rewritten
            .iter()
            .map(|batch| Held {
                base_offset: batch.base_offset,
                append_time: append_time(batch.last_offset),
                max_timestamp_ms: batch.max_timestamp_ms,
                pointer: Pointer {
                    term: at.term,
                    index: at.index,
                    position: batch.position,
                    length: batch.length,
                },
            })
            .collect();
        self.held.drop_next(count);
        for held in new {
            self.held.push_rewritten(held);
        }
        let mut place = first;
        while place < self.held.rewritten() {
            let batches = self.run_batches(place);
            changes.push(self.run_change(place, batches));
            place += batches;
        }
    }

    /// What the pass that runs has written, up to `to`, is clean.
    pub(crate) fn finish_pass(&mut self, to: Offset) {
        self.held.finish_pass(to);
    }

    /// Before any run is restored: where the clean section ends.
    pub(crate) fn restore_clean_to(&mut self, clean_to: Offset) {
        self.held.restore_clean_to(clean_to);
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

    /// Where the batch of `offset` stands, or the one before it when compaction has taken it out; the length of `held` for
    /// the end.
    fn place_of(&self, offset: Offset) -> Result<usize, OutOfRange> {
        if offset < self.start || offset > self.end {
            return Err(OutOfRange { offset, start: self.start, end: self.end });
        }
        if offset == self.end {
            return Ok(self.held.len());
        }
        let after = self.held.partition_point(|held| held.base_offset <= offset);
        Ok(after.saturating_sub(1))
    }

    fn base_offset_at(&self, place: usize) -> Offset {
        self.held.get(place).map_or(self.end, |held| held.base_offset)
    }

    fn batch_at(&self, place: usize) -> BatchAt {
        let Held { base_offset, append_time, max_timestamp_ms, pointer } =
            *self.held.get(place).expect("places are below the number of batches");
        BatchAt {
            base_offset,
            next_offset: self.base_offset_at(place + 1),
            append_time,
            max_timestamp_ms,
            pointer,
        }
    }

    /// The change that writes the row of the run that begins at `first`.
    fn run_change(&self, first: usize, batches: usize) -> RowChange {
        let key = self.run_key(first);
        let of_run = (first..first + batches).map(|place| self.batch_at(place));
        let BatchAt { pointer, append_time, .. } = self.batch_at(first);
        if let Key::Compacted(_) = key {
            let batches = of_run.map(|batch| CompactedBatch {
                base_offset: batch.base_offset,
                append_time: batch.append_time,
                position: batch.pointer.position,
                length: batch.pointer.length,
                max_timestamp_ms: batch.max_timestamp_ms,
            });
            let row = CompactedRow { term: pointer.term, index: pointer.index, batches: batches.collect() };
            return rows::put(&key, &row);
        }
        let batches = of_run.map(|batch| RunBatch {
            count: (batch.next_offset - batch.base_offset) as u32,
            position: batch.pointer.position,
            length: batch.pointer.length,
            max_timestamp_ms: batch.max_timestamp_ms,
        });
        let (term, index) = (pointer.term, pointer.index);
        rows::put(&key, &RunRow { term, index, append_time, batches: batches.collect() })
    }

    /// Takes a row of compaction back in. Rows come in order of offset, these before those of runs.
    pub(crate) fn restore_compacted(
        &mut self,
        base_offset: Offset,
        row: &CompactedRow,
        rewritten_to: Offset,
    ) -> Result<(), Corrupt> {
        let corrupt =
            || Corrupt(format!("compacted run at offset {base_offset} does not follow {}", self.end));
        let begins = row.batches.first().map(|batch| batch.base_offset);
        let is_clean = base_offset < self.held.clean_to();
        if !(is_clean || base_offset < rewritten_to)
            || begins != Some(base_offset)
            || row.batches.len() > RUN_BATCHES_MAX
            || base_offset < self.end
        {
            return Err(corrupt());
        }
        let is_rewritten = base_offset < rewritten_to;
        if let Some(last) = self.held.back()
            && is_rewritten == (last.base_offset < rewritten_to)
            && (last.pointer.term, last.pointer.index) > (row.term, row.index)
        {
            return Err(corrupt());
        }
        for batch in &row.batches {
            let &CompactedBatch { base_offset, append_time, position, length, max_timestamp_ms } = batch;
            let follows = self.held.back().is_none_or(|last| last.append_time <= append_time);
            if base_offset < self.end || base_offset > OFFSET_MAX || !follows {
                return Err(Corrupt(format!("compacted batch at offset {base_offset} is out of order")));
            }
            let pointer = Pointer { term: row.term, index: row.index, position, length };
            let held = Held { base_offset, append_time, max_timestamp_ms, pointer };
            if is_rewritten {
                self.held.push_rewritten(held);
            } else {
                self.held.push(held);
            }
            self.end = base_offset.next();
        }
        Ok(())
    }

    /// Takes a run's row back in. Rows come in order of offset, behind those of compaction; the first may leave a gap to
    /// those.
    pub(crate) fn restore_run(&mut self, base_offset: Offset, run: &RunRow) -> Result<(), Corrupt> {
        if base_offset > OFFSET_MAX {
            return Err(Corrupt(format!("run at offset {base_offset}, beyond {OFFSET_MAX}")));
        }
        let is_first = self.held.is_empty() || self.held.section(self.held.len() - 1) != Section::Dirty;
        if is_first && base_offset >= self.end {
            self.end = base_offset;
        }
        let entry = (run.term, run.index);
        let in_order = self.held.back().is_none_or(|last| {
            let last_entry = (last.pointer.term, last.pointer.index);
            let next_of_entry = last_entry == entry && self.last_run_batches == RUN_BATCHES_MAX;
            (is_first || last_entry < entry || next_of_entry) && last.append_time <= run.append_time
        });
        let is_dirty = base_offset >= self.held.clean_to();
        if !is_dirty
            || base_offset != self.end
            || !in_order
            || !(1..=RUN_BATCHES_MAX).contains(&run.batches.len())
        {
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

    /// Sets the start once all runs are back. Below `compacted_to`, there may be less than all.
    pub(crate) fn restore_start(&mut self, start: Offset, compacted_to: Offset) -> Result<(), Corrupt> {
        if self.held.is_empty() {
            self.end = start;
        } else if self.held.section(self.held.len() - 1) != Section::Dirty {
            return Err(Corrupt("compaction has left no batch as it was appended".to_owned()));
        }
        if self.base_offset_at(0) > start.max(compacted_to) || start > self.end || start > OFFSET_MAX {
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
            all.push(self.run_change(place, batches));
            place += batches;
        }
        if self.start > Offset(0) {
            all.push(rows::put(&Key::Start, &self.start));
        }
        all
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self, compacted_to: Offset) {
        assert!(self.start <= self.end, "the start lies at or before the end");
        let from = self.start.max(compacted_to);
        assert!(self.base_offset_at(0) <= from, "every record from the start on is held, or was compacted");
        let last = self.held.len().checked_sub(1).map(|place| self.held.section(place));
        assert!(last.is_none_or(|last| last == Section::Dirty), "the newest batch is as it was appended");
        self.held.check_invariants();
        assert_eq!(self.last_run_batches == 0, self.held.is_empty(), "the last run has a batch");
        assert!(self.last_run_batches <= RUN_BATCHES_MAX.min(self.held.len()), "a run is bounded");
    }
}
