//! What follows whenever members or partitions change: a new plan, and grants of what nobody has.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{At, GroupId, LeaseClock, Output, TopicId};

use crate::assignment;
use crate::coordinator::Coordinator;
use crate::group::{Group, Slot};
use crate::member::{Epoch, Member, MemberId};
use crate::output::{Effect, Rejection};
use crate::rows;
use crate::topic::Topic;

/// The slots of a group as they were when a command began.
pub(super) type Before = BTreeMap<GroupId, Slot>;

impl Coordinator {
    /// Plans the group anew and grants what nobody has.
    pub(super) fn rebalance(&mut self, at: At, name: &str, before: &Before, out: &mut Output<Effect>) {
        let Some(group) = self.groups.get_mut(name) else { return };
        for partition in fit_finished(group, &self.topics) {
            rows::delete_finished(name, partition, out);
        }
        fit_slots(group, &self.topics);
        assignment::plan(group);
        self.grant(at, name, before, out);
    }

    /// Grants what nobody has, by the plan that there is.
    pub(super) fn grant(&mut self, at: At, name: &str, before: &Before, out: &mut Output<Effect>) {
        let Self { epoch, groups, .. } = self;
        let Some(group) = groups.get_mut(name) else { return };
        let last = *epoch;
        group.grant(|| next(epoch));
        group.time_revocations(at.lease_clock);
        if *epoch != last {
            rows::put_epoch(*epoch, out);
        }
        self.slots_changed(name, before, out);
    }

    /// Writes the slots that differ, and hints at the members whose assignment changes by it.
    fn slots_changed(&mut self, name: &str, before: &Before, out: &mut Output<Effect>) {
        let Self { groups, revocations, .. } = self;
        let Some(group) = groups.get(name) else { return };
        let mut touched = BTreeSet::new();
        let all: BTreeSet<GroupId> = before.keys().chain(group.slots.keys()).copied().collect();
        for partition in all {
            let (old, new) = (before.get(&partition), group.slots.get(&partition));
            if old == new {
                continue;
            }
            let owners = old.into_iter().chain(new).filter_map(|slot| slot.owner.as_ref());
            touched.extend(owners.map(|owner| &owner.member));
            if let Some(deadline) = old.and_then(|slot| slot.give_up_by) {
                revocations.remove(&(deadline, name.to_owned(), partition));
            }
            if let Some(deadline) = new.and_then(|slot| slot.give_up_by) {
                revocations.insert((deadline, name.to_owned(), partition));
            }
            match new {
                Some(slot) => rows::put_slot(name, partition, slot, out),
                None => rows::delete_slot(name, partition, out),
            }
        }
        for member in touched.into_iter().filter(|member| group.members.contains_key(member)) {
            out.effects.push(Effect::AssignmentChanged { group: name.to_owned(), member: member.clone() });
        }
    }

    pub(super) fn take_epoch(&mut self, out: &mut Output<Effect>) -> Epoch {
        let epoch = next(&mut self.epoch);
        rows::put_epoch(epoch, out);
        epoch
    }

    /// The group and its member, whose present life the epoch must name.
    pub(super) fn member(
        &self,
        name: &str,
        id: &MemberId,
        epoch: Epoch,
    ) -> Result<(&Group, &Member), Rejection> {
        let group = self.groups.get(name);
        let group = group.ok_or_else(|| Rejection::GroupNotFound { group: name.to_owned() })?;
        let found = group.members.get(id);
        let not_found = || Rejection::MemberNotFound { group: name.to_owned(), member: id.clone() };
        let member = found.ok_or_else(not_found)?;
        if member.epoch != epoch {
            let (group, member_id, current) = (name.to_owned(), id.clone(), member.epoch);
            return Err(Rejection::MemberFenced { group, member: member_id, epoch, current });
        }
        Ok((group, member))
    }

    /// Puts a member into a group that there is, and into the indexes.
    pub(super) fn insert_member(
        &mut self,
        name: &str,
        id: MemberId,
        member: Member,
        out: &mut Output<Effect>,
    ) {
        rows::put_member(name, &id, &member, out);
        for topic in &member.topics {
            *self.subscribers.entry(*topic).or_default().entry(name.to_owned()).or_default() += 1;
        }
        self.deadlines.insert((member.deadline, name.to_owned(), id.clone()));
        if let Some(group) = self.groups.get_mut(name) {
            group.members.insert(id, member);
        }
    }

    /// Takes a member out of its group and the indexes, and its partitions away. The caller writes the rows.
    pub(super) fn take_member(&mut self, name: &str, id: &MemberId) -> Option<Member> {
        let group = self.groups.get_mut(name)?;
        group.release_all(id);
        let member = group.members.remove(id)?;
        for topic in &member.topics {
            self.unsubscribe(*topic, name);
        }
        self.deadlines.remove(&(member.deadline, name.to_owned(), id.clone()));
        Some(member)
    }

    fn unsubscribe(&mut self, topic: TopicId, name: &str) {
        let Some(groups) = self.subscribers.get_mut(&topic) else { return };
        if let Some(count) = groups.get_mut(name) {
            *count -= 1;
            if *count == 0 {
                groups.remove(name);
            }
        }
        if groups.is_empty() {
            self.subscribers.remove(&topic);
        }
    }

    /// The member was heard: its session runs from now.
    pub(super) fn renew(&mut self, name: &str, id: &MemberId, now: LeaseClock, out: &mut Output<Effect>) {
        let member = self.groups.get_mut(name).and_then(|group| group.members.get_mut(id));
        let Some(member) = member else { return };
        let deadline = now + member.session_timeout_ms;
        let old = std::mem::replace(&mut member.deadline, deadline);
        rows::put_member(name, id, member, out);
        self.deadlines.remove(&(old, name.to_owned(), id.clone()));
        self.deadlines.insert((deadline, name.to_owned(), id.clone()));
    }
}

fn next(epoch: &mut Epoch) -> Epoch {
    epoch.0 += 1;
    *epoch
}

/// Forgets what is finished in partitions that can be read no more, or that nobody subscribes to: in the end all of it, when
/// the group has no members. Returns what is forgotten.
fn fit_finished(group: &mut Group, topics: &BTreeMap<TopicId, Topic>) -> Vec<GroupId> {
    if group.finished.is_empty() {
        return Vec::new();
    }
    let subscribed = group.topics();
    let known: Vec<&Topic> = subscribed.iter().filter_map(|topic| topics.get(topic)).collect();
    let is_gone = |partition: &GroupId| !known.iter().any(|topic| topic.partitions.contains(partition));
    let gone: Vec<GroupId> = group.finished.keys().copied().filter(is_gone).collect();
    for partition in &gone {
        group.finished.remove(partition);
    }
    gone
}

/// Makes the slots those of the partitions of the subscribed topics that may be read.
fn fit_slots(group: &mut Group, topics: &BTreeMap<TopicId, Topic>) {
    let mut wanted: BTreeMap<GroupId, TopicId> = BTreeMap::new();
    for topic in group.topics() {
        let known = topics.get(&topic).into_iter();
        wanted
            .extend(known.flat_map(|known| known.given(&group.finished)).map(|partition| (partition, topic)));
    }
    group.slots.retain(|partition, slot| wanted.get(partition) == Some(&slot.topic));
    for (partition, topic) in wanted {
        group.slots.entry(partition).or_insert(Slot { topic, owner: None, target: None, give_up_by: None });
    }
}
