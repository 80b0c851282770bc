//! Which checks there are.

use crate::{Check, Checked, Event, Findings, Options, groups, harness, liveness, queue, stream};

/// One pass over a history that answers for one check, or for several that share what they note.
pub trait Fold: Send {
    /// Takes note of the event in line `line` (from 0).
    fn observe(&mut self, line: u64, event: &Event);
    /// What each of its checks found, after the last event.
    fn finish(self: Box<Self>) -> Vec<Checked>;
}

impl<C: Check> Fold for C {
    fn observe(&mut self, line: u64, event: &Event) {
        Check::observe(self, line, event);
    }

    fn finish(self: Box<Self>) -> Vec<Checked> {
        let name = self.name().to_owned();
        let findings: Findings = Check::finish(self);
        vec![Checked { name, findings }]
    }
}

/// A share of the history's messages and values: every worker folds its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 0.
    pub index: u32,
    /// Of how many, at least 1.
    pub of: u32,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// Whether what goes by this number is in the share: neighbours fall to different shards.
    pub fn takes(self, number: u64) -> bool {
        number % u64::from(self.of) == u64::from(self.index)
    }
}

/// Checks that need the whole history in one place. The runner deals them out among its workers.
pub fn whole(options: &Options) -> Vec<Box<dyn Fold>> {
    let mut folds = queue::whole(options);
    folds.push(Box::new(stream::Streams::new(options)));
    folds.push(Box::new(groups::Groups::new(options)));
    folds.extend(liveness::whole(options));
    folds.extend(harness::whole(options));
    folds
}

/// Checks of single messages and values: each worker runs all of them on its share. Findings of the same name are put
/// together afterwards.
pub fn shared(options: &Options, shard: Shard) -> Vec<Box<dyn Fold>> {
    queue::shared(options, shard)
}
