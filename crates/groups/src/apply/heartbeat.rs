//! `Heartbeat`: a member is alive, and gives up what it was told to.

use std::collections::BTreeSet;

use weir_types::{At, GroupId, Output};

use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::member::{Epoch, MemberId};
use crate::output::{Effect, Rejection, Reply};

impl Coordinator {
    pub(crate) fn heartbeat(
        &mut self,
        at: At,
        name: &str,
        id: &MemberId,
        epoch: Epoch,
        owned: &BTreeSet<GroupId>,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let (group, _) = self.member(name, id, epoch)?;
        let freed = given_up(group, id, owned);
        if !freed.is_empty() {
            let before = group.slots.clone();
            self.free(name, &freed);
            self.grant(at, name, &before, out);
        }
        self.renew(name, id, at.lease_clock, out);
        Ok(Reply::Alive { assignment: self.groups[name].assignment(id) })
    }

    pub(super) fn free(&mut self, name: &str, freed: &[GroupId]) {
        let Some(group) = self.groups.get_mut(name) else { return };
        for partition in freed {
            if let Some(slot) = group.slots.get_mut(partition) {
                slot.owner = None;
            }
        }
    }
}

/// Only what is revoked counts: a partition that the member is to keep may be missing because the member has not
/// heard of it yet.
fn given_up(group: &Group, id: &MemberId, owned: &BTreeSet<GroupId>) -> Vec<GroupId> {
    let slots = group.slots.iter().filter(|(_, slot)| slot.is_owned_by(id) && !slot.is_settled());
    slots.map(|(partition, _)| *partition).filter(|partition| !owned.contains(partition)).collect()
}
