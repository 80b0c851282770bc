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
        let known = to.into_iter().filter(|to| *to != from && self.groups.contains(to));
        self.sends.extend(known.map(|to| (from, to)));
    }

    /// The image of a partition was taken now.
    pub(crate) fn taken(&mut self, group: u32) {
        self.clock += 1;
        self.taken.insert(group, self.clock);
    }

    /// Whether the image of a partition is missing, or older than that of one which sends there.
    pub(crate) fn needs(&self, group: u32) -> bool {
        let Some(taken) = self.taken.get(&group) else { return true };
        let mut sources = self.sends.iter().filter(|(_, to)| *to == group).map(|(from, _)| from);
        sources.any(|source| self.taken.get(source) > Some(taken))
    }

    /// The partitions, those that send before those that they send to; where they send to each other in a circle, in order of
    /// group.
    pub(crate) fn all(&self) -> Vec<u32> {
        let (mut left, mut order) = (self.groups.clone(), Vec::with_capacity(self.groups.len()));
        while let Some(next) = self.first_of(&left) {
            left.remove(&next);
            order.push(next);
        }
        order
    }

    fn first_of(&self, left: &BTreeSet<u32>) -> Option<u32> {
        let waits = |group: u32| self.sends.iter().any(|(from, to)| *to == group && left.contains(from));
        left.iter().copied().find(|group| !waits(*group)).or_else(|| left.first().copied())
    }
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
