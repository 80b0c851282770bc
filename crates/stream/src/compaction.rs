//! How far compaction is: which records it has gone over, and which of them it may take out.
//!
//! Compaction goes in passes, each over everything from the start to a *horizon*, in steps that replace whole entries by
//! what is left of them. Its leader reads the records and decides; here is what every replica remembers of it, so that
//! another leader can go on, and what every replica checks.

use serde::{Deserialize, Serialize};
use weir_types::{At, Compaction as Policy, Corrupt, Offset, RowChange, WallClock};

use crate::index::Index;
use crate::rows::{self, Key};
use crate::{BatchAt, Rewrite};

/// What is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Compaction {
    /// Passes that have begun.
    pub(crate) passes: u64,
    /// The one that runs.
    pub(crate) running: Option<Pass>,
    /// Below, passes that are over have left one record of each key at most.
    pub(crate) clean_to: Offset,
    /// Keys without a value that the last pass has left.
    tombstones: u64,
    /// What tombstones that are due have waited for.
    settled: Option<Settled>,
}

/// A pass that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pass {
    /// Where it ends.
    pub(crate) horizon: Offset,
    /// It has written everything below anew.
    pub(crate) rewritten_to: Offset,
    /// Tombstones below may go.
    tombstones_below: Offset,
    /// Tombstones that it has left so far.
    tombstones: u64,
}

/// Tombstones whose older records are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Settled {
    below: Offset,
    at: WallClock,
}

/// What the leader is to rewrite next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToRewrite {
    /// Number of the pass.
    pub pass: u64,
    /// The start of the stream: a rewrite that was made before it moved does not count.
    pub start: Offset,
    /// Of the first of the batches.
    pub from: Offset,
    /// Behind the last of them.
    pub to: Offset,
    /// Where the pass ends.
    pub horizon: Offset,
    /// A tombstone below is taken out.
    pub tombstones_below: Offset,
    /// The batches.
    pub batches: Vec<BatchAt>,
}

/// A pass that is worth its while, or runs already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassAhead {
    /// Its number.
    pub pass: u64,
    /// Records from here on may have replaced others: below, there is one of each key.
    pub dirty_from: Offset,
    /// Where it ends. One that has not begun may end earlier, where an entry begins.
    pub horizon: Offset,
    /// Whether it has begun, so that its end is fixed.
    pub begun: bool,
}

impl Compaction {
    /// The pass that runs, or that is worth its while: as many bytes are dirty as were left by the last one, and more than
    /// a few, or tombstones are due.
    pub(crate) fn ahead(
        &self,
        policy: Policy,
        index: &Index,
        now: WallClock,
        dirty_min: u64,
    ) -> Option<PassAhead> {
        if !policy.enabled {
            return None;
        }
        if let Some(Pass { horizon, rewritten_to, .. }) = self.running {
            let dirty_from = self.clean_to.max(rewritten_to);
            return Some(PassAhead { pass: self.passes, dirty_from, horizon, begun: true });
        }
        let batches = index.batches();
        let dirty_min = dirty_min.max(batches.compacted_bytes());
        let tombstones = self.tombstones > 0 && self.tombstones_below(policy, now) > Offset(0);
        if batches.dirty_bytes() < dirty_min && !tombstones {
            return None;
        }
        let appended_by = WallClock(now.0.saturating_sub(policy.after_ms));
        let horizon = index.horizon(appended_by);
        let dirty = index.bytes_between(batches.dirty_from(), horizon, dirty_min);
        let pays = dirty >= dirty_min || tombstones;
        let dirty_from = self.clean_to.max(index.start());
        pays.then_some(PassAhead { pass: self.passes + 1, dirty_from, horizon, begun: false })
    }

    /// Below which tombstones may go in a pass that begins now.
    fn tombstones_below(&self, policy: Policy, now: WallClock) -> Offset {
        let due = self.settled.filter(|settled| settled.at + policy.tombstone_ms <= now);
        due.map_or(Offset(0), |settled| settled.below)
    }

    /// When tombstones are due.
    pub(crate) fn tombstones_due(&self, policy: Policy) -> Option<WallClock> {
        let settled = self.settled.filter(|_| policy.enabled && self.tombstones > 0)?;
        Some(settled.at + policy.tombstone_ms)
    }

