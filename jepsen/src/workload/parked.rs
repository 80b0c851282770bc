//! The administrator of parked messages: lists them, makes many of them ready again, and drops a few.

use std::sync::Arc;
use std::time::Duration;

use weir_checker::{MessageId, Op, ParkedMessage};
use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;

use super::actor::Actor;
use super::payload;
use super::stage::Stage;
use crate::history::End;
use crate::wire::Route;

/// Between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(5));
/// Messages of one page.
const PAGE: u32 = 500;
/// Of a hundred parked messages, so many are made ready again, and so many dropped.
const REDRIVEN_PERCENT: u64 = 40;
const DISCARDED_PERCENT: u64 = 5;
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// The administrator.
pub(super) struct Administrator {
    actor: Actor,
    topics: Vec<String>,
}

impl Administrator {
    pub(super) fn new(stage: Stage, seat: u64, topics: Vec<String>) -> Self {
        Self { actor: Actor::new(stage, seat), topics }
    }

    /// Administers until nothing new is wanted: what is parked then stays so.
    pub(super) async fn run(mut self) {
        while !self.actor.stage.drains() {
            let pause = self.actor.dice.duration(PAUSE.0, PAUSE.1);
            if !self.actor.stage.sleep(pause).await {
                return;
            }
            let adding = Arc::clone(&self.actor.stage.adding);
            let _adding = adding.read().await;
            if self.actor.stage.drains() {
                return;
            }
            let topic = self.actor.dice.pick(&self.topics).clone();
            for route in self.actor.stage.partitions(&topic).await {
                let Some(parked) = self.list(&route).await else { continue };
                let (mut again, mut away) = (Vec::new(), Vec::new());
                for message in parked {
                    match self.actor.dice.below(100) {
                        draw if draw < REDRIVEN_PERCENT => again.push(message.message),
                        draw if draw < REDRIVEN_PERCENT + DISCARDED_PERCENT => away.push(message.message),
                        _ => {}
                    }
                }
                // What is parked in a sealed partition comes back no more: its key may go on elsewhere.
                if !route.sealed {
                    self.redrive(&route, again).await;
                }
                self.discard(&route, away).await;
            }
        }
    }

    /// Lists once more what is parked, everywhere; partitions that do not answer are asked until `stop`.
    pub(super) async fn list_all(mut self) {
        for topic in self.topics.clone() {
            for route in self.actor.stage.partitions(&topic).await {
                while self.list(&route).await.is_none() {
                    if !self.actor.stage.sleep(PAUSE.0 / 8).await {
                        return;
                    }
                }
            }
        }
    }

    async fn list(&mut self, route: &Route) -> Option<Vec<ParkedMessage>> {
        let mut all = Vec::new();
        let mut from_message_id = 0;
        loop {
            let request =
                v1::ListParkedRequest { group_id: route.group, from_message_id, max_messages: PAGE };
            let asked = self
                .actor
                .ask(route.group, Duration::ZERO, |channel| async move {
                    QueueClient::new(channel)
                        .max_decoding_message_size(ANSWER_BYTES_MAX)
                        .list_parked(request)
                        .await
                })
                .await;
            let page = asked.answer.as_ref().map_or(&[][..], |answer| &answer.messages);
            let messages: Vec<_> = page.iter().map(|message| parked(route.partition, message)).collect();
            let end = asked.end_of_read();
            let ok = matches!(end, End::Ok);
            let op = Op::ListParked { topic: route.topic.clone(), messages: messages.clone() };
            self.actor.note(&asked, op, end);
            if !ok {
                return None;
            }
            let last = messages.last().map(|message| message.message.id);
            let full = messages.len() == PAGE as usize;
            all.extend(messages);
            match last {
                Some(last) if full => from_message_id = last + 1,
                _ => return Some(all),
            }
        }
    }

    async fn redrive(&mut self, route: &Route, messages: Vec<MessageId>) {
        if messages.is_empty() {
            return;
        }
        let request = v1::RedriveRequest {
            group_id: route.group,
            message_ids: ids(&messages),
            ..v1::RedriveRequest::default()
        };
        let asked = self
            .actor
            .ask(route.group, Duration::ZERO, |channel| async move {
                QueueClient::new(channel).redrive(request).await
            })
            .await;
        let op = Op::Redrive { topic: route.topic.clone(), messages };
        self.actor.note(&asked, op, asked.end());
    }

    async fn discard(&mut self, route: &Route, messages: Vec<MessageId>) {
        if messages.is_empty() {
            return;
        }
        let request = v1::DiscardRequest {
            group_id: route.group,
            message_ids: ids(&messages),
            ..v1::DiscardRequest::default()
        };
        let asked = self
            .actor
            .ask(route.group, Duration::ZERO, |channel| async move {
                QueueClient::new(channel).discard(request).await
            })
            .await;
        let op = Op::Discard { topic: route.topic.clone(), messages };
        self.actor.note(&asked, op, asked.end());
    }
}

fn ids(messages: &[MessageId]) -> Vec<u64> {
    messages.iter().map(|message| message.id).collect()
}

fn parked(partition: u32, message: &v1::PeekedMessage) -> ParkedMessage {
    let body = message.record.as_ref().and_then(|record| record.value.as_deref());
    ParkedMessage {
        message: MessageId { partition, id: message.message_id },
        value: payload::value(body),
        attempts: message.attempts,
    }
}
