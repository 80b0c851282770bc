//! Which partition of a topic came of which: a key may be in several partitions only along one line.

use std::collections::{BTreeMap, BTreeSet};

/// The partitions of one topic that took over the keys of others.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lineage {
    /// All ancestors of a partition that has any.
    ancestors: BTreeMap<u32, BTreeSet<u32>>,
}

impl Lineage {
    /// Each of the children took over keys of all these parents. Told in any order, and as often as one likes.
    pub(crate) fn note(&mut self, parents: &[u32], children: &[u32]) {
        let mut above: BTreeSet<u32> = parents.iter().copied().collect();
        above.extend(parents.iter().filter_map(|parent| self.ancestors.get(parent)).flatten());
        // Whoever comes of a child comes of its parents, too.
        for (partition, ancestors) in &mut self.ancestors {
            if children.contains(partition) || children.iter().any(|child| ancestors.contains(child)) {
                ancestors.extend(&above);
            }
        }
        for child in children {
            self.ancestors.entry(*child).or_insert_with(|| above.clone());
        }
    }

    /// Whether no partition came of another.
    pub(crate) fn is_empty(&self) -> bool {
        self.ancestors.is_empty()
    }

    /// Whether `partition` took over keys of `ancestor`, at once or by others between them.
    pub(crate) fn descends(&self, partition: u32, ancestor: u32) -> bool {
        self.ancestors.get(&partition).is_some_and(|ancestors| ancestors.contains(&ancestor))
    }

    /// Whether one of the two came of the other.
    pub(crate) fn are_in_line(&self, one: u32, other: u32) -> bool {
        self.descends(one, other) || self.descends(other, one)
    }

    /// All partitions whose keys this one took over, at once or by others between them.
    pub(crate) fn ancestors(&self, partition: u32) -> impl Iterator<Item = u32> {
        self.ancestors.get(&partition).into_iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_goes_through_generations_in_whatever_order_they_were_told() {
        let told = [(&[0][..], &[2, 3][..]), (&[1, 3], &[4]), (&[4], &[5, 6])];
        for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut lineage = Lineage::default();
            for place in order {
                lineage.note(told[place].0, told[place].1);
            }
            for (partition, ancestors) in [(2, &[0][..]), (4, &[0, 1, 3]), (6, &[0, 1, 3, 4])] {
                assert!(lineage.ancestors(partition).eq(ancestors.iter().copied()), "{order:?} {partition}");
            }
            assert!(lineage.are_in_line(0, 5) && !lineage.are_in_line(2, 5));
        }
    }
}
