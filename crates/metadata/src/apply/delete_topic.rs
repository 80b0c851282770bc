//! `DeleteTopic`: the reconcilers then destroy the replicas, since [`Fate`](crate::Fate) says so.

use weir_types::{GroupId, Output, TopicId};

use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;
use crate::topic::COORDINATOR;

impl Registry {
    pub(crate) fn delete_topic(&mut self, id: TopicId, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        // Ids are dense and never reused: one below the counter existed once.
        let issued = id != COORDINATOR && id < self.formed().next_topic;
        if !issued {
            return Err(Rejection::TopicNotFound { topic: id });
        }
        if self.topics.contains_key(&id) {
            let groups: Vec<GroupId> = self.partitions(id).map(|partition| partition.group).collect();
            for group in groups {
                self.drop_partition(group, out);
            }
            self.drop_topic(id, out);
            self.finish_draining(out);
            self.routing_changed(out);
        }
        Ok(Reply::TopicDeleted { topic: id })
    }
}
