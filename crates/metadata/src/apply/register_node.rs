//! `RegisterNode` and `JoinNode`: a node starts, for the first time or again.

use weir_types::{GroupId, Incarnation, NodeId, Output, ReplicaId};

use crate::feature::Level;
use crate::limits::{ADDRESS_BYTES_MAX, METADATA_VOTERS, NODES_MAX};
use crate::node::{Addresses, Node, NodeState};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::Registry;

pub(crate) struct RegisterNode {
    pub(crate) incarnation: Incarnation,
    pub(crate) name: String,
    pub(crate) addresses: Addresses,
    pub(crate) rack: Option<String>,
    pub(crate) knows: Level,
}

impl Registry {
    pub(crate) fn register_node(
        &mut self,
        asked: RegisterNode,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if asked.knows < self.level {
            return Err(Rejection::BuildTooOld { active: self.level, knows: asked.knows });
        }
        check_node(&asked.name, &asked.addresses, asked.rack.as_deref())?;
        match self.node_of_incarnation(asked.incarnation).cloned() {
            Some(known) => self.register_again(&known, asked, out),
            None => self.register_new(asked, out),
        }
    }

    fn register_again(
        &mut self,
        known: &Node,
        asked: RegisterNode,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        check_member(known)?;
        let (node, replica) = (known.id, known.metadata_replica);
        let RegisterNode { name, addresses, rack, .. } = asked;
        let updated = Node { name, addresses, rack, ..known.clone() };
        if updated != *known {
            self.put_node(updated, out);
            self.routing_changed(out);
        }
        Ok(Reply::Registered { node, replica })
    }

    fn register_new(&mut self, asked: RegisterNode, out: &mut Output<Effect>) -> Result<Reply, Rejection> {
        let replaced = self.members().find(|node| node.addresses.peer == asked.addresses.peer).cloned();
        if replaced.is_none() && self.members().count() >= NODES_MAX {
            return Err(Rejection::TooManyNodes { limit: NODES_MAX });
        }
        let id = self.formed().take_node();
        let inherited = replaced.and_then(|old| self.succeed_node(old, id, out));
        let metadata_replica = match inherited {
            Some(replica) => replica,
            None => self.add_metadata_learner(id, out),
        };
        let RegisterNode { incarnation, name, addresses, rack, .. } = asked;
        let state = NodeState::Registered;
        let replicas_from = ReplicaId(0);
        let node = Node { id, incarnation, name, addresses, rack, state, metadata_replica, replicas_from };
        self.put_node(node, out);
        self.seat_metadata_voters(out);
        self.routing_changed(out);
        Ok(Reply::Registered { node: id, replica: metadata_replica })
    }

    /// The old node's disk is gone: all of its places go to the new node, under fresh replica ids. Returns the
    /// one in the metadata group, if the old node had a place there.
    fn succeed_node(&mut self, old: Node, by: NodeId, out: &mut Output<Effect>) -> Option<ReplicaId> {
        let (reissued, _) = self.reissue_places(old.id, by, out);
        self.put_node(Node { state: NodeState::Replaced { by }, ..old }, out);
        let metadata = reissued.iter().find(|place| place.group == GroupId::METADATA);
        metadata.map(|place| place.new)
    }

    fn add_metadata_learner(&mut self, node: NodeId, out: &mut Output<Effect>) -> ReplicaId {
        let replica = self.formed().take_replica();
        let mut membership = self.metadata_membership();
        membership.target.learners.insert(replica, node);
        self.put_membership(GroupId::METADATA, membership, out);
        replica
    }

    /// A cluster that has grown to three nodes gets three voters in the metadata group. A smaller one is left as
    /// it is: a second voter would only be a second way to lose the majority.
    pub(crate) fn seat_metadata_voters(&mut self, out: &mut Output<Effect>) {
        if self.nodes.values().filter(|node| node.is_registered()).count() < METADATA_VOTERS {
            return;
        }
        let mut membership = self.metadata_membership();
        let before = membership.target.clone();
        while membership.target.voters.len() < METADATA_VOTERS {
            let able = |node: &NodeId| self.nodes.get(node).is_some_and(Node::is_registered);
            let next = membership.target.learners.iter().find(|(_, node)| able(node));
            let Some((&replica, &node)) = next else { break };
            membership.target.learners.remove(&replica);
            membership.target.voters.insert(replica, node);
        }
        if membership.target != before {
            self.put_membership(GroupId::METADATA, membership, out);
        }
    }
}

/// Whether the node may take part.
pub(super) fn check_member(node: &Node) -> Result<(), Rejection> {
    match node.state {
        NodeState::Registered | NodeState::Draining | NodeState::Cordoned => Ok(()),
        NodeState::Removed => Err(Rejection::NodeRemoved { node: node.id }),
        NodeState::Replaced { by } => Err(Rejection::NodeReplaced { node: node.id, by }),
    }
}

pub(super) fn check_node(name: &str, addresses: &Addresses, rack: Option<&str>) -> Result<(), Rejection> {
    let Addresses { peer, client, http } = addresses;
    let settings = [("name", name), ("peer", peer), ("client", client), ("http", http)];
    for (setting, value) in settings.into_iter().chain(rack.map(|rack| ("rack", rack))) {
        if value.is_empty() || value.len() > ADDRESS_BYTES_MAX {
            let setting = setting.to_owned();
            return Err(Rejection::InvalidNode { setting, bytes: value.len(), limit: ADDRESS_BYTES_MAX });
        }
    }
    Ok(())
}
