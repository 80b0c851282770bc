//! `DeleteGroup`: forgets a group that nobody is in.

use weir_types::Output;

use crate::coordinator::Coordinator;
use crate::output::{Effect, Rejection, Reply};
use crate::rows;

impl Coordinator {
    pub(crate) fn delete_group(&mut self, name: &str, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        let group = self.groups.get(name);
        let group = group.ok_or_else(|| Rejection::GroupNotFound { group: name.to_owned() })?;
        if !group.members.is_empty() {
            return Err(Rejection::GroupInUse { group: name.to_owned(), members: group.members.len() });
        }
        let is_idle = group.slots.is_empty() && group.finished.is_empty();
        assert!(is_idle, "a group without members subscribes to nothing");
        rows::delete_group(name, out);
        self.groups.remove(name);
        Ok(Reply::GroupDeleted)
    }
}
