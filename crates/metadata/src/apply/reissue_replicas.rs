//! `ReissueReplicas`: a node may have forgotten what it promised, so its replicas start again under fresh ids.

use weir_types::{GroupId, Incarnation, NodeId, Output, RequestId};

use super::register_node::check_member;
use crate::membership::Membership;
use crate::moves::Move;
use crate::node::{Node, Reissue, ReissuedReplica};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

impl Registry {
    pub(crate) fn reissue_replicas(
        &mut self,
        id: NodeId,
        incarnation: Incarnation,
        request: RequestId,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        let node = self.nodes.get(&id).cloned().ok_or(Rejection::NodeUnknown { node: id })?;
        if node.incarnation != incarnation {
            let registered = node.incarnation;
            return Err(Rejection::WrongIncarnation { node: id, registered, asked: incarnation });
        }
        check_member(&node)?;
        if let Some(Reissue { replicas, kept, .. }) = self.reissues.get(&id).filter(|r| r.request == request)
        {
            return Ok(Reply::Reissued { replicas: replicas.clone(), kept: kept.clone() });
        }
        let replicas_from = self.formed().next_replica;
        let (replicas, kept) = self.reissue_places(id, id, out);
        let metadata = replicas.iter().find(|place| place.group == GroupId::METADATA);
        let metadata_replica = metadata.map_or(node.metadata_replica, |place| place.new);
        self.put_node(Node { metadata_replica, replicas_from, ..node }, out);
        self.put_reissue(id, Reissue { request, replicas: replicas.clone(), kept: kept.clone() }, out);
        self.routing_changed(out);
        Ok(Reply::Reissued { replicas, kept })
    }

    /// Gives every place that `from` shall have to a fresh replica on `to`. Groups whose only voter is on `from`
    /// are left alone and listed: without it nobody could agree to let a fresh one in. A replica that was on its
    /// way out anyway goes without a successor.
    pub(crate) fn reissue_places(
        &mut self,
        from: NodeId,
        to: NodeId,
        out: &mut Output<Effect>,
    ) -> (Vec<ReissuedReplica>, Vec<GroupId>) {
        let mut reissued = Vec::new();
        let mut kept = Vec::new();
        let affected: Vec<GroupId> = (self.memberships.iter())
            .filter(|(_, membership)| membership.uses(from))
            .map(|(group, _)| *group)
            .collect();
        for group in affected {
            let mut membership = self.memberships[&group].clone();
            let here = membership.on(from);
            membership.kept.retain(|replica| !here.contains(replica));
            if let Some((replica, _)) = membership.only_voter().filter(|(_, node)| *node == from) {
                membership.kept.insert(replica);
                membership.want_again(replica, from);
                kept.push(group);
            } else {
                for old in here {
                    if membership.target.node_of(old).is_none() {
                        continue;
                    }
                    let new = self.formed().take_replica();
                    membership.reissue(old, new, to);
                    if let Some(moving) = self.moves.get(&group).copied().filter(|moving| moving.new == old) {
                        self.put_move(group, Move { new, ..moving }, out);
                    }
                    reissued.push(ReissuedReplica { group, old, new });
                }
            }
            self.put_membership(group, membership, out);
        }
        (reissued, kept)
    }

    pub(crate) fn metadata_membership(&self) -> Membership {
        self.memberships[&GroupId::METADATA].clone()
    }
}
