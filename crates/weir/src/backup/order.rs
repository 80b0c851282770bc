//! In which order images are taken, and when there are enough of them.
//!
//! What a partition hands to another one is forgotten by the first when the second has it. So the second's image has to be
//! the younger one: else neither has it. What is then in both is told apart by its number.
//!
//! Some must be of one moment, since each knows how far the other is. A partition that has not changed since its image was
//! taken is the same at all moments since, so it is enough when one of the two is found unchanged after the other's image was
//! taken.

use std::collections::{BTreeMap, BTreeSet};

/// Who sends to whom, as far as it is known, and which images there are.
#[derive(Debug, Default)]
pub(crate) struct Order {
    groups: BTreeSet<u32>,
    /// (from, to), both of the backup.
    sends: BTreeSet<(u32, u32)>,
    /// The same as (to, from).
    gets: BTreeSet<(u32, u32)>,
    /// Each pair whose images have to be of one moment, both ways.
    pairs: BTreeSet<(u32, u32)>,
    taken: BTreeMap<u32, Span>,
    clock: u64,
}

/// The moments at which a partition is known to have been as in its image.
#[derive(Clone, Copy, Debug)]
struct Span {
    first: u64,
    last: u64,
}

impl Order {
    /// For the partitions of a plan, each with those that it sends to. Two that send to each other are to have images of one
    /// moment.
    pub(crate) fn new<'a>(planned: impl IntoIterator<Item = (u32, &'a [u32])>) -> Self {
        let planned: BTreeMap<u32, &[u32]> = planned.into_iter().collect();
        let mut order = Self { groups: planned.keys().copied().collect(), ..Self::default() };
        for (from, all) in &planned {
            let back = |to: &u32| planned.get(to).is_some_and(|sends| sends.contains(from));
            let (both, one_way): (Vec<u32>, Vec<u32>) = all.iter().copied().partition(back);
            order.sends(*from, one_way);
            order.pairs.extend(both.into_iter().filter(|to| to != from).map(|to| (*from, to)));
        }
        order
    }

    /// Something may go, or has gone, from one partition to another.
    pub(crate) fn sends(&mut self, from: u32, to: impl IntoIterator<Item = u32>) {
        for to in to.into_iter().filter(|to| *to != from && self.groups.contains(to)) {
            self.sends.insert((from, to));
            self.gets.insert((to, from));
        }
    }

    /// The image of a partition was taken now.
    pub(crate) fn taken(&mut self, group: u32) {
        self.clock += 1;
        self.taken.insert(group, Span { first: self.clock, last: self.clock });
    }

    /// The partition is still as in its image, which was [taken](Self::taken).
    pub(crate) fn unchanged(&mut self, group: u32) {
        self.clock += 1;
        match self.taken.get_mut(&group) {
            Some(span) => span.last = self.clock,
            None => self.taken(group),
        }
    }

    /// Whether the image of a partition is missing, or older than that of one which sends there, or than that of one which has
    /// to be of the same moment.
    pub(crate) fn needs(&self, group: u32) -> bool {
        let Some(own) = self.taken.get(&group) else { return true };
        let others = others(&self.gets, group).chain(others(&self.pairs, group));
        others.filter_map(|other| self.taken.get(&other)).any(|other| other.first > own.last)
    }

    /// Whether there are images that have to be of one moment.
    pub(crate) fn has_pairs(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// A partition whose image has to be of one moment with that of another one, and is not.
    pub(crate) fn apart(&self) -> Option<u32> {
        let span = |group: &u32| self.taken.get(group);
        let apart = |(one, other): &&(u32, u32)| match (span(one), span(other)) {
            (Some(one), Some(other)) => one.last < other.first || other.last < one.first,
            _ => true,
        };
        self.pairs.iter().find(apart).map(|(group, _)| *group)
    }

    /// The partitions, those that send before those that they send to; where they send to each other in a circle, in order of
    /// group.
    pub(crate) fn all(&self) -> Vec<u32> {
        let sources = |group: &u32| (*group, others(&self.gets, *group).count());
        let mut left: BTreeMap<u32, usize> = self.groups.iter().map(sources).collect();
        let mut free: BTreeSet<u32> =
            left.iter().filter(|(_, sources)| **sources == 0).map(|(group, _)| *group).collect();
        let mut order = Vec::with_capacity(left.len());
        while let Some(next) = free.pop_first().or_else(|| left.keys().next().copied()) {
            left.remove(&next);
            order.push(next);
            for to in others(&self.sends, next) {
                if let Some(sources) = left.get_mut(&to) {
                    *sources = sources.saturating_sub(1);
                    if *sources == 0 {
                        free.insert(to);
                    }
                }
            }
        }
        order
    }
}

