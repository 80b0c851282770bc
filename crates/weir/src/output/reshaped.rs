//! Partitions that were split and merged.

use serde::Serialize;
use weir_client::{PartitionStatus, Reshaped, TopicDescription};

use super::{Grid, Page, View, count};

/// What was replaced by what.
#[derive(Debug, Serialize)]
pub(crate) struct ReshapedView {
    topic: String,
    /// Numbers of the partitions that are replaced.
    parents: Vec<u32>,
    /// Numbers of those that replace them.
    children: Vec<u32>,
    /// Whether the children own the keys already.
    done: bool,
    replacements: Vec<ChildView>,
    /// How many partitions own keys now.
    #[serde(skip)]
    owners: u64,
}

#[derive(Debug, Serialize)]
struct ChildView {
    partition: u32,
    key_first: u32,
    key_last: u32,
    in_place_of: Vec<u32>,
}

impl ReshapedView {
    /// The topic tells the keys. What was scaled in several steps is told as if it had been one.
    pub(crate) fn of(reshaped: &Reshaped, described: &TopicDescription) -> Self {
        let named = |numbers: &[u32]| -> Vec<&PartitionStatus> {
            described.partitions.iter().filter(|known| numbers.contains(&known.partition)).collect()
        };
        let parents = named(&reshaped.parents);
        let child = |child: &PartitionStatus| {
            let overlaps = |parent: &&&PartitionStatus| {
                parent.key_first <= child.key_last && child.key_first <= parent.key_last
            };
            ChildView {
                partition: child.partition,
                key_first: child.key_first,
                key_last: child.key_last,
                in_place_of: parents.iter().filter(overlaps).map(|parent| parent.partition).collect(),
            }
        };
        let mut replacements: Vec<_> = named(&reshaped.children).into_iter().map(child).collect();
        replacements.sort_by_key(|child| child.key_first);
        Self {
            topic: described.topic.name.clone(),
            parents: reshaped.parents.clone(),
            children: reshaped.children.clone(),
            done: reshaped.done,
            replacements,
            owners: described.topic.partitions.into(),
        }
    }

    fn headline(&self) -> String {
        let Self { topic, parents, children, done, owners, .. } = self;
        if children.is_empty() && *done {
            return format!("`{topic}` has {} already", count(*owners, "partition"));
        }
        if children.is_empty() {
            return format!(
                "what is under way will be enough; `weir topic describe {topic}` shows how far that is"
            );
        }
        let planned = format!(
            "`{topic}`: {} in the place of {}",
            count(children.len() as u64, "partition"),
            parents.len()
        );
        if *done {
            return planned;
        }
        format!("{planned}, as soon as they are formed; `weir topic describe {topic}` shows how far that is")
    }
}

impl View for ReshapedView {
    fn text(&self, page: Page) -> String {
        if self.replacements.is_empty() {
            return self.headline();
        }
        let mut grid = Grid::new(page, &["#partition", "keys", "in place of"]);
        for child in &self.replacements {
            grid.row([
                child.partition.to_string(),
                keys(child.key_first, child.key_last),
                numbers(&child.in_place_of),
            ]);
        }
        format!("{}\n\n{}", self.headline(), grid.finish(""))
    }
}

/// A range of key hashes, both ends included.
pub(super) fn keys(first: u32, last: u32) -> String {
    format!("{first:08x}-{last:08x}")
}

/// `3, 4`.
pub(super) fn numbers(of: &[u32]) -> String {
    of.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

    use super::super::topics::tests::{description, partition};
    use super::*;

    const PLAIN: Page = Page { colour: false, width: None };

    fn described() -> TopicDescription {
        let part =
            |number, first, last| PartitionStatus { key_first: first, key_last: last, ..partition(number) };
        let partitions = vec![
            part(0, 0, 0x7fff_ffff),
            part(1, 0x8000_0000, u32::MAX),
            part(3, 0x4000_0000, 0x7fff_ffff),
            part(2, 0, 0x3fff_ffff),
        ];
        TopicDescription { partitions, ..description() }
    }

    #[test]
    fn what_takes_the_place_of_what_is_a_table_in_order_of_keys() {
        let reshaped = Reshaped { parents: vec![0], children: vec![2, 3], done: true };
        assert_eq!(
            ReshapedView::of(&reshaped, &described()).text(PLAIN),
            "`tasks`: 2 partitions in the place of 1\n\
             \n\
             partition  keys               in place of\n\
             ──────────────────────────────────────────\n\
             \x20       2  00000000-3fffffff  0\n\
             \x20       3  40000000-7fffffff  0"
        );
        let unfinished = ReshapedView::of(&Reshaped { done: false, ..reshaped }, &described()).text(PLAIN);
        assert!(
            unfinished.starts_with("`tasks`: 2 partitions in the place of 1, as soon as "),
            "{unfinished}"
        );
    }

    #[test]
    fn what_is_there_already_is_said_in_one_line() {
        let nothing = Reshaped { parents: Vec::new(), children: Vec::new(), done: true };
        let view = ReshapedView::of(&nothing, &described());
        assert_eq!(view.text(PLAIN), "`tasks` has 1 partition already");
        let under_way = ReshapedView::of(&Reshaped { done: false, ..nothing }, &described()).text(PLAIN);
        assert!(under_way.starts_with("what is under way will be enough"), "{under_way}");
    }

    #[test]
    fn json_holds_the_numbers_and_the_keys() {
        let reshaped = Reshaped { parents: vec![0], children: vec![2, 3], done: true };
        let value = serde_json::to_value(ReshapedView::of(&reshaped, &described())).unwrap();
        assert_eq!((&value["parents"], &value["children"]), (&[0].into(), &[2, 3].into()));
        assert_eq!(value["replacements"][1]["key_first"], 0x4000_0000);
        assert_eq!(value["replacements"][1]["in_place_of"], serde_json::json!([0]));
    }
}
