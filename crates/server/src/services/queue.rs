//! Queues: send, receive, settle, look, dead letters. The worker's stream is in `work.rs`.

use futures::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};
use weir_broker::api::explain::Subject;
use weir_broker::api::queue::{LeaseRequest, PendingEnqueue};
use weir_broker::api::stream::poll_deadline;
use weir_broker::api::upkeep::Letters;
use weir_broker::{Action, Broker, ParkKind, SettleItem};
use weir_proto::error_to_status;
use weir_proto::v1::queue_server::Queue;
use weir_proto::v1::{self, ProduceRequest, ProduceResponse, SettleAction, SettleResult};
use weir_types::{ErrorKind, GroupId, LeaseToken, MessageId, RequestId, WallClock, WeirError};

use super::stream::{PRODUCE_INFLIGHT_MAX, produced};
use super::{Answers, Services, explain, invalid, records, stopping, work};

/// Most bytes in one receive.
pub(super) const LEASE_BYTES_MAX: u64 = 1 << 20;
/// Most messages in one look.
const LOOK_MESSAGES_MAX: u32 = 1_024;

#[tonic::async_trait]
impl Queue for Services {
    type ProduceStream = Answers<ProduceResponse>;

    async fn produce(
        &self,
        request: Request<Streaming<ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStream>, Status> {
        let broker = self.broker()?;
        let answers = request
            .into_inner()
            // What was taken in before the node stops is still answered.
            .take_until(self.stop.clone().cancelled_owned())
            .then(move |request| admit(broker.clone(), request))
            .map(answer)
            .buffered(PRODUCE_INFLIGHT_MAX);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn send(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let request = request.into_inner();
        let pending = self
            .broker()?
            .enqueue(GroupId(request.group_id), request.batch)
            .await
            .map_err(error_to_status)?;
        let appended = pending.answer().await.map_err(error_to_status)?;
        Ok(Response::new(produced(request.correlation_id, Ok(appended))))
    }

    type WorkStream = Answers<v1::WorkResponse>;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkRequest>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        work::start(self.broker()?, request.into_inner(), self.stop.clone()).await
    }

    async fn receive(
        &self,
        request: Request<v1::ReceiveRequest>,
    ) -> Result<Response<v1::ReceiveResponse>, Status> {
        let request = request.into_inner();
        let group = GroupId(request.group_id);
        let broker = self.broker()?;
        let lease = LeaseRequest {
            request: if request.request_id == 0 {
                broker.fresh_request()
            } else {
                RequestId(request.request_id)
            },
            session: None,
            max_messages: request.max_messages,
            max_bytes: LEASE_BYTES_MAX,
            lease_ms: (request.lease_ms > 0).then_some(request.lease_ms),
        };
        let leasing = broker.lease(group, lease, poll_deadline(request.wait_ms));
        let leased = self.stop.run_until_cancelled(leasing).await.unwrap_or_else(|| Err(stopping()));
        let messages =
            leased.map_err(error_to_status)?.into_iter().map(|m| records::leased(group, m)).collect();
        Ok(Response::new(v1::ReceiveResponse { messages }))
    }

    async fn settle(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        let answered = settle(&self.broker()?, request.into_inner()).await.map_err(error_to_status)?;
        // A single call is repeated as a whole, under its id: what has succeeded is remembered.
        let again = answered.results.iter().filter_map(|result| result.error.clone()).map(WeirError::from);
        match again.into_iter().find(|error| !error.kind.is_final()) {
            Some(error) => Err(error_to_status(error)),
            None => Ok(Response::new(answered)),
        }
    }

    async fn peek(&self, request: Request<v1::PeekRequest>) -> Result<Response<v1::PeekResponse>, Status> {
        let request = request.into_inner();
        let max = look_max(request.max_messages)?;
        let from = MessageId(request.from_message_id);
        let peeked =
            self.broker()?.peek(GroupId(request.group_id), from, max).await.map_err(error_to_status)?;
        Ok(Response::new(v1::PeekResponse { messages: peeked.into_iter().map(records::peeked).collect() }))
    }

    async fn stats(
        &self,
        request: Request<v1::QueueStatsRequest>,
    ) -> Result<Response<v1::QueueStatsResponse>, Status> {
        let group = GroupId(request.into_inner().group_id);
        let (counts, stats) = self.broker()?.queue_counts(group).await.map_err(error_to_status)?;
        Ok(Response::new(v1::QueueStatsResponse {
            ready: counts.ready,
            leased: counts.leased,
            scheduled: counts.scheduled,
            parked: counts.parked,
            bytes: counts.bytes,
            enqueued_total: counts.enqueued_total,
            acked_total: counts.acked_total,
            redelivered_total: counts.redelivered_total,
            outbox_batches: counts.outbox_batches,
            kept: stats.kept,
            kept_bytes: stats.kept_bytes,
        }))
    }

    async fn list_parked(
        &self,
        request: Request<v1::ListParkedRequest>,
    ) -> Result<Response<v1::PeekResponse>, Status> {
        let request = request.into_inner();
        let max = look_max(request.max_messages)?;
        let from = MessageId(request.from_message_id);
        let parked =
            self.broker()?.parked(GroupId(request.group_id), from, max).await.map_err(error_to_status)?;
        Ok(Response::new(v1::PeekResponse { messages: parked.into_iter().map(records::peeked).collect() }))
    }

    async fn redrive(
        &self,
        request: Request<v1::RedriveRequest>,
    ) -> Result<Response<v1::RedriveResponse>, Status> {
        let request = request.into_inner();
        let letters = letters(request.reason(), request.max_messages, &request.message_ids)?;
        let redriven =
            self.broker()?.redrive(GroupId(request.group_id), letters).await.map_err(error_to_status)?;
        Ok(Response::new(v1::RedriveResponse { redriven }))
    }

    async fn discard(
        &self,
        request: Request<v1::DiscardRequest>,
    ) -> Result<Response<v1::DiscardResponse>, Status> {
        let request = request.into_inner();
        let letters = letters(request.reason(), request.max_messages, &request.message_ids)?;
        let discarded =
            self.broker()?.discard(GroupId(request.group_id), letters).await.map_err(error_to_status)?;
        Ok(Response::new(v1::DiscardResponse { discarded }))
    }

    async fn cancel_scheduled(
        &self,
        request: Request<v1::CancelScheduledRequest>,
    ) -> Result<Response<v1::CancelScheduledResponse>, Status> {
        let request = request.into_inner();
        let messages: Vec<_> = request.message_ids.into_iter().map(MessageId).collect();
        let cancelling = self.broker()?;
        let cancelled = cancelling.cancel_scheduled(GroupId(request.group_id), &messages).await;
        Ok(Response::new(v1::CancelScheduledResponse { cancelled: cancelled.map_err(error_to_status)? }))
    }

    async fn purge(&self, request: Request<v1::PurgeRequest>) -> Result<Response<v1::PurgeResponse>, Status> {
        let request = request.into_inner();
        let before = request.before_message_id.map(MessageId);
        let purged =
            self.broker()?.purge(GroupId(request.group_id), before).await.map_err(error_to_status)?;
        Ok(Response::new(v1::PurgeResponse { purged }))
    }

    async fn replay(
        &self,
        request: Request<v1::ReplayRequest>,
    ) -> Result<Response<v1::ReplayResponse>, Status> {
        let request = request.into_inner();
        let (group, id) = (GroupId(request.group_id), RequestId(request.request_id));
        let (from, to) = (WallClock(request.from_ms), request.to_ms.map(WallClock));
        let replay = self.broker()?.replay(group, id, from, to).await.map_err(error_to_status)?;
        Ok(Response::new(v1::ReplayResponse { replayed: replay.replayed, more: replay.more }))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        let request = request.into_inner();
        let subject = match request.subject {
            Some(v1::explain_request::Subject::MessageId(id)) => Subject::Message(MessageId(id)),
            Some(v1::explain_request::Subject::Key(key)) => Subject::Key(key),
            None => {
                return Err(invalid("subject-missing", "name a message or a key to explain".to_owned()));
            }
        };
        let explained =
            self.broker()?.explain(GroupId(request.group_id), subject).await.map_err(error_to_status)?;
        Ok(Response::new(explain::explained(&explained)))
    }
}

async fn admit(
    broker: Broker,
    request: Result<ProduceRequest, Status>,
) -> Result<(u64, Result<PendingEnqueue, WeirError>), Status> {
    let request = request?;
    Ok((request.correlation_id, broker.enqueue(GroupId(request.group_id), request.batch).await))
}

async fn answer(
    admitted: Result<(u64, Result<PendingEnqueue, WeirError>), Status>,
) -> Result<ProduceResponse, Status> {
    let (correlation_id, pending) = admitted?;
    let outcome = match pending {
        Ok(pending) => pending.answer().await,
        Err(error) => Err(error),
    };
    Ok(produced(correlation_id, outcome))
}

/// Which dead letters a request means.
fn letters(reason: v1::ParkReason, max: u64, ids: &[u64]) -> Result<Letters, Status> {
    let reason = match reason {
        v1::ParkReason::Unspecified => None,
        v1::ParkReason::AttemptsUsedUp => Some(ParkKind::AttemptsUsedUp),
        v1::ParkReason::Rejected => Some(ParkKind::Rejected),
    };
    match ids {
        [] => Ok(Letters::Oldest { reason, max: if max == 0 { u64::MAX } else { max } }),
        _ if reason.is_some() || max > 0 => {
            let text = "message ids name the messages: neither a reason nor a limit goes with them";
            Err(invalid("selection-contradictory", text))
        }
        named => Ok(Letters::Named(named.iter().copied().map(MessageId).collect())),
    }
}

fn look_max(max: u32) -> Result<usize, Status> {
    if (1..=LOOK_MESSAGES_MAX).contains(&max) {
        return Ok(max as usize);
    }
    Err(invalid(
        "messages-out-of-range",
        format!("{max} messages asked for, 1 to {LOOK_MESSAGES_MAX} allowed"),
    ))
}

/// Settles messages of one partition by their tokens.
pub(super) async fn settle(
    broker: &Broker,
    request: v1::SettleRequest,
) -> Result<v1::SettleResponse, WeirError> {
    let correlation_id = request.correlation_id;
    let request_id = (request.request_id > 0).then_some(RequestId(request.request_id));
    let mut tokens = Tokens::default();
    let mut items = Vec::with_capacity(request.items.len());
    for item in request.items {
        let LeaseToken { message, lease, .. } = tokens.read(&item.token)?;
        items.push(SettleItem { message, lease, action: action(item)? });
    }
    let mut steps = Vec::with_capacity(request.ack_and_appends.len());
    for step in request.ack_and_appends {
        let messages: Result<Vec<_>, _> = step
            .tokens
            .iter()
            .map(|token| tokens.read(token).map(|token| (token.message, token.lease)))
            .collect();
        let outputs =
            step.outputs.into_iter().map(|output| (GroupId(output.group_id), output.batch)).collect();
        steps.push((messages?, outputs));
    }
    let Some(group) = tokens.group else {
        return Ok(v1::SettleResponse { correlation_id, results: Vec::new() });
    };
    let mut outcomes = Vec::with_capacity(items.len() + steps.len());
    if !items.is_empty() {
        outcomes.extend(broker.settle(group, request_id, items).await?);
    }
    outcomes.extend(broker.ack_and_append(group, request_id, steps).await);
    let results = outcomes.into_iter().map(|outcome| SettleResult { error: outcome.err().map(Into::into) });
    Ok(v1::SettleResponse { correlation_id, results: results.collect() })
}

/// The tokens of one request: all of one partition.
#[derive(Default)]
struct Tokens {
    group: Option<GroupId>,
}

impl Tokens {
    fn read(&mut self, token: &str) -> Result<LeaseToken, WeirError> {
        let token: LeaseToken = token.parse().map_err(|error: weir_types::TokenError| {
            WeirError::new(ErrorKind::Invalid, "bad-token", error.to_string())
        })?;
        if *self.group.get_or_insert(token.group) != token.group {
            let message = "the items of one settle belong to more than one partition";
            return Err(WeirError::new(ErrorKind::Invalid, "settle-of-many-partitions", message));
        }
        Ok(token)
    }
}

fn action(item: v1::SettleItem) -> Result<Action, WeirError> {
    match item.action() {
        SettleAction::Ack => Ok(Action::Ack),
        SettleAction::Nack => Ok(Action::Nack { delay_ms: item.delay_ms }),
        SettleAction::Extend => Ok(Action::Extend { lease_ms: item.lease_ms }),
        SettleAction::Release => Ok(Action::Release),
        SettleAction::Reject => Ok(Action::Reject { reason: item.reason }),
        SettleAction::Unspecified => {
            Err(WeirError::new(ErrorKind::Invalid, "settle-action-missing", "an item has no action"))
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_proto::error_from_status;

    use super::*;

    #[test]
    fn a_look_asks_for_one_message_to_as_many_as_it_may() {
        for within in [1, LOOK_MESSAGES_MAX] {
            assert_eq!(look_max(within).ok(), Some(within as usize));
        }
        for beyond in [0, LOOK_MESSAGES_MAX + 1] {
            let refused = look_max(beyond).map_err(|status| error_from_status(&status).code);
            assert_eq!(refused, Err("messages-out-of-range".to_owned()));
        }
    }
}
