//! P14. After a commit was acknowledged, nobody sees an earlier position, and no commit of an earlier one succeeds.

use std::collections::BTreeMap;

use super::Check;
use crate::{Op, Span};

/// Keeps the acknowledged commits of each partition: when each was answered, and the furthest position until then.
#[derive(Default)]
pub(super) struct CommitsNeverGoBack {
    furthest: BTreeMap<u32, Vec<(u64, u64)>>,
    violations: Vec<String>,
}

impl CommitsNeverGoBack {
    /// The furthest position whose commit was answered before `time`.
    fn before(&self, partition: u32, time: u64) -> Option<u64> {
        let commits = self.furthest.get(&partition)?;
        let count = commits.partition_point(|(answered, _)| *answered < time);
        count.checked_sub(1).map(|last| commits[last].1)
    }
}

impl Check for CommitsNeverGoBack {
    fn property(&self) -> &'static str {
        "P14 a committed group offset never goes back"
    }

    fn observe(&mut self, span: Span, op: &Op) {
        let (partition, offset) = match op {
            Op::Committed { partition, offset } => (*partition, Some(*offset)),
            Op::Position { partition, offset } => (*partition, *offset),
            _ => return,
        };
        if let Some(before) =
            self.before(partition, span.from).filter(|before| offset.is_none_or(|o| o < *before))
        {
            self.violations.push(format!("partition {partition}: {op:?} after {before} was committed"));
        }
        if let Op::Committed { offset, .. } = op {
            let commits = self.furthest.entry(partition).or_default();
            let furthest = commits.last().map_or(*offset, |(_, last)| (*last).max(*offset));
            commits.push((span.to, furthest));
        }
    }

    fn violations(&self) -> Vec<String> {
        self.violations.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::written::verdict;

    fn committed(offset: u64) -> Op {
        Op::Committed { partition: 0, offset }
    }

    fn position(offset: Option<u64>) -> Op {
        Op::Position { partition: 0, offset }
    }

    #[test]
    fn positions_that_rise_or_stay_are_fine() {
        let ops =
            [position(None), committed(3), position(Some(3)), committed(3), committed(5), position(Some(9))];
        assert_eq!(verdict(CommitsNeverGoBack::default(), &ops), 0);
    }

    #[test]
    fn partitions_are_apart() {
        let other = Op::Position { partition: 1, offset: None };
        assert_eq!(verdict(CommitsNeverGoBack::default(), &[committed(3), other]), 0);
    }

    #[test]
    fn a_position_behind_a_commit_is_found() {
        assert_eq!(verdict(CommitsNeverGoBack::default(), &[committed(3), position(Some(2))]), 1);
        assert_eq!(verdict(CommitsNeverGoBack::default(), &[committed(3), position(None)]), 1);
    }

    #[test]
    fn a_stale_commit_that_succeeds_is_found() {
        assert_eq!(
            verdict(CommitsNeverGoBack::default(), &[committed(5), committed(3), position(Some(5))]),
            1
        );
    }
}
