//! `AlterTopic`: all of the changes or none.

use weir_types::{Output, TopicId};

use crate::command::PolicyChange;
use crate::output::{Effect, Rejection, Reply};
use crate::policy;
use crate::registry::Registry;
use crate::topic::Topic;

impl Registry {
    pub(crate) fn alter_topic(
        &mut self,
        id: TopicId,
        changes: &[PolicyChange],
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let altered = self.altered(id, changes)?;
        if altered != self.topics[&id] {
            self.put_topic(altered, out);
            self.routing_changed(out);
        }
        Ok(Reply::TopicAltered { topic: id })
    }

    /// The topic as it is after the changes.
    pub(super) fn altered(&self, id: TopicId, changes: &[PolicyChange]) -> Result<Topic, Rejection> {
        let mut altered = self.topics.get(&id).ok_or(Rejection::TopicNotFound { topic: id })?.clone();
        for change in changes {
            policy::change(&mut altered, change)?;
        }
        policy::check(&altered.policy)?;
        Ok(altered)
    }
}
