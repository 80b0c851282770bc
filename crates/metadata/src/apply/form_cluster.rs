//! `FormCluster`: the first command of all.

use std::collections::{BTreeMap, BTreeSet};

use weir_types::{ClusterId, GroupId, NodeId, Output, ProducerId, ReplicaId, TopicId};

use super::register_node::check_node;
use crate::command::Founder;
use crate::feature::Level;
use crate::limits::{COORDINATOR_REPLICAS, COORDINATOR_SHARDS_MAX, FOUNDING_ID_MAX, METADATA_VOTERS_MAX};
use crate::membership::{Membership, ReplicaSet};
use crate::node::{Node, NodeState};
use crate::output::{Effect, Rejection, Reply};
use crate::registry::{Cluster, Registry};
use crate::topic::COORDINATOR;

pub(crate) struct FormCluster {
    pub(crate) cluster: ClusterId,
    pub(crate) founders: Vec<Founder>,
    pub(crate) coordinator_shards: u32,
    pub(crate) level: Level,
}

impl Registry {
    pub(crate) fn form_cluster(
        &mut self,
        asked: FormCluster,
        out: &mut Output<Effect>,
    ) -> Result<Reply, Rejection> {
        if let Some(formed) = self.cluster_id() {
            return if formed == asked.cluster {
                Ok(Reply::Formed { cluster: formed })
            } else {
                Err(Rejection::AlreadyFormed { formed, asked: asked.cluster })
            };
        }
        check_founders(&asked)?;
        let founders = asked.founders;
        self.cluster = Some(Cluster {
            id: asked.cluster,
            version: 0,
            next_node: NodeId(1 + founders.iter().map(|founder| founder.node.0).max().unwrap_or(0)),
            next_replica: ReplicaId(1 + founders.iter().map(|founder| founder.replica.0).max().unwrap_or(0)),
            next_topic: TopicId(COORDINATOR.0 + 1),
            next_group: GroupId(GroupId::METADATA.0 + 1),
            next_producer: ProducerId(1),
        });
        if asked.level > Level::FIRST {
            self.put_level(asked.level, out);
        }
        self.put_membership(GroupId::METADATA, founding_membership(&founders), out);
        let replicas = founders.len().min(COORDINATOR_REPLICAS);
        for founder in founders {
            self.put_node(founding_node(founder), out);
        }
        let placements =
            self.plan(asked.coordinator_shards, replicas as u32).expect("each founder can hold a replica");
        self.add_partitions(COORDINATOR, placements, out);
        self.routing_changed(out);
        Ok(Reply::Formed { cluster: asked.cluster })
    }
}

fn check_founders(asked: &FormCluster) -> Result<(), Rejection> {
    let invalid = |reason: &str| Err(Rejection::InvalidFounders { reason: reason.to_owned() });
    let founders = &asked.founders;
    if founders.is_empty() {
        return invalid("there are none");
    }
    if asked.cluster == ClusterId(0) || founders.iter().any(|f| f.node.0 == 0 || f.replica.0 == 0) {
        return invalid("the ids of clusters, nodes and replicas start at 1");
    }
    // Later ones get the next ids.
    if founders.iter().any(|f| f.node.0 > FOUNDING_ID_MAX || f.replica.0 > FOUNDING_ID_MAX) {
        return invalid("an id is above 4294967295");
    }
    let nodes: BTreeSet<_> = founders.iter().map(|founder| founder.node).collect();
    let replicas: BTreeSet<_> = founders.iter().map(|founder| founder.replica).collect();
    let incarnations: BTreeSet<_> = founders.iter().map(|founder| founder.incarnation).collect();
    if [nodes.len(), replicas.len(), incarnations.len()] != [founders.len(); 3] {
        return invalid("two share a node id, a replica id or an incarnation");
    }
    if !(1..=COORDINATOR_SHARDS_MAX).contains(&asked.coordinator_shards) {
        return invalid("the number of coordinator shards is not between 1 and 64");
    }
    founders.iter().try_for_each(|f| check_node(&f.name, &f.addresses, f.rack.as_deref()))
}

/// The metadata group exists already: this command was replicated by it.
fn founding_membership(founders: &[Founder]) -> Membership {
    let mut learners: BTreeMap<_, _> = founders.iter().map(|f| (f.replica, f.node)).collect();
    let mut voters = BTreeMap::new();
    while voters.len() < METADATA_VOTERS_MAX
        && let Some((replica, node)) = learners.pop_first()
    {
        voters.insert(replica, node);
    }
    let preferred = *voters.keys().next().expect("there is at least one founder");
    let set = ReplicaSet { voters, learners };
    let unformed = Membership::unformed(BTreeMap::new(), preferred);
    Membership { current: set.clone(), target: set, formed: true, ..unformed }
}

fn founding_node(founder: Founder) -> Node {
    Node {
        id: founder.node,
        incarnation: founder.incarnation,
        name: founder.name,
        addresses: founder.addresses,
        rack: founder.rack,
        state: NodeState::Registered,
        metadata_replica: founder.replica,
        replicas_from: ReplicaId(0),
    }
}
