//! Compaction in the model: it plays the leader, which alone reads records, and remembers which are left.
//!
//! Records have no bytes here: their keys follow from their offsets.

use std::collections::{BTreeMap, BTreeSet};

use weir_stream::{Command, Rejection, Reply, Rewrite, RewrittenBatch, Stream};
use weir_types::{At, Compaction, Offset, Pointer, StreamPolicy, WallClock};

use super::{Appended, Model, Step};

/// What compaction has done to the records.
#[derive(Debug, Default)]
pub(crate) struct Compacted {
    /// Offsets of the records that are left.
    left: BTreeSet<Offset>,
    /// Those that were taken out, and when.
    taken: BTreeMap<Offset, WallClock>,
    /// Where batches begin that were written anew, and where they end.
    ends: BTreeMap<Offset, Offset>,
    /// Steps that were taken: none counts twice.
    steps: Vec<Rewrite>,
    /// The last step that the leader has made, and which records it leaves.
    made: Option<(Rewrite, Vec<Offset>)>,
}

/// None for a record without a key.
fn key(offset: Offset) -> Option<u64> {
    (!offset.0.is_multiple_of(11)).then_some(offset.0 * 7 % 5)
}

fn is_tombstone(offset: Offset) -> bool {
    offset.0.is_multiple_of(3) && key(offset).is_some()
}

impl Compacted {
    pub(crate) fn appended(&mut self, base: Offset, end: Offset) {
        self.ends.insert(base, end);
        self.left.extend((base.0..end.0).map(Offset));
    }

    pub(crate) fn any(&self) -> bool {
        !self.steps.is_empty()
    }

    /// Whether a batch that the stream still holds has no record from `start` on.
    pub(crate) fn ends_before(&self, base: Offset, start: Offset) -> bool {
        self.ends.get(&base).is_some_and(|end| *end <= start)
    }

    fn left_between(&self, from: Offset, to: Offset) -> Vec<Offset> {
        self.left.range(from..to).copied().collect()
    }
}

impl Model {
    /// Switches compaction on, or takes the next step, a part of it, or one that was taken before.
    pub(crate) fn compact(&mut self, at: At, step: &Step, stream: &Stream) -> Command {
        if !stream.policy().compaction.enabled || step.count == 5 && step.other.index(20) == 0 {
            let compaction = Compaction {
                enabled: step.other.index(8) > 0,
                after_ms: step.other.index(60) as u64,
                tombstone_ms: step.pick.index(300) as u64,
            };
            return Command::SetPolicy { policy: StreamPolicy { compaction, ..stream.policy().clone() } };
        }
        if step.count == 4 && self.compacted.any() {
            let again = step.pick.index(self.compacted.steps.len());
            return Command::Rewrite(self.compacted.steps[again].clone());
        }
        self.next_rewrite(at, step, stream).map_or(Command::Tick, Command::Rewrite)
    }

    fn next_rewrite(&mut self, at: At, step: &Step, stream: &Stream) -> Option<Rewrite> {
        let pass = stream.pass_ahead(at.wall_clock, 1)?;
        let next = stream.to_rewrite(at.wall_clock, pass.horizon, 1 + step.other.index(6), 1 << 20)?;
        let mut latest = BTreeMap::new();
        for offset in self.compacted.left_between(pass.dirty_from, pass.horizon) {
            latest.insert(key(offset), offset);
        }
        let stays = |offset: &Offset| {
            let is_latest =
                key(*offset).is_none() || latest.get(&key(*offset)).is_none_or(|last| last <= offset);
            is_latest && !(is_tombstone(*offset) && *offset < next.tombstones_below)
        };
        let (mut batches, mut tombstones, mut all_left) = (Vec::new(), 0, Vec::new());
        for old in &next.batches {
            let mut left = self.compacted.left_between(old.base_offset, old.next_offset);
            left.retain(stays);
            tombstones += left.iter().filter(|offset| is_tombstone(**offset)).count() as u32;
            all_left.extend(&left);
            let (Some(first), Some(last)) = (left.first(), left.last()) else { continue };
            self.position += 1;
            batches.push(RewrittenBatch {
                base_offset: *first,
                last_offset: *last,
                position: self.position,
                length: left.len() as u32 * 10,
                max_timestamp_ms: old.max_timestamp_ms,
            });
        }
        let rewrite = Rewrite {
            pass: next.pass,
            start: next.start,
            from: next.from,
            to: next.to,
            horizon: next.horizon,
            tombstones_below: next.tombstones_below,
            tombstones,
            batches,
        };
        self.compacted.made = Some((rewrite.clone(), all_left));
        Some(rewrite)
    }

    pub(crate) fn check_rewrite(
        &mut self,
        at: At,
        step: &Rewrite,
        answer: &Result<Reply, Rejection>,
        before: &Stream,
        after: &Stream,
    ) {
        if answer.is_err() {
            assert_eq!(*answer, Err(Rejection::RewriteRaced));
            return;
        }
        assert!(!self.compacted.steps.contains(step), "no step is taken twice");
        self.compacted.steps.push(step.clone());
        let within = |batch: &Appended| (step.from..step.to).contains(&batch.base_offset);
        let (old, mut kept): (Vec<Appended>, Vec<Appended>) = self.appended.iter().copied().partition(within);
        let (made, left) = self.compacted.made.take().unwrap();
        assert_eq!(made, *step, "a step counts only when nothing has changed since it was made");
        for batch in &step.batches {
            let source = old.iter().rev().find(|old| old.base_offset <= batch.last_offset).unwrap();
            let (end, RewrittenBatch { position, length, .. }) = (batch.last_offset.next(), *batch);
            kept.push(Appended {
                append: source.append,
                base_offset: batch.base_offset,
                end,
                pointer: Pointer { term: at.term, index: at.index, position, length },
                append_time: source.append_time,
            });
            self.compacted.ends.insert(batch.base_offset, end);
        }
        kept.sort_by_key(|batch| batch.base_offset);
        self.appended = kept;
        self.take_out(at, step, &left, before.policy().compaction.tombstone_ms);
        let is_over = after.pass_ahead(at.wall_clock, 1).is_none_or(|pass| !pass.begun);
        if is_over && step.to == step.horizon {
            // Retention may have gone beyond the pass in the same step.
            let start = after.start_offset().min(step.horizon);
            let clean = self.compacted.left_between(start, step.horizon);
            let mut keys: Vec<_> = clean.into_iter().filter_map(key).collect();
            let count = keys.len();
            keys.sort_unstable();
            keys.dedup();
            assert_eq!(keys.len(), count, "a pass leaves one record of each key");
        }
    }

    /// What a step has not left is taken out: nothing but what a later record replaces, and tombstones in time.
    fn take_out(&mut self, at: At, step: &Rewrite, left: &[Offset], tombstone_ms: u64) {
        let latest: BTreeMap<_, _> =
            self.compacted.left.iter().map(|offset| (key(*offset), *offset)).collect();
        for offset in self.compacted.left_between(step.from, step.to) {
            if left.contains(&offset) {
                continue;
            }
            let is_replaced = key(offset).is_some() && latest[&key(offset)] > offset;
            assert!(is_replaced || is_tombstone(offset), "record {offset} is the last of its key");
            if !is_replaced {
                let older = self.compacted.taken.range(..offset).filter(|(old, _)| key(**old) == key(offset));
                for (old, when) in older {
                    assert!(*when + tombstone_ms <= at.wall_clock, "{offset} goes too soon after {old}");
                }
            }
            self.compacted.left.remove(&offset);
            self.compacted.taken.insert(offset, at.wall_clock);
        }
    }
}
