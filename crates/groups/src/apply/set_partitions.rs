//! `SetPartitions` and `SetLineage`: what the registry says about a topic.

use weir_types::{At, Output, TopicId};

use crate::coordinator::Coordinator;
use crate::limits::TOPICS_MAX;
use crate::output::{Effect, Rejection, Reply};
use crate::rows;
use crate::topic::Topic;

impl Coordinator {
    pub(crate) fn set_partitions(
        &mut self,
        at: At,
        id: TopicId,
        topic: Topic,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let known = self.topics.get(&id);
        if known.is_some_and(|known| known.version >= topic.version) {
            return Ok(Reply::PartitionsSet);
        }
        if known.is_none() && !topic.partitions.is_empty() && self.topics.len() >= TOPICS_MAX {
            return Err(Rejection::TooManyTopics { wanted: TOPICS_MAX + 1, limit: TOPICS_MAX });
        }
        self.store_topic(id, topic, out);
        let groups: Vec<String> =
            self.subscribers.get(&id).into_iter().flat_map(|groups| groups.keys().cloned()).collect();
        for name in groups {
            let before = self.groups[&name].slots.clone();
            self.rebalance(at, &name, &before, out);
        }
        Ok(Reply::PartitionsSet)
    }

    /// A topic without partitions is gone, and its lineage with it.
    fn store_topic(&mut self, id: TopicId, topic: Topic, out: &mut Output<Effect>) {
        let known = self.topics.remove(&id);
        let had_parents = known.as_ref().is_some_and(|known| !known.parents.is_empty());
        let is_gone = topic.partitions.is_empty();
        if !is_gone {
            rows::put_topic(id, &topic, out);
        } else if known.is_some() {
            rows::delete_topic(id, out);
        }
        if !is_gone && !topic.parents.is_empty() {
            rows::put_parents(id, &topic, out);
        } else if had_parents {
            rows::delete_parents(id, out);
        }
        if !is_gone {
            self.topics.insert(id, topic);
        }
    }
}