/// The second of each pair that begins with `group`.
fn others(pairs: &BTreeSet<(u32, u32)>, group: u32) -> impl Iterator<Item = u32> + '_ {
    pairs.range((group, 0)..=(group, u32::MAX)).map(|(_, other)| *other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(groups: impl IntoIterator<Item = u32>) -> Order {
        Order::new(groups.into_iter().map(|group| (group, &[][..])))
    }

    /// Takes what is needed once; which partitions that were, and which of these have `changed` since their last image.
    fn take(order: &mut Order, changed: &[u32]) -> Vec<u32> {
        let mut taken = Vec::new();
        for group in order.all() {
            if order.needs(group) {
                if changed.contains(&group) {
                    order.taken(group);
                } else {
                    order.unchanged(group);
                }
                taken.push(group);
            }
        }
        taken
    }

    #[test]
    fn those_that_send_come_first() {
        let mut order = of([4, 5, 6]);
        order.sends(6, [5, 99]);
        order.sends(5, [4, 5]);
        assert_eq!(order.all(), [6, 5, 4]);
    }

    #[test]
    fn an_image_that_is_older_than_its_sources_is_taken_again() {
        let mut order = of([4, 5, 6]);
        for group in order.all() {
            order.taken(group);
        }
        assert!(!order.needs(4) && !order.needs(5) && !order.needs(6));
        // Only the images told who sends to whom.
        order.sends(6, [5]);
        order.sends(5, [4]);
        let mut again = Vec::new();
        for group in order.all() {
            if order.needs(group) {
                order.taken(group);
                again.push(group);
            }
        }
        assert_eq!(again, [5, 4]);
        assert!(!order.needs(4) && !order.needs(5));
    }

    #[test]
    fn a_circle_ends() {
        let mut order = of([4, 5]);
        order.sends(4, [5]);
        order.sends(5, [4]);
        assert_eq!(order.all(), [4, 5]);
    }

    #[test]
    fn those_that_rest_have_images_of_one_moment_when_they_were_asked_once_more() {
        let mut order = Order::new([(4, &[5][..]), (5, &[4, 6]), (6, &[])]);
        assert!(order.has_pairs());
        assert_eq!(take(&mut order, &[]), [4, 5, 6]);
        assert_eq!(order.apart(), Some(4));
        assert_eq!(take(&mut order, &[]), [4]);
        assert_eq!(order.apart(), None);
        assert!(take(&mut order, &[]).is_empty());
    }

    #[test]
    fn one_of_the_two_may_change_all_the_time() {
        let mut order = Order::new([(4, &[5][..]), (5, &[4])]);
        take(&mut order, &[4]);
        assert_eq!(take(&mut order, &[4]), [4, 5]);
        assert_eq!(order.apart(), None);
        let mut order = Order::new([(4, &[5][..]), (5, &[4])]);
        take(&mut order, &[5]);
        assert_eq!(take(&mut order, &[5]), [4]);
        assert_eq!(order.apart(), None);
    }

    #[test]
    fn two_that_both_change_all_the_time_have_no_images_of_one_moment() {
        let mut order = Order::new([(4, &[5][..]), (5, &[4])]);
        for _ in 0..5 {
            assert_eq!(take(&mut order, &[4, 5]), [4, 5]);
            assert_eq!(order.apart(), Some(4));
        }
    }
}
