//! `AlterTopic`: all of the changes or none.

use weir_types::{Output, TopicId};

use crate::command::PolicyChange;
use crate::output::{Effect, Rejection, Reply};
use crate::policy;
use crate::registry::Registry;

impl Registry {
    pub(crate) fn alter_topic(
        &mut self,
        id: TopicId,
        changes: &[PolicyChange],
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let current = self.topics.get(&id).ok_or(Rejection::TopicNotFound { topic: id })?;
        let mut altered = current.clone();
        for change in changes {
            policy::change(&mut altered, change)?;
        }
        policy::check(&altered.policy)?;
        if altered != *current {
            self.put_topic(altered, out);
            self.routing_changed(out);
        }
        Ok(Reply::TopicAltered { topic: id })
    }
}
