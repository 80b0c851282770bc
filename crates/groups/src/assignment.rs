//! Who shall have which partition: sticky first, then balanced.
//!
//! A partition stays with the member that shall have it already. What nobody shall have goes to the member that
//! has least. Then, as in a flow problem, partitions are passed along chains of members from one that has too
//! many to one that has at least two fewer, until no chain helps. Where all members subscribe to the same topics
//! the counts so end within one of each other and every chain is a single move; where they differ the result is
//! as even as the subscriptions allow.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_types::{GroupId, TopicId};

use crate::group::{Group, Slot};
use crate::member::{Member, MemberId};

/// Sets the target of every slot. Slots of topics without subscribers end with none.
pub(crate) fn plan(group: &mut Group) {
    let Group { members, slots, .. } = group;
    let mut plan = Plan { members, slots, holdings: BTreeMap::new() };
    plan.keep_what_fits();
    plan.place_the_rest();
    while let Some(chain) = plan.improving_chain() {
        for step in chain {
            plan.hand_over(&step);
        }
    }
}

/// What a member shall have, by topic. No entry is empty.
type Holding = BTreeMap<TopicId, BTreeSet<GroupId>>;

struct Plan<'a> {
    members: &'a BTreeMap<MemberId, Member>,
    slots: &'a mut BTreeMap<GroupId, Slot>,
    holdings: BTreeMap<MemberId, Holding>,
}

struct Handover {
    from: MemberId,
    to: MemberId,
}

impl Plan<'_> {
    fn keep_what_fits(&mut self) {
        self.holdings = self.members.keys().map(|id| (id.clone(), Holding::new())).collect();
        for (partition, slot) in self.slots.iter_mut() {
            let fits = |id: &MemberId| self.members.get(id).is_some_and(|m| m.topics.contains(&slot.topic));
            slot.target = slot.target.take().filter(fits);
            if let Some(holding) = slot.target.as_ref().and_then(|id| self.holdings.get_mut(id)) {
                holding.entry(slot.topic).or_default().insert(*partition);
            }
        }
    }

    fn place_the_rest(&mut self) {
        for (partition, slot) in self.slots.iter_mut().filter(|(_, slot)| slot.target.is_none()) {
            let able = self.holdings.iter().filter(|(id, _)| self.members[*id].topics.contains(&slot.topic));
            let least = able.min_by_key(|(_, holding)| (load(holding), held(holding, slot.topic)));
            let Some(least) = least.map(|(id, _)| id.clone()) else { continue };
            let holding = self.holdings.get_mut(&least).expect("every member has a holding");
            holding.entry(slot.topic).or_default().insert(*partition);
            slot.target = Some(least);
        }
    }

    /// A chain of handovers that takes one partition from a member to another that has at least two fewer, its
    /// first step being the one to the poorest.
    fn improving_chain(&self) -> Option<Vec<Handover>> {
        let most = self.holdings.values().map(load).max()?;
        let mut poor: Vec<(usize, &MemberId)> = (self.holdings.iter())
            .map(|(id, holding)| (load(holding), id))
            .filter(|(count, _)| count + 2 <= most)
            .collect();
        poor.sort();
        poor.into_iter().find_map(|(count, id)| self.chain_to(id, count))
    }

    /// Breadth first, so that the chain is as short as can be and touches as few partitions.
    fn chain_to<'s>(&'s self, poor: &'s MemberId, count: usize) -> Option<Vec<Handover>> {
        let mut gives_to: BTreeMap<&MemberId, &MemberId> = BTreeMap::new();
        let mut queue = VecDeque::from([poor]);
        while let Some(taker) = queue.pop_front() {
            let wanted = &self.members[taker].topics;
            let mut givers: Vec<(usize, &MemberId)> = (self.holdings.iter())
                .filter(|(id, _)| *id != poor && !gives_to.contains_key(id))
                .filter(|(_, holding)| holding.keys().any(|topic| wanted.contains(topic)))
                .map(|(id, holding)| (load(holding), id))
                .collect();
            // The richest gives first.
            givers.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
            for (_, giver) in &givers {
                gives_to.insert(giver, taker);
                queue.push_back(giver);
            }
            if let Some((_, rich)) = givers.first().filter(|(has, _)| *has >= count + 2) {
                return Some(chain_from(rich, poor, &gives_to));
            }
        }
        None
    }

    fn hand_over(&mut self, step: &Handover) {
        let (topic, partition) = self.cheapest(step);
        let giver = self.holdings.get_mut(&step.from).expect("every member has a holding");
        let of_topic = giver.get_mut(&topic).expect("the giver holds what it gives");
        of_topic.remove(&partition);
        if of_topic.is_empty() {
            giver.remove(&topic);
        }
        let taker = self.holdings.get_mut(&step.to).expect("every member has a holding");
        taker.entry(topic).or_default().insert(partition);
        let slot = self.slots.get_mut(&partition).expect("what is held is a slot");
        slot.target = Some(step.to.clone());
    }

    /// The partition whose move disturbs least: one that the giver does not have yet rather than one it works
    /// on; then of the topic that they share most unevenly.
    fn cheapest(&self, step: &Handover) -> (TopicId, GroupId) {
        let (giver, taker) = (&self.holdings[&step.from], &self.holdings[&step.to]);
        let wanted = &self.members[&step.to].topics;
        let given = giver.iter().filter(|(topic, _)| wanted.contains(topic));
        let candidates = given.flat_map(|(topic, all)| all.iter().map(move |partition| (*topic, *partition)));
        let best = candidates.min_by_key(|(topic, partition)| {
            let worked_on = self.slots[partition].is_owned_by(&step.from);
            let uneven = held(giver, *topic).saturating_sub(held(taker, *topic));
            (worked_on, std::cmp::Reverse(uneven), *partition)
        });
        best.expect("a chain leads only over members that share a topic")
    }
}

fn chain_from(rich: &MemberId, poor: &MemberId, gives_to: &BTreeMap<&MemberId, &MemberId>) -> Vec<Handover> {
    let mut chain = Vec::new();
    let mut from = rich;
    while from != poor {
        let to = gives_to[from];
        chain.push(Handover { from: from.clone(), to: to.clone() });
        from = to;
    }
    // From the poorest upwards: each giver then still has what it was found to have.
    chain.reverse();
    chain
}

fn load(holding: &Holding) -> usize {
    holding.values().map(BTreeSet::len).sum()
}

fn held(holding: &Holding, topic: TopicId) -> usize {
    holding.get(&topic).map_or(0, BTreeSet::len)
}
