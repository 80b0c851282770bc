//! State machine safety: replicas that have applied the same entry hold the same rows.

use std::collections::{BTreeMap, BTreeSet};

use weir_broker::Broker;
use weir_types::{GroupId, LogIndex, NodeId, Term};

use super::super::cluster::{Cluster, name};
use super::{Invariant, World, applied};

/// Positions of a group that are remembered.
const REMEMBERED: usize = 512;

/// What was seen so far: the rows' fingerprint at an applied position, and on which node.
#[derive(Default)]
pub(super) struct EqualStates {
    seen: BTreeMap<GroupId, BTreeMap<LogIndex, (Term, u32, usize)>>,
    /// What was looked at last; the same position again in the same life of a node has the same rows.
    looked: BTreeMap<(usize, GroupId), (u64, Term, LogIndex)>,
}

impl Invariant for EqualStates {
    fn look(&mut self, world: &World, broken: &mut Vec<String>) {
        for node in &world.nodes {
            for picture in node.disk.groups() {
                let Some((term, index)) = applied(&picture) else { continue };
                let looked = (node.life, term, index);
                if self.looked.insert((node.number, picture.id()), looked) == Some(looked) {
                    continue;
                }
                let Ok(digest) = picture.rows_digest(weir_consensus::RESERVED_PREFIX) else { continue };
                let group = picture.id();
                let seen = self.seen.entry(group).or_default();
                let known = *seen.entry(index).or_insert((term, digest, node.number));
                if (known.0, known.1) != (term, digest) {
                    let (other, since) = (name(known.2), known.0);
                    broken.push(format!(
                        "equal states: at entry {index} of group {group} {node} (term {term}) and {other} (term {since}) \
                         hold different rows"
                    ));
                }
                if seen.len() > REMEMBERED {
                    seen.pop_first();
                }
            }
        }
    }
}

/// Whether every group has one leader, and all of its voters are at its position with its rows; else what is missing.
pub(super) fn converged(cluster: &Cluster, machines: &BTreeMap<NodeId, usize>) -> Result<(), String> {
    let brokers: Vec<_> = (0..cluster.size()).map(|node| cluster.broker(node)).collect();
    let mut groups = BTreeSet::new();
    let mut led = BTreeMap::new();
    for (node, broker) in brokers.iter().enumerate() {
        let Some(broker) = broker else { return Err(format!("{} has no place", name(node))) };
        for (group, replica) in broker.inspect() {
            groups.insert(group);
            if replica.leadership.here
                && let Some((other, _)) = led.insert(group, (node, replica.status.voters))
            {
                return Err(format!("group {group} is led by {} and {}", name(other), name(node)));
            }
        }
    }
    for group in groups {
        let (leader, voters) = led.get(&group).ok_or_else(|| format!("nobody leads group {group}"))?;
        let full = match brokers[*leader].as_ref().and_then(|broker| wanted(broker, group)) {
            Some(wanted) => voters.len() == wanted,
            // Of the registry and the coordinator's shards: an even number is a change under way.
            None => voters.len() % 2 == 1,
        };
        if !full {
            return Err(format!("group {group} has {} voters", voters.len()));
        }
        let on = |node: usize| state(cluster, node, group);
        let leads = on(*leader).ok_or_else(|| format!("group {group} has no rows on {}", name(*leader)))?;
        for voter in voters.values() {
            let node = *machines.get(voter).ok_or_else(|| format!("node {voter} is not known"))?;
            if on(node) != Some(leads) {
                return Err(format!("{} is not where the leader of group {group} is", name(node)));
            }
        }
    }
    Ok(())
}

/// Replicas that a topic's partition shall have.
fn wanted(broker: &Broker, group: GroupId) -> Option<usize> {
    let (routing, _) = broker.routing();
    let mut topics = routing.topics.iter();
    let topic = topics.find(|topic| {
        topic.partitions.iter().chain(&topic.sealed).any(|partition| partition.group == group)
    })?;
    broker.topic(&topic.name).ok().map(|topic| topic.replicas as usize)
}

fn state(cluster: &Cluster, node: usize, group: GroupId) -> Option<(Term, LogIndex, u32)> {
    let disk = cluster.disk(node).picture().ok()?;
    let picture = disk.groups().find(|picture| picture.id() == group)?;
    let (term, index) = applied(&picture)?;
    Some((term, index, picture.rows_digest(weir_consensus::RESERVED_PREFIX).ok()?))
}
