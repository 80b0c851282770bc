//! Jepsen's Kafka workload knows no topics: an integer stands for each partition of each.

use std::collections::{BTreeMap, BTreeSet};

use weir_checker::{Event, Op, Value};

use super::edn::Edn;

/// Which integer stands for what, and where values were seen.
pub(super) struct Keys {
    numbers: BTreeMap<String, u64>,
    homes: BTreeMap<Value, String>,
}

impl Keys {
    /// Those of a whole history.
    pub(super) fn of(events: &[Event]) -> Self {
        let mut names = BTreeSet::new();
        let mut homes = BTreeMap::new();
        for event in events {
            match &event.op {
                Op::Append { topic, at, .. } => {
                    names.insert(name(topic, at.map(|(partition, _)| partition)));
                }
                Op::Poll { topic, partition, records, .. } => {
                    let home = name(topic, Some(*partition));
                    homes.extend(records.iter().filter_map(|(_, value)| Some(((*value)?, home.clone()))));
                    names.insert(home);
                }
                Op::Assign { topic, partitions, .. } => {
                    names.extend(partitions.iter().map(|partition| name(topic, Some(*partition))));
                }
                _ => {}
            }
        }
        Self { numbers: names.into_iter().zip(0..).collect(), homes }
    }

    /// The key of a partition.
    pub(super) fn of_partition(&self, topic: &str, partition: u32) -> Edn {
        self.number(&name(topic, Some(partition)))
    }

    /// The key that a value was sent to: where the answer says, else where it was read, else one that stands for
    /// "somewhere in the topic".
    pub(super) fn of_value(&self, topic: &str, partition: Option<u32>, value: Value) -> Edn {
        match (partition, self.homes.get(&value)) {
            (None, Some(home)) => self.number(home),
            _ => self.number(&name(topic, partition)),
        }
    }

    fn number(&self, name: &str) -> Edn {
        self.numbers.get(name).map_or(Edn::Nil, |number| Edn::Integer(*number))
    }

    /// What each key stands for: `{0 "audit/0" 1 "audit/1"}`.
    pub(super) fn names(&self) -> Edn {
        Edn::Map(self.numbers.iter().map(|(name, number)| (Edn::Integer(*number), Edn::text(name))).collect())
    }
}

fn name(topic: &str, partition: Option<u32>) -> String {
    partition.map_or_else(|| format!("{topic}/?"), |partition| format!("{topic}/{partition}"))
}
