//! What always holds of a coordinator. Checked after every apply in tests and simulation, and once when one is
//! restored.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{Corrupt, GroupId, TopicId};

use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::member::Epoch;

impl Coordinator {
    /// Panics, naming the broken rule, when the state is one that no sequence of commands can lead to.
    pub fn check_invariants(&self) {
        if let Err(Corrupt(broken)) = self.check() {
            panic!("{broken}");
        }
    }

    pub(crate) fn check(&self) -> Result<(), Corrupt> {
        let mut epochs = BTreeSet::new();
        let (mut members, mut revoked) = (0, 0);
        for (name, group) in &self.groups {
            self.check_members(name, group, &mut epochs)?;
            self.check_slots(name, group, &mut epochs)?;
            self.check_finished(name, group, &mut epochs)?;
            members += group.members.len();
            revoked += group.slots.values().filter(|slot| slot.give_up_by.is_some()).count();
        }
        holds(epochs.last().is_none_or(|epoch| *epoch <= self.epoch), || "an epoch was never given".into())?;
        holds(members == self.deadlines.len(), || "a deadline belongs to no member".into())?;
        holds(revoked == self.revocations.len(), || "a deadline belongs to no revocation".into())?;
        holds(self.topics.values().all(|topic| !topic.partitions.is_empty()), || {
            "a topic without partitions is kept".into()
        })?;
        self.check_subscribers()
    }

    fn check_members(&self, name: &str, group: &Group, epochs: &mut BTreeSet<Epoch>) -> Result<(), Corrupt> {
        for (id, member) in &group.members {
            holds(epochs.insert(member.epoch), || format!("epoch {} was given twice", member.epoch))?;
            holds(!member.topics.is_empty(), || format!("member `{id}` of `{name}` subscribes to nothing"))?;
            holds(self.deadlines.contains(&(member.deadline, name.to_owned(), id.clone())), || {
                format!("member `{id}` of `{name}` never expires")
            })?;
        }
        Ok(())
    }

    fn check_slots(&self, name: &str, group: &Group, epochs: &mut BTreeSet<Epoch>) -> Result<(), Corrupt> {
        let expected = self.readable(group);
        let actual: BTreeMap<GroupId, TopicId> =
            group.slots.iter().map(|(partition, slot)| (*partition, slot.topic)).collect();
        holds(expected == actual, || format!("the slots of `{name}` are not those of its topics"))?;
        for (partition, slot) in &group.slots {
            if let Some(owner) = &slot.owner {
                holds(epochs.insert(owner.epoch), || format!("epoch {} was given twice", owner.epoch))?;
                holds(group.members.contains_key(&owner.member), || {
                    format!("partition {partition} of `{name}` is owned by a stranger")
                })?;
            }
            let target = slot.target.as_ref().and_then(|id| group.members.get(id));
            holds(target.is_some_and(|member| member.topics.contains(&slot.topic)), || {
                format!("partition {partition} of `{name}` is meant for nobody who subscribes to it")
            })?;
            holds(slot.give_up_by.is_some() != slot.is_settled(), || {
                format!("partition {partition} of `{name}` is revoked without end, or for nothing")
            })?;
            let timed = slot
                .give_up_by
                .is_none_or(|at| self.revocations.contains(&(at, name.to_owned(), *partition)));
            holds(timed, || format!("the revocation of partition {partition} of `{name}` is not timed"))?;
            holds(slot.owner.is_some(), || format!("partition {partition} of `{name}` lies idle"))?;
        }
        Ok(())
    }

    /// The partitions of the subscribed topics without those that are finished and those that come after some that are not.
    fn readable(&self, group: &Group) -> BTreeMap<GroupId, TopicId> {
        let mut all = BTreeMap::new();
        for topic in group.topics() {
            let Some(known) = self.topics.get(&topic) else { continue };
            let finished = group.finished.keys().copied().collect();
            let unread: BTreeSet<GroupId> = known.partitions.difference(&finished).copied().collect();
            let waits = |(_, parents): &(&GroupId, &BTreeSet<GroupId>)| !parents.is_disjoint(&unread);
            let later = known.parents.iter().filter(waits).map(|(partition, _)| *partition).collect();
            all.extend(unread.difference(&later).map(|partition| (*partition, topic)));
        }
        all
    }

    /// What is finished is a partition that some member subscribes to, and was granted.
    fn check_finished(&self, name: &str, group: &Group, epochs: &mut BTreeSet<Epoch>) -> Result<(), Corrupt> {
        let subscribed = group.topics();
        for (partition, epoch) in &group.finished {
            let topics = subscribed.iter().filter_map(|topic| self.topics.get(topic));
            let mut all = topics.flat_map(|topic| &topic.partitions);
            holds(all.any(|known| known == partition), || {
                format!("`{name}` has finished partition {partition}, which none of its members reads")
            })?;
            holds(epochs.insert(*epoch), || format!("epoch {epoch} was given twice"))?;
        }
        Ok(())
    }

    fn check_subscribers(&self) -> Result<(), Corrupt> {
        let mut expected: BTreeMap<TopicId, BTreeMap<String, usize>> = BTreeMap::new();
        for (name, group) in &self.groups {
            for topic in group.members.values().flat_map(|member| &member.topics) {
                *expected.entry(*topic).or_default().entry(name.clone()).or_default() += 1;
            }
        }
        holds(expected == self.subscribers, || "the index of subscribers is wrong".into())
    }
}

fn holds(rule: bool, broken: impl FnOnce() -> String) -> Result<(), Corrupt> {
    if rule { Ok(()) } else { Err(Corrupt(broken())) }
}
