//! Waiting until nothing is left: to be consumed, or on its way from one topic to another.

use std::time::Duration;

use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_proto::v1::stream_client::StreamClient;

use super::actor::Actor;
use super::stage::Stage;
use crate::wire::Route;

/// The number of this actor in the draw of chance.
const NUMBER: u64 = 5_000;
/// Between two looks at how much is left.
const PAUSE: Duration = Duration::from_millis(500);

/// Who looks.
struct Looker {
    actor: Actor,
}

impl Looker {
    fn new(stage: &Stage) -> Self {
        Self { actor: Actor::new(stage.clone(), NUMBER) }
    }

    async fn queue(&mut self, route: &Route) -> Option<v1::QueueStatsResponse> {
        let request = v1::QueueStatsRequest { group_id: route.group };
        let ask = |channel| async move { QueueClient::new(channel).stats(request).await };
        self.actor.ask(route.group, Duration::ZERO, ask).await.answer.ok()
    }

    async fn stream(&mut self, route: &Route) -> Option<v1::OffsetsResponse> {
        let request = v1::OffsetsRequest { group_id: route.group, ..v1::OffsetsRequest::default() };
        let ask = |channel| async move { StreamClient::new(channel).offsets(request).await };
        self.actor.ask(route.group, Duration::ZERO, ask).await.answer.ok()
    }

    /// Waits until no partition of a queue has anything left; one that does not answer has.
    async fn queues(&mut self, topic: &str, left: impl Fn(v1::QueueStatsResponse) -> u64) {
        for route in self.actor.stage.partitions(topic).await {
            while self.queue(&route).await.map_or(1, &left) > 0 && self.actor.stage.sleep(PAUSE).await {}
        }
    }
}

/// Waits until a queue holds nothing but parked messages, and what was appended by its acks has arrived.
pub(super) async fn empty(stage: &Stage, topic: &str) {
    let left =
        |stats: v1::QueueStatsResponse| stats.ready + stats.leased + stats.scheduled + stats.outbox_batches;
    Looker::new(stage).queues(topic, left).await;
}

/// Waits until what was appended by the acks of a queue has arrived.
pub(super) async fn sent_on(stage: &Stage, topic: &str) {
    Looker::new(stage).queues(topic, |stats| stats.outbox_batches).await;
}

/// Waits until what was appended by the commits of a stream's groups has arrived.
pub(super) async fn delivered(stage: &Stage, topic: &str) {
    let mut looker = Looker::new(stage);
    for route in stage.partitions(topic).await {
        let left = |offsets: v1::OffsetsResponse| offsets.outbox_batches;
        while looker.stream(&route).await.map_or(1, left) > 0 && stage.sleep(PAUSE).await {}
    }
}

/// Waits until every record of the streams that feed queues has become a message.
pub(super) async fn carried(stage: &Stage, links: &[v1::CreateLinkRequest]) {
    let mut looker = Looker::new(stage);
    for link in links.iter().filter(|link| link.kind == v1::LinkKind::Subscription as i32) {
        loop {
            let (mut records, mut messages) = (Some(0), Some(0));
            for route in stage.partitions(&link.from).await {
                records = records.zip(looker.stream(&route).await).map(|(sum, found)| sum + found.end_offset);
            }
            for route in stage.partitions(&link.to).await {
                messages =
                    messages.zip(looker.queue(&route).await).map(|(sum, found)| sum + found.enqueued_total);
            }
            if records.is_some() && records <= messages || !stage.sleep(PAUSE).await {
                break;
            }
        }
    }
}
