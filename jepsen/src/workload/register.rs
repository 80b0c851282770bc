//! Positions of groups as registers: many write and read the same few, without being members.

use std::time::Duration;

use weir_checker::{Consumer, Op};
use weir_proto::v1;
use weir_proto::v1::stream_client::StreamClient;

use super::actor::Actor;
use super::stage::Stage;

/// Between two operations of one client.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(60));
/// Of a hundred operations, so many read the position.
const READ_PERCENT: u64 = 55;

/// A client of the registers.
pub(super) struct Registrar {
    actor: Actor,
    topic: String,
    groups: Vec<String>,
    consumer: Consumer,
}

impl Registrar {
    pub(super) fn new(stage: Stage, number: u64, topic: String, groups: Vec<String>) -> Self {
        let consumer = stage.history.consumer();
        Self { actor: Actor::new(stage, number), topic, groups, consumer }
    }

    /// Writes and reads while something is written at all; reads until the run is over.
    pub(super) async fn run(mut self) {
        let partitions = self.actor.stage.partitions(&self.topic).await;
        if partitions.is_empty() {
            return;
        }
        // What may be committed grows with what was read of it: a position beyond the end is refused.
        let mut seen = vec![0u64; partitions.len()];
        loop {
            let pause = self.actor.dice.duration(PAUSE.0, PAUSE.1);
            if !self.actor.stage.sleep(pause).await {
                return;
            }
            let place = self.actor.dice.below(partitions.len() as u64) as usize;
            let group = self.actor.dice.pick(&self.groups).clone();
            let (route, known) = (&partitions[place], seen[place]);
            if self.actor.dice.percent(READ_PERCENT) || !self.actor.stage.writes() {
                let end = self.read(route.group, route.partition, group).await;
                seen[place] = end.unwrap_or(known);
            } else {
                self.commit(route.group, route.partition, group, known).await;
            }
        }
    }

    /// Reads a position; gives the next offset to be written.
    async fn read(&mut self, partition_group: u32, partition: u32, group: String) -> Option<u64> {
        let request = v1::CommittedOffsetRequest { group_id: partition_group, consumer_group: group.clone() };
        let asked = self
            .actor
            .ask(partition_group, Duration::ZERO, |channel| async move {
                StreamClient::new(channel).committed_offset(request).await
            })
            .await;
        let offset = asked.answer.as_ref().ok().and_then(|answer| answer.offset);
        let op = Op::Position { group, topic: self.topic.clone(), partition, offset };
        self.actor.note(&asked, op, asked.end_of_read());
        match asked.answer {
            Ok(answer) => Some(answer.end_offset),
            Err(trouble) => {
                self.actor.rest(&trouble).await;
                None
            }
        }
    }

    async fn commit(&mut self, partition_group: u32, partition: u32, group: String, offset: u64) {
        let request = v1::CommitOffsetRequest {
            group_id: partition_group,
            consumer_group: group.clone(),
            epoch: 0,
            offset,
            metadata: String::new(),
            reset: false,
        };
        let asked = self
            .actor
            .ask(partition_group, Duration::ZERO, |channel| async move {
                StreamClient::new(channel).commit_offset(request).await
            })
            .await;
        let (topic, consumer) = (self.topic.clone(), self.consumer);
        let op = Op::Commit { group, topic, consumer, epoch: 0, partition, offset };
        self.actor.note(&asked, op, asked.end());
        if let Err(trouble) = asked.answer {
            self.actor.rest(&trouble).await;
        }
    }
}
