//! `Finish`: a sealed partition is read to its end, so its children come next.

use weir_types::{At, GroupId, Output};

use crate::coordinator::Coordinator;
use crate::member::{Epoch, MemberId};
use crate::output::{Effect, Rejection, Reply};
use crate::rows;

pub(crate) struct Finish {
    pub(crate) group: String,
    pub(crate) member: MemberId,
    pub(crate) partition: GroupId,
    pub(crate) epoch: Epoch,
}

impl Coordinator {
    /// Takes the partition from its owner at once: the owner itself says that it has nothing left to do there. The grant's
    /// epoch shows that nobody has read the partition, or set it back, under a newer one.
    pub(crate) fn finish(
        &mut self,
        at: At,
        asked: Finish,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let Finish { group: name, member, partition, epoch } = asked;
        let Some(group) = self.groups.get_mut(&name) else {
            return Err(Rejection::GroupNotFound { group: name });
        };
        if !group.members.contains_key(&member) {
            return Err(Rejection::MemberNotFound { group: name, member });
        }
        if group.finished.get(&partition) == Some(&epoch) {
            return Ok(Reply::Alive { assignment: group.assignment(&member) });
        }
        let owner = group.slots.get(&partition).and_then(|slot| slot.owner.as_ref());
        if owner.is_none_or(|owner| (&owner.member, owner.epoch) != (&member, epoch)) {
            return Err(Rejection::NotOwner { group: name, member, partition, epoch });
        }
        let before = group.slots.clone();
        group.finished.insert(partition, epoch);
        rows::put_finished(&name, partition, epoch, out);
        self.rebalance(at, &name, &before, out);
        Ok(Reply::Alive { assignment: self.groups[&name].assignment(&member) })
    }
}
