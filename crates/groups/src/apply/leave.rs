//! `Leave`: a member goes, and only its own partitions move.

use weir_types::{At, Output};

use crate::coordinator::Coordinator;
use crate::member::{Epoch, MemberId};
use crate::output::{Effect, Rejection, Reply};
use crate::rows;

impl Coordinator {
    pub(crate) fn leave(
        &mut self,
        at: At,
        name: &str,
        id: &MemberId,
        epoch: Epoch,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let (group, _) = self.member(name, id, epoch)?;
        let before = group.slots.clone();
        self.take_member(name, id);
        rows::delete_member(name, id, out);
        self.rebalance(at, name, &before, out);
        Ok(Reply::Left)
    }
}