    pub(crate) fn next(
        &self,
        policy: Policy,
        index: &Index,
        now: WallClock,
        (horizon, bounds): (Offset, (usize, u64)),
    ) -> Option<ToRewrite> {
        let (pass, horizon, tombstones_below) = match self.running {
            Some(pass) => (self.passes, pass.horizon, pass.tombstones_below),
            None => (self.passes + 1, horizon, self.tombstones_below(policy, now)),
        };
        let (from, to, batches) = index.next_to_rewrite(horizon, bounds)?;
        let start = index.start();
        Some(ToRewrite { pass, start, from, to, horizon, tombstones_below, batches })
    }

    /// Whether a step is the next one; nothing changes.
    pub(crate) fn judge(&self, policy: Policy, index: &Index, at: At, step: &Rewrite) -> bool {
        let fits = match self.running {
            Some(pass) => {
                step.pass == self.passes
                    && step.horizon == pass.horizon
                    && step.tombstones_below == pass.tombstones_below
            }
            None => {
                step.pass == self.passes + 1
                    && index.may_be_horizon(step.horizon)
                    && [Offset(0), self.tombstones_below(policy, at.wall_clock)]
                        .contains(&step.tombstones_below)
            }
        };
        policy.enabled && fits && step.start == index.start() && step.to <= step.horizon
    }

    /// A step was taken.
    pub(crate) fn took(&mut self, step: &Rewrite, changes: &mut Vec<RowChange>) {
        let begun = self.running.map_or(0, |pass| pass.tombstones);
        self.passes = step.pass;
        self.running = Some(Pass {
            horizon: step.horizon,
            rewritten_to: step.to,
            tombstones_below: step.tombstones_below,
            tombstones: begun.saturating_add(u64::from(step.tombstones)),
        });
        self.write(changes);
    }

    /// Ends the pass when nothing is left of it, which retention may bring about too.
    pub(crate) fn finish(&mut self, index: &mut Index, now: WallClock, changes: &mut Vec<RowChange>) {
        let Some(pass) = self.running.filter(|pass| index.rewritten_before() >= pass.horizon) else { return };
        index.finish_pass(pass.horizon);
        let was_due = self.settled.is_some_and(|settled| settled.below == pass.tombstones_below);
        if pass.tombstones == 0 {
            self.settled = None;
        } else if self.settled.is_none() || was_due {
            self.settled = Some(Settled { below: pass.horizon, at: now });
        }
        self.tombstones = pass.tombstones;
        self.clean_to = pass.horizon;
        self.running = None;
        self.write(changes);
    }

    /// Below, records may be missing whose key has a later one.
    pub(crate) fn compacted_to(&self) -> Offset {
        self.running.map_or(self.clean_to, |pass| pass.rewritten_to.max(self.clean_to))
    }

    /// Where the batches end that the pass that runs has written; 0 without one.
    pub(crate) fn rewritten_to(&self) -> Offset {
        self.running.map_or(Offset(0), |pass| pass.rewritten_to)
    }

    fn write(&self, changes: &mut Vec<RowChange>) {
        rows::put_again(changes, rows::put(&Key::Compaction, self));
    }

    /// Its row, unless there never was a pass.
    pub(crate) fn row(&self) -> Option<RowChange> {
        (self.passes > 0).then(|| rows::put(&Key::Compaction, self))
    }

    /// Checks what was restored against the batches.
    pub(crate) fn check_restored(&self, index: &Index) -> Result<(), Corrupt> {
        let has_end = self.running.is_none_or(|pass| {
            pass.rewritten_to < pass.horizon
                && self.clean_to <= pass.horizon
                && pass.horizon <= index.end()
                && index.rewritten_before() >= pass.rewritten_to
        });
        if !has_end || self.compacted_to() > index.end() || self.passes == u64::MAX {
            return Err(Corrupt(format!(
                "compaction is at {self:?}, and the stream ends at {}",
                index.end()
            )));
        }
        Ok(())
    }

    /// See [`Stream::check_invariants`](crate::Stream::check_invariants).
    pub(crate) fn check_invariants(&self, index: &Index) {
        assert!(self.compacted_to() <= index.end(), "compaction is within the stream");
        if let Some(pass) = self.running {
            assert!(pass.rewritten_to < pass.horizon && self.clean_to <= pass.horizon, "a pass has an end");
        }
    }
}
