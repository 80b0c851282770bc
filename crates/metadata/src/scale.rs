//! The steps that bring a topic to so many partitions: the widest are split in the middle, or the narrowest neighbours
//! merged.
//!
//! Which they are is found by doing it on paper, one after the other to the end. A partition that comes up by its own is a
//! step of now. One that comes up as the child of another step, or is still coming, waits for a later call, which comes to
//! the same as if all had been done at once.

use weir_types::limits::TOPIC_PARTITIONS_MAX;
use weir_types::{GroupId, KeyRange, TopicId};

use crate::lineage::{Reshape, Stage, halves};
use crate::output::Rejection;
use crate::registry::Registry;
use crate::topic::Partition;

/// A part of the key space, and the partition that can be split or merged there now.
#[derive(Clone, Copy)]
struct Part {
    range: KeyRange,
    group: Option<GroupId>,
}

impl Registry {
    /// The steps towards a topic with so many partitions, what is under way counted as done. None are left when it is there;
    /// as long as nothing but what is under way could be split or merged, it is refused (`reshape-in-progress`).
    pub fn scale_steps(&self, topic: TopicId, partitions: u32) -> Result<Vec<Reshape>, Rejection> {
        self.whole_topic(topic)?;
        if partitions == 0 {
            return Err(Rejection::NoPartitions);
        }
        if partitions > TOPIC_PARTITIONS_MAX {
            return Err(Rejection::TooManyPartitions { wanted: partitions, limit: TOPIC_PARTITIONS_MAX });
        }
        let mut parts = self.parts_ahead(topic);
        let (have, wanted) = (parts.len(), partitions as usize);
        let splits = (have..wanted).filter_map(|_| split_widest(&mut parts)).collect::<Vec<_>>();
        let merges = (wanted..have).filter_map(|_| merge_narrowest(&mut parts));
        let steps: Vec<Reshape> = splits.into_iter().chain(merges).collect();
        let coming = || self.all_partitions(topic).find(|p| self.stage(p.group) == Stage::Coming);
        match coming().filter(|_| steps.is_empty() && have != wanted) {
            Some(partition) => Err(Rejection::ReshapeInProgress { group: partition.group }),
            None => Ok(steps),
        }
    }

    /// How the keys are parted when everything that is under way is done, in order of keys.
    fn parts_ahead(&self, topic: TopicId) -> Vec<Part> {
        let part = |partition: &Partition| {
            let open = self.stage(partition.group) == Stage::Open;
            Part { range: partition.range, group: open.then_some(partition.group) }
        };
        let mut parts: Vec<Part> = self.partitions_ahead(topic).map(part).collect();
        parts.sort_by_key(|part| part.range.first());
        parts
    }
}

/// Splits the widest part, the first of equals; the step, if it can be taken now.
fn split_widest(parts: &mut Vec<Part>) -> Option<Reshape> {
    let widest = (0..parts.len()).rev().max_by_key(|at| width(&parts[*at]))?;
    let Part { range, group } = parts[widest];
    let [left, right] = halves(range, None).ok()?;
    let halves = [left, right].map(|range| Part { range, group: None });
    parts.splice(widest..=widest, halves);
    group.map(|parent| Reshape::Split { parent, at: None })
}

/// Merges the two neighbours that are the narrowest together, the first of equals; the step, if it can be taken now.
fn merge_narrowest(parts: &mut Vec<Part>) -> Option<Reshape> {
    let last = parts.len().checked_sub(1)?;
    let narrowest = (0..last).min_by_key(|at| width(&parts[*at]) + width(&parts[at + 1]))?;
    let (left, right) = (parts[narrowest], parts[narrowest + 1]);
    let range = KeyRange::new(left.range.first(), right.range.last())?;
    parts.splice(narrowest..=narrowest + 1, [Part { range, group: None }]);
    Some(Reshape::Merge { left: left.group?, right: right.group? })
}

/// How many key hashes there are in it.
fn width(part: &Part) -> u64 {
    u64::from(part.range.last().0 - part.range.first().0) + 1
}
