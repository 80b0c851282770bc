//! In which order images are taken.
//!
//! What a partition hands to another one is forgotten by the first when the second has it. So the second's image has to be
//! the younger one: else neither has it. What is then in both is told apart by its number.

use std::collections::{BTreeMap, BTreeSet};

/// Who sends to whom, as far as it is known, and which images there are.
#[derive(Debug, Default)]
pub(crate) struct Order {
    groups: BTreeSet<u32>,
    /// (from, to), both of the backup.
    sends: BTreeSet<(u32, u32)>,
    /// The same as (to, from).
    gets: BTreeSet<(u32, u32)>,
    /// When each image was taken.
    taken: BTreeMap<u32, u64>,
    clock: u64,
}

impl Order {
    pub(crate) fn new(groups: impl IntoIterator<Item = u32>) -> Self {
        Self { groups: groups.into_iter().collect(), ..Self::default() }
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
        self.taken.insert(group, self.clock);
    }

    /// Whether the image of a partition is missing, or older than that of one which sends there.
    pub(crate) fn needs(&self, group: u32) -> bool {
        let Some(taken) = self.taken.get(&group) else { return true };
        others(&self.gets, group).any(|source| self.taken.get(&source) > Some(taken))
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

    #[test]
    fn those_that_send_come_first() {
        let mut order = Order::new([4, 5, 6]);
        order.sends(6, [5, 99]);
        order.sends(5, [4, 5]);
        assert_eq!(order.all(), [6, 5, 4]);
    }

    #[test]
    fn an_image_that_is_older_than_its_sources_is_taken_again() {
        let mut order = Order::new([4, 5, 6]);
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
        let mut order = Order::new([4, 5]);
        order.sends(4, [5]);
        order.sends(5, [4]);
        assert_eq!(order.all(), [4, 5]);
    }
}
