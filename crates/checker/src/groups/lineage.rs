//! G4, promise P15: a group reads a partition only when it has handled those whose keys it took over, so that a key's
//! records keep their order whoever reads them. When an owner is given records of a child, the group must have committed
//! the end of each parent by then, or be at it.

use std::collections::BTreeMap;

use super::register::{Act, Deed};
use super::{CHILD_BEFORE_PARENT, Ownership, anomaly};
use crate::lineage::Lineage;
use crate::{Event, Findings, Op, Outcome};

/// What is known of one partition, whoever reads it.
#[derive(Clone, Copy, Debug, Default)]
struct Extent {
    start: u64,
    end: u64,
}

/// One stream.
#[derive(Default)]
struct Stream {
    lineage: Lineage,
    extents: BTreeMap<u32, Extent>,
    /// For each group, partition and epoch the poll that was the first to bring records.
    first: BTreeMap<String, BTreeMap<(u32, u64), Act>>,
}

/// All streams.
#[derive(Default)]
pub(super) struct Lines(BTreeMap<String, Stream>);

impl Lines {
    fn stream(&mut self, topic: &str) -> &mut Stream {
        if !self.0.contains_key(topic) {
            self.0.insert(topic.to_owned(), Stream::default());
        }
        self.0.get_mut(topic).expect("it was put there just now")
    }

    pub(super) fn observe(&mut self, event: &Event, act: Act) {
        let ok = event.outcome == Outcome::Ok;
        match &event.op {
            Op::Reshaped { topic, parents, children } => self.stream(topic).lineage.note(parents, children),
            Op::Append { topic, values, at: Some((partition, first)), .. } if ok => {
                self.stream(topic).reaches(*partition, first + values.len() as u64);
            }
            Op::Bounds { topic, partition, start, end } if ok => {
                let stream = self.stream(topic);
                stream.reaches(*partition, *end);
                let extent = stream.extents.entry(*partition).or_default();
                extent.start = extent.start.max(*start);
            }
            Op::Poll { topic, group, partition, records, .. } if ok => {
                let Some((last, _)) = records.last() else { return };
                let stream = self.stream(topic);
                stream.reaches(*partition, last + 1);
                if let Some((group, epoch)) = group {
                    stream.reads(group, (*partition, *epoch), act);
                }
            }
            _ => {}
        }
    }

    /// What one group did in a stream, by partition.
    pub(super) fn judge(
        &self,
        (group, topic): (&str, &str),
        ownerships: &BTreeMap<u32, Ownership>,
        found: &mut Findings,
    ) {
        let Some(Stream { lineage, extents, first }) = self.0.get(topic) else { return };
        for ((child, epoch), poll) in first.get(group).into_iter().flatten() {
            let acts = |partition: u32| ownerships.get(&partition).map_or(&[][..], |own| own.register.acts());
            if !acts(*child).iter().any(|act| act.fences() == Some(*epoch)) {
                continue;
            }
            for parent in lineage.ancestors(*child) {
                let Some(Extent { start, end }) = extents.get(&parent).copied() else { continue };
                let commits = acts(parent).iter().filter(|act| act.from <= poll.to);
                let commits = commits.filter_map(|act| match act.deed {
                    Deed::Commit { offset, .. } => Some((offset, act)),
                    _ => None,
                });
                let furthest = commits.max_by_key(|(offset, _)| *offset);
                let committed = furthest.map_or(0, |(offset, _)| offset);
                if start < end && committed < end {
                    let text = format!(
                        "an owner under epoch {epoch} was given records, though the group had only come to {committed} \
                         of {end} in partition {parent}, whose keys these are"
                    );
                    let evidence: Vec<&Act> =
                        furthest.map(|(_, act)| act).into_iter().chain([poll]).collect();
                    let subject = format!("group {group}, partition {child}");
                    found.add(anomaly(CHILD_BEFORE_PARENT, (topic, &subject), text, &evidence));
                }
            }
        }
    }
}

impl Stream {
    fn reaches(&mut self, partition: u32, end: u64) {
        let extent = self.extents.entry(partition).or_default();
        extent.end = extent.end.max(end);
    }

    fn reads(&mut self, group: &str, place: (u32, u64), act: Act) {
        if !self.first.contains_key(group) {
            self.first.insert(group.to_owned(), BTreeMap::new());
        }
        let places = self.first.get_mut(group).expect("it was put there just now");
        let known = places.entry(place).or_insert(act);
        if act.to < known.to {
            *known = act;
        }
    }
}
