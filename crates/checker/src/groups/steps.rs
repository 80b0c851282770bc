//! G3: a commit and the record that goes with it happen together, or neither does; and no record is handled in two steps.
//!
//! A step's record is the witness that the step happened. So is a step that begins where it ends.

use std::collections::BTreeMap;

use super::register::{Act, Deed};
use super::{OVERLAPPING_STEPS, TORN_STEP, anomaly};
use crate::appended::Appended;
use crate::{Findings, Outcome, Value};

/// One step, with all its tries.
struct Step {
    /// The stream that its record belongs to.
    stream: String,
    /// Where it begins; None before the group's first commit.
    from: Option<u64>,
    /// Where it ends.
    offset: u64,
    tries: Vec<(Act, Outcome)>,
}

/// The steps of one group in one partition, by the record that goes with each.
#[derive(Default)]
pub(super) struct Steps(BTreeMap<Value, Step>);

impl Step {
    fn succeeded(&self) -> Option<&Act> {
        self.tries.iter().find(|(_, outcome)| *outcome == Outcome::Ok).map(|(act, _)| act)
    }

    fn may_have_happened(&self) -> bool {
        self.tries.iter().any(|(_, outcome)| *outcome != Outcome::Fail)
    }

    /// What shows that it happened.
    fn proof<'a>(&'a self, value: Value, appended: &'a Appended<Act>) -> Option<&'a Act> {
        self.succeeded().or_else(|| appended.first_seen(value).filter(|_| self.may_have_happened()))
    }
}

impl Steps {
    pub(super) fn note(
        &mut self,
        value: Value,
        stream: &str,
        (from, offset): (Option<u64>, u64),
        tried: (Act, Outcome),
    ) {
        let new = || Step { stream: stream.to_owned(), from, offset, tries: Vec::new() };
        self.0.entry(value).or_insert_with(new).tries.push(tried);
    }

    pub(super) fn judge(
        &self,
        acts: &[Act],
        appended: &Appended<Act>,
        about: (&str, &str),
        found: &mut Findings,
    ) {
        let absent = |(value, step): (&Value, &Step)| appended.is_absent(&step.stream, *value);
        let mut happened = Vec::new();
        for (value, step) in &self.0 {
            let Some(proof) = step.proof(*value, appended) else { continue };
            happened.push((step.from.unwrap_or(0), step.offset, *value, proof));
            if absent((value, step)) {
                let text =
                    format!("the step to {} succeeded, and its record {value} is not there", step.offset);
                found.add(anomaly(TORN_STEP, about, text, &[proof]));
            }
            if let Some(before) = self.lost_before(step, acts, absent) {
                let text = format!(
                    "a step begins at {}, which only a step without its record can have committed",
                    before.offset
                );
                let (first, _) = before.tries.first().expect("a step was tried");
                found.add(anomaly(TORN_STEP, about, text, &[first, proof]));
            }
        }
        happened.sort_unstable_by_key(|(from, offset, value, _)| (*from, *offset, *value));
        for (earlier, later) in happened.iter().zip(happened.iter().skip(1)) {
            if later.0 < earlier.1 {
                let text = format!(
                    "records {} to {} were handled in a step with {} and in one with {}",
                    later.0,
                    earlier.1.min(later.1),
                    earlier.2,
                    later.2
                );
                found.add(anomaly(OVERLAPPING_STEPS, about, text, &[earlier.3, later.3]));
            }
        }
    }

    /// A step that must have happened, as the other one begins where it ends, and whose record is not there.
    fn lost_before(
        &self,
        step: &Step,
        acts: &[Act],
        absent: impl Fn((&Value, &Step)) -> bool,
    ) -> Option<&Step> {
        let from = step.from?;
        let ends = |(_, other): &(&Value, &Step)| other.offset == from && other.may_have_happened();
        let mut candidates = self.0.iter().filter(ends).peekable();
        candidates.peek()?;
        // Steps are among the commits: one more than those is a plain one.
        let commits =
            acts.iter().filter(|act| matches!(act.deed, Deed::Commit { offset, .. } if offset == from));
        let of_steps: usize = candidates.clone().map(|(_, other)| other.uncertain_tries()).sum();
        if commits.count() > of_steps {
            return None;
        }
        let first = candidates.peek().map(|(_, other)| *other);
        if candidates.all(absent) { first } else { None }
    }
}

impl Step {
    /// Tries that stand among the commits.
    fn uncertain_tries(&self) -> usize {
        self.tries.iter().filter(|(_, outcome)| *outcome != Outcome::Fail).count()
    }
}
