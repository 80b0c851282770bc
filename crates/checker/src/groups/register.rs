//! G1: the committed position of one group in one partition, as a register that an epoch fences.
//!
//! The state is the epoch and the offset, and both only rise:
//!
//! ```text
//! commit(e, x) ok      epoch ≤ e and offset ≤ x, and then epoch = e, offset = x
//! commit(e, x) info    the same, or nothing, ever
//! fence(e)             epoch = max(epoch, e), at some time before it was over
//! position             = offset; none before the first commit
//! ```
//!
//! Since both only rise, what two operations prove of each other is easy to name, and those names come first. Whether
//! all operations together have an explanation is decided by a search, which is complete.

use std::collections::BTreeMap;

use super::search::{self, Outcome};
use super::{COMMIT_REGRESS, PHANTOM_POSITION, UNEXPLAINED_POSITION, ZOMBIE_COMMIT, anomaly};
use crate::{Findings, Micros};

/// What an operation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    /// Fenced lower epochs.
    Fence(u64),
    /// Committed, or may have.
    Commit { epoch: u64, offset: u64, certain: bool },
    /// Read the position.
    Position(Option<u64>),
    /// Read records.
    Poll,
}

/// One operation.
#[derive(Clone, Copy, Debug)]
pub(super) struct Act {
    pub(super) line: u64,
    pub(super) from: Micros,
    /// The end of time if it never was over.
    pub(super) to: Micros,
    pub(super) deed: Deed,
}

impl Act {
    /// The epoch that it fenced in, if it is a fence.
    pub(super) fn fences(&self) -> Option<u64> {
        if let Deed::Fence(epoch) = self.deed { Some(epoch) } else { None }
    }
}

/// What is known of one register.
#[derive(Default)]
pub(super) struct Register(Vec<Act>);

/// What was known of something that only rises: the highest until a time, and who knew it.
pub(super) struct Rises<'a, T>(Vec<(Micros, T, &'a Act)>);

impl<'a, T: Copy + Ord> Rises<'a, T> {
    pub(super) fn of(known: impl Iterator<Item = (T, &'a Act)>) -> Self {
        let mut all: Vec<_> = known.map(|(value, act)| (act.to, value, act)).collect();
        all.sort_by_key(|(to, value, _)| (*to, *value));
        let mut highest = Vec::new();
        for (to, value, act) in all {
            if highest.last().is_none_or(|(_, last, _)| *last < value) {
                highest.push((to, value, act));
            }
        }
        Self(highest)
    }

    /// The highest that was known before the operation began.
    pub(super) fn before(&self, act: &Act) -> Option<(T, &'a Act)> {
        let count = self.0.partition_point(|(to, ..)| *to < act.from);
        count.checked_sub(1).map(|last| (self.0[last].1, self.0[last].2))
    }
}

impl Register {
    pub(super) fn note(&mut self, act: Act) {
        self.0.push(act);
    }

    pub(super) fn acts(&self) -> &[Act] {
        &self.0
    }

    pub(super) fn judge(&self, states_max: usize, about: (&str, &str), found: &mut Findings) {
        let before = found.anomalies.len() as u64 + found.more;
        self.fenced(about, found);
        self.rises(about, found);
        self.follows_epochs(about, found);
        self.committed(about, found);
        if found.anomalies.len() as u64 + found.more > before {
            return;
        }
        match search::explain(&self.0, states_max) {
            Outcome::Explained => {}
            Outcome::Unexplained(act) => {
                let text = "no order of the operations explains what this one was told".to_owned();
                found.add(anomaly(UNEXPLAINED_POSITION, about, text, &[&act]));
            }
            Outcome::GaveUp => {
                found
                    .unknown
                    .push(format!("{} {}: the search visited {states_max} states", about.0, about.1));
            }
        }
    }

    /// Commits that were answered with yes.
    fn commits(&self) -> impl Iterator<Item = (u64, u64, &Act)> {
        self.0.iter().filter_map(|act| match act.deed {
            Deed::Commit { epoch, offset, certain: true } => Some((epoch, offset, act)),
            _ => None,
        })
    }

    fn fenced(&self, about: (&str, &str), found: &mut Findings) {
        let fences = epochs(&self.0);
        for (epoch, offset, act) in self.commits() {
            if let Some((newer, by)) = fences.before(act).filter(|(newer, _)| *newer > epoch) {
                let text = format!(
                    "a commit of {offset} under epoch {epoch} succeeded after epoch {newer} was known"
                );
                found.add(anomaly(ZOMBIE_COMMIT, about, text, &[by, act]));
            }
        }
    }

    fn rises(&self, about: (&str, &str), found: &mut Findings) {
        let offset = |act: &Act| match act.deed {
            Deed::Commit { offset, certain: true, .. } => Some(Some(offset)),
            Deed::Position(offset) => Some(offset),
            _ => None,
        };
        let known = Rises::of(self.0.iter().filter_map(|act| Some((offset(act)?, act))));
        for act in &self.0 {
            let Some(offset) = offset(act) else { continue };
            if let Some((higher, by)) = known.before(act).filter(|(higher, _)| *higher > offset) {
                let text = format!("{} after {} was known", words(act, offset), shown(higher));
                found.add(anomaly(COMMIT_REGRESS, about, text, &[by, act]));
            }
        }
    }

    /// A commit of a newer owner is not behind one of an older owner, whenever they were.
    fn follows_epochs(&self, about: (&str, &str), found: &mut Findings) {
        let mut commits: Vec<_> = self.commits().collect();
        commits.sort_by_key(|(epoch, offset, act)| (*epoch, *offset, act.line));
        let mut highest: Option<(u64, u64, &Act)> = None;
        for (epoch, offset, act) in commits {
            if let Some((older, higher, by)) =
                highest.filter(|(older, higher, _)| *older < epoch && *higher > offset)
            {
                let text = format!(
                    "a commit of {offset} under epoch {epoch}, though epoch {older} committed {higher}"
                );
                // One that was over before the other began is reported already.
                if by.to >= act.from && act.to >= by.from {
                    found.add(anomaly(COMMIT_REGRESS, about, text, &[by, act]));
                }
            }
            if highest.is_none_or(|(_, higher, _)| higher <= offset) {
                highest = Some((epoch, offset, act));
            }
        }
    }

    fn committed(&self, about: (&str, &str), found: &mut Findings) {
        let mut first = BTreeMap::new();
        for act in &self.0 {
            if let Deed::Commit { offset, .. } = act.deed {
                let from = first.entry(offset).or_insert(act.from);
                *from = act.from.min(*from);
            }
        }
        for act in &self.0 {
            let Deed::Position(Some(offset)) = act.deed else { continue };
            if first.get(&offset).is_none_or(|from| *from > act.to) {
                let text = format!("the position is {offset}, which nobody had committed");
                found.add(anomaly(PHANTOM_POSITION, about, text, &[act]));
            }
        }
    }
}

/// What was known of the epoch.
pub(super) fn epochs(acts: &[Act]) -> Rises<'_, u64> {
    Rises::of(acts.iter().filter_map(|act| match act.deed {
        Deed::Fence(epoch) | Deed::Commit { epoch, certain: true, .. } => Some((epoch, act)),
        _ => None,
    }))
}

fn words(act: &Act, offset: Option<u64>) -> String {
    match act.deed {
        Deed::Position(_) => format!("the position is {}", shown(offset)),
        _ => format!("a commit of {} succeeded", shown(offset)),
    }
}

fn shown(offset: Option<u64>) -> String {
    offset.map_or_else(|| "none".to_owned(), |offset| offset.to_string())
}
