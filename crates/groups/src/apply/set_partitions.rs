//! `SetPartitions`: what the registry says about a topic.

use std::collections::BTreeSet;

use weir_types::{At, GroupId, Output, TopicId};

use crate::coordinator::{Coordinator, Topic};
use crate::limits::TOPICS_MAX;
use crate::output::{Effect, Rejection, Reply};
use crate::rows;

pub(crate) struct SetPartitions {
    pub(crate) topic: TopicId,
    pub(crate) partitions: BTreeSet<GroupId>,
    pub(crate) version: u64,
}

impl Coordinator {
    pub(crate) fn set_partitions(
        &mut self,
        at: At,
        asked: SetPartitions,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let SetPartitions { topic: id, partitions, version } = asked;
        let known = self.topics.get(&id);
        if known.is_some_and(|known| known.version >= version) {
            return Ok(Reply::PartitionsSet);
        }
        if known.is_none() && !partitions.is_empty() && self.topics.len() >= TOPICS_MAX {
            return Err(Rejection::TooManyTopics { wanted: TOPICS_MAX + 1, limit: TOPICS_MAX });
        }
        if partitions.is_empty() {
            if self.topics.remove(&id).is_some() {
                rows::delete_topic(id, out);
            }
        } else {
            let topic = Topic { version, partitions };
            rows::put_topic(id, &topic, out);
            self.topics.insert(id, topic);
        }
        let groups: Vec<String> =
            self.subscribers.get(&id).into_iter().flat_map(|groups| groups.keys().cloned()).collect();
        for name in groups {
            let before = self.groups[&name].slots.clone();
            self.rebalance(at, &name, &before, out);
        }
        Ok(Reply::PartitionsSet)
    }
}
