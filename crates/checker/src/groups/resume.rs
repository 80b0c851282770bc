//! G2: where the owners of one partition in a group begin to read, and go on. Who reads in the name of a group that has not
//! assigned it the partition owns nothing, and may read what it likes. Messages are skipped only if they were there: a
//! later read of the partition must show that retention had not dropped them.

use std::collections::{BTreeMap, BTreeSet};

use super::register::{Act, Deed, epochs};
use super::{SKIPPED_MESSAGES, STALE_RESUME, ZOMBIE_POLL, anomaly};
use crate::{Consumer, Findings, Micros};

/// A poll of an owner.
#[derive(Clone, Copy, Debug)]
pub(super) struct Poll {
    pub(super) consumer: Consumer,
    pub(super) epoch: u64,
    /// The offset that was asked for.
    pub(super) asked: u64,
    /// The offset after the last record that came.
    pub(super) next: Option<u64>,
    /// It was refused, as the offset is not retained any more: the owner may go on anywhere.
    pub(super) trimmed: bool,
}

/// Offsets of one partition that were seen to be retained, and when the look at them began. What is retained at a time was
/// retained before, and so is everything behind it.
#[derive(Default)]
pub(super) struct Retained(Vec<(Micros, u64)>);

impl Retained {
    /// An offset is retained.
    pub(super) fn sees(&mut self, offset: u64, from: Micros) {
        while self.0.last().is_some_and(|(before, other)| *before <= from && *other >= offset) {
            self.0.pop();
        }
        self.0.push((from, offset));
    }

    /// The lowest offset that was surely retained when an operation began.
    fn when(&self, act: &Act) -> Option<u64> {
        self.0.iter().filter(|(from, _)| *from >= act.from).map(|(_, offset)| *offset).min()
    }

    /// Whether something from `next` on and before `asked` was retained when an operation began.
    fn between(retained: Option<&Self>, (next, asked): (u64, u64), act: &Act) -> bool {
        let lowest = retained.and_then(|retained| retained.when(act));
        lowest.is_some_and(|lowest| lowest.max(next) < asked)
    }
}

/// An owner under one epoch.
struct Owner {
    epoch: u64,
    consumer: Consumer,
    /// Its first poll.
    first: (Poll, Act),
    /// The next offset it must ask for, if it goes on; none after it was told that it is not retained.
    next: Option<u64>,
    /// How far it had read, under this epoch or another, before the first poll.
    read_before: Option<u64>,
}

/// The polls of one group in one partition.
#[derive(Default)]
pub(super) struct Resume {
    owners: Vec<Owner>,
    /// How far each consumer has read.
    read: BTreeMap<Consumer, u64>,
    /// For each epoch, the poll that began last among those that were served.
    last: BTreeMap<u64, Act>,
    /// Polls that asked for more than the next offset: the poll, and that offset.
    leaps: Vec<(Poll, Act, u64)>,
}

impl Resume {
    /// An owner asked, and was answered or not.
    pub(super) fn polled(&mut self, poll: Poll, act: Act, served: bool) {
        let Poll { consumer, epoch, asked, next, trimmed } = poll;
        let goes_on = if trimmed { None } else { Some(next.unwrap_or(asked)) };
        if served && self.last.get(&epoch).is_none_or(|last| last.from < act.from) {
            self.last.insert(epoch, act);
        }
        let known =
            self.owners.iter_mut().rev().find(|owner| owner.epoch == epoch && owner.consumer == consumer);
        if let Some(owner) = known {
            if let Some(next) = owner.next.filter(|next| asked > *next) {
                self.leaps.push((poll, act, next));
            }
            owner.next = goes_on.map(|next| next.max(owner.next.unwrap_or(0)));
        } else {
            let read_before = self.read.get(&consumer).copied();
            self.owners.push(Owner { epoch, consumer, first: (poll, act), next: goes_on, read_before });
        }
        if let Some(next) = next {
            let read = self.read.entry(consumer).or_default();
            *read = next.max(*read);
        }
    }

    pub(super) fn judge(
        &self,
        acts: &[Act],
        retained: Option<&Retained>,
        about: (&str, &str),
        found: &mut Findings,
    ) {
        let commits: Vec<(u64, u64, bool, &Act)> = acts
            .iter()
            .filter_map(|act| match act.deed {
                Deed::Commit { epoch, offset, certain } => Some((epoch, offset, certain, act)),
                _ => None,
            })
            .collect();
        let owned: BTreeSet<u64> = acts.iter().filter_map(Act::fences).collect();
        for owner in self.owners.iter().filter(|owner| owned.contains(&owner.epoch)) {
            judge_first(owner, &commits, retained, about, found);
        }
        for (poll, act, next) in self.leaps.iter().filter(|(poll, ..)| owned.contains(&poll.epoch)) {
            if !Retained::between(retained, (*next, poll.asked), act) {
                continue;
            }
            let text = format!(
                "an owner under epoch {} goes on at {} where {next} must come",
                poll.epoch, poll.asked
            );
            found.add(anomaly(SKIPPED_MESSAGES, about, text, &[act]));
        }
    }

    /// Owners that were served after newer ones had taken over.
    pub(super) fn zombies(&self, acts: &[Act], about: (&str, &str), found: &mut Findings) {
        let fences = epochs(acts);
        for (epoch, act) in &self.last {
            if let Some((newer, by)) = fences.before(act).filter(|(newer, _)| newer > epoch) {
                let text = format!("an owner under epoch {epoch} was served after epoch {newer} was known");
                found.add(anomaly(ZOMBIE_POLL, about, text, &[by, act]));
            }
        }
    }
}

/// Where an owner began: not behind what older ones committed, and not beyond what anybody may have committed or what
/// it had read itself.
fn judge_first(
    owner: &Owner,
    commits: &[(u64, u64, bool, &Act)],
    retained: Option<&Retained>,
    about: (&str, &str),
    found: &mut Findings,
) {
    let (Poll { epoch, asked, .. }, act) = &owner.first;
    let begun = |from: Micros| from <= act.to;
    let older = commits.iter().filter(|(by, ..)| by < epoch);
    let highest = older.filter(|(_, _, certain, _)| *certain).max_by_key(|(_, offset, ..)| *offset);
    if let Some((by, offset, _, commit)) = highest.filter(|(_, offset, ..)| offset > asked) {
        let text = format!("epoch {epoch} begins at {asked}, though epoch {by} had committed {offset}");
        found.add(anomaly(STALE_RESUME, about, text, &[commit, act]));
    }
    let possible = commits.iter().filter(|(by, _, _, commit)| by <= epoch && begun(commit.from));
    // Without any commit an owner begins where the group's policy says.
    let Some(furthest) = possible.map(|(_, offset, ..)| *offset).max() else { return };
    let furthest = furthest.max(owner.read_before.unwrap_or(0));
    if Retained::between(retained, (furthest, *asked), act) {
        let text =
            format!("epoch {epoch} begins at {asked}, and nothing beyond {furthest} can have been committed");
        found.add(anomaly(SKIPPED_MESSAGES, about, text, &[act]));
    }
}
