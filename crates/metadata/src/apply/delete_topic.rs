//! `DeleteTopic`: its own links go with it, one that leads to it forbids it. The reconcilers then destroy the replicas, since [`Fate`](crate::Fate) says so.

use weir_types::{GroupId, Output, TopicId};

use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;
use crate::topic::COORDINATOR;

impl Registry {
    pub(crate) fn delete_topic(&mut self, id: TopicId, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        // Ids are dense and never reused: one below the counter existed once.
        let issued = id != COORDINATOR && id < self.formed().next_topic;
        // A late retry of what was asked before a restore took the id in again.
        if !issued || self.is_restoring(id) {
            return Err(Rejection::TopicNotFound { topic: id });
        }
        if let Some(topic) = self.topics.get(&id) {
            if let Some(link) = self.links.values().find(|link| link.to == id) {
                let from = self.topics.get(&link.from).map_or_else(String::new, |from| from.name.clone());
                return Err(Rejection::TopicInUse { name: topic.name.clone(), kind: link.kind, from });
            }
            let leaving: Vec<u32> = self.links_from(id).map(|link| link.id).collect();
            for link in leaving {
                self.drop_link(link, out);
            }
            let groups: Vec<GroupId> = self.all_partitions(id).map(|partition| partition.group).collect();
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
