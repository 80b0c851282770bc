//! An operator who never rests: drains nodes and takes that back, balances, moves replicas, cancels moves and
//! changes how many there are, from whichever node leads the registry, whatever else happens.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use weir_broker::Broker;
use weir_broker::api::nodes::MoveView;
use weir_runtime::{Random, SeededRandom};
use weir_types::{GroupId, NodeId, WeirError};

use super::Trace;
use super::world::elapsed;

/// Between two things that he does, at most.
const PAUSE_MS_MAX: u64 = 4_000;

pub(super) struct Operator {
    pub(super) broker: Broker,
    pub(super) random: Arc<SeededRandom>,
    pub(super) trace: Trace,
    /// The fewest replicas that he leaves a topic: as many as the faults of the run reckon with.
    pub(super) replicas: u32,
    /// When he goes home, so that all can come to rest.
    pub(super) until: Duration,
}

impl Operator {
    pub(super) async fn run(self) {
        loop {
            sleep(Duration::from_millis(200 + self.below(PAUSE_MS_MAX))).await;
            if elapsed() > self.until {
                return;
            }
            let leads = self.broker.leaderships().get(&GroupId::METADATA).is_some_and(|known| known.here);
            if leads {
                let outcome = self.act().await;
                self.trace.note(format_args!("operator: {outcome:?}"));
            }
        }
    }

    fn below(&self, bound: u64) -> u64 {
        self.random.next_u64() % bound
    }

    /// Something; what it was, and how it ended.
    async fn act(&self) -> Result<String, WeirError> {
        let view = self.broker.moves(0, Duration::ZERO).await?;
        match self.below(7) {
            0 | 1 => {
                let nodes = self.broker.nodes().await;
                let node = nodes[self.below(nodes.len() as u64) as usize].node;
                self.broker.drain_node(node).await.map(|()| format!("drains {node}"))
            }
            2 => {
                let Some((node, _)) = view.draining.first() else {
                    return Ok("nothing is drained".to_owned());
                };
                let (cancelled, going_on) = self.broker.cancel_drain(*node).await?;
                Ok(format!("uses {node} again, {cancelled} moves taken back, {going_on} go on"))
            }
            3 => {
                let groups: Vec<GroupId> = view.moves.iter().map(|moving| moving.group).collect();
                self.broker.cancel_moves(groups).await.map(|groups| format!("cancelled {groups:?}"))
            }
            4 => self.change_replicas().await,
            _ => {
                let mut plan = self.broker.plan_balance().await?;
                let mut seen = std::collections::BTreeSet::new();
                plan.retain(|step| seen.insert(step.group));
                if plan.is_empty() {
                    plan.extend(self.any_move());
                }
                let moves = plan.iter().map(|step| weir_broker::ReplicaMove {
                    group: step.group,
                    from: step.from,
                    to: step.to,
                });
                let count = plan.len();
                self.broker.move_replicas(moves.collect()).await.map(|()| format!("moves {count}"))
            }
        }
    }

    /// A topic gets one replica more than it had in the beginning, or as many. Not two: who looks on knows a change of the
    /// voters by their even number.
    async fn change_replicas(&self) -> Result<String, WeirError> {
        let topics = self.broker.topics();
        let Some(topic) = topics.get(self.below(topics.len().max(1) as u64) as usize) else {
            return Ok("there are no topics".to_owned());
        };
        let replicas = self.replicas + self.below(2) as u32;
        self.broker.alter_topic(&topic.name, topic.policy.clone(), Some(replicas)).await?;
        Ok(format!("gives topic {} {replicas} replicas", topic.id))
    }

    /// A move that may make no sense, or be refused.
    fn any_move(&self) -> Option<MoveView> {
        let (routing, _) = self.broker.routing();
        let topic = routing.topics.get(self.below(routing.topics.len().max(1) as u64) as usize)?;
        let partition = topic.partitions.first()?;
        let from = *partition.nodes.first()?;
        let to = NodeId(1 + self.below(routing.nodes.len() as u64));
        let topic = topic.name.clone();
        Some(MoveView { group: partition.group, topic, partition: partition.index, from, to, state: None })
    }
}
