//! Produce, and a worker's session.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::error_to_status;
use weir_proto::v1;
use weir_proto::v1::queue_server::Queue;
use weir_proto::v1::{work_request, work_response};
use weir_types::{GroupId, LeaseId, LeaseToken, MessageId, WeirError};

use crate::node::{Answers, Services, not_faked};
use crate::partition::{Fault, Partition};
use crate::stream::produce;

#[tonic::async_trait]
impl Queue for Services {
    type ProduceStream = Answers<v1::ProduceResponse>;

    async fn produce(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStream>, Status> {
        Ok(Response::new(produce(self.clone(), request.into_inner())))
    }

    type WorkStream = Answers<v1::WorkResponse>;

    async fn work(
        &self,
        request: Request<Streaming<v1::WorkRequest>>,
    ) -> Result<Response<Self::WorkStream>, Status> {
        let mut requests = request.into_inner();
        let Some(work_request::Step::Start(start)) = requests.message().await?.and_then(|first| first.step)
        else {
            return Err(Status::unimplemented("a session begins with its start"));
        };
        let partition = self.partition_of(start.group_id);
        if let Some(refusal) = partition.lock().unwrap().refusals.pop_front() {
            return Err(error_to_status(refusal));
        }
        partition.lock().unwrap().sessions.push(start.clone());
        let (answers, stream) = mpsc::channel(64);
        let opened = work_response::Step::Opened(v1::WorkOpened { lease_ms: 30_000 });
        answers.send(Ok(v1::WorkResponse { step: Some(opened) })).await.unwrap();
        tokio::spawn(serve_work(partition, start.group_id, requests, answers));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn settle(
        &self,
        request: Request<v1::SettleRequest>,
    ) -> Result<Response<v1::SettleResponse>, Status> {
        let (fault, answer) = {
            let mut partition = self.partition.lock().unwrap();
            match partition.next_fault() {
                Some(fault @ (Fault::Refuse(_) | Fault::HangUp)) => (Some(fault), None),
                fault => (fault, Some(partition.settle(request.get_ref()))),
            }
        };
        match (fault, answer) {
            (None, Some(answer)) => Ok(Response::new(answer)),
            (Some(Fault::Refuse(error)), _) => Err(error_to_status(error)),
            (Some(Fault::ServeAndFreeze), _) => std::future::pending().await,
            _ => Err(Status::unavailable("hung up")),
        }
    }

    async fn send(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        not_faked()
    }

    async fn receive(&self, _: Request<v1::ReceiveRequest>) -> Result<Response<v1::ReceiveResponse>, Status> {
        not_faked()
    }

    async fn peek(&self, _: Request<v1::PeekRequest>) -> Result<Response<v1::PeekResponse>, Status> {
        not_faked()
    }

    async fn stats(
        &self,
        _: Request<v1::QueueStatsRequest>,
    ) -> Result<Response<v1::QueueStatsResponse>, Status> {
        not_faked()
    }

    async fn cancel_scheduled(
        &self,
        _: Request<v1::CancelScheduledRequest>,
    ) -> Result<Response<v1::CancelScheduledResponse>, Status> {
        not_faked()
    }

    async fn purge(&self, _: Request<v1::PurgeRequest>) -> Result<Response<v1::PurgeResponse>, Status> {
        not_faked()
    }

    async fn replay(&self, _: Request<v1::ReplayRequest>) -> Result<Response<v1::ReplayResponse>, Status> {
        not_faked()
    }

    async fn explain(&self, _: Request<v1::ExplainRequest>) -> Result<Response<v1::ExplainResponse>, Status> {
        not_faked()
    }

    async fn list_parked(
        &self,
        _: Request<v1::ListParkedRequest>,
    ) -> Result<Response<v1::PeekResponse>, Status> {
        not_faked()
    }

    async fn redrive(&self, _: Request<v1::RedriveRequest>) -> Result<Response<v1::RedriveResponse>, Status> {
        not_faked()
    }

    async fn discard(&self, _: Request<v1::DiscardRequest>) -> Result<Response<v1::DiscardResponse>, Status> {
        not_faked()
    }
}

/// Serves a session until the client or a fault ends it. Faults strike settles.
async fn serve_work(
    partition: Arc<Mutex<Partition>>,
    group: u32,
    mut requests: Streaming<v1::WorkRequest>,
    answers: mpsc::Sender<Result<v1::WorkResponse, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        let Some(step) = work_step(&mut partition.lock().unwrap(), group, request.step.unwrap()) else {
            return;
        };
        if answers.send(Ok(v1::WorkResponse { step: Some(step) })).await.is_err() {
            return;
        }
    }
}

fn work_step(partition: &mut Partition, group: u32, step: work_request::Step) -> Option<work_response::Step> {
    match step {
        work_request::Step::Start(_) => None,
        work_request::Step::Credit(credit) => {
            let count = partition.ready.len().min(credit as usize);
            let messages = partition.ready.drain(..count).map(|message| leased(group, message)).collect();
            Some(work_response::Step::Delivery(v1::Delivery { messages }))
        }
        work_request::Step::Settle(request) => {
            let settled = match partition.next_fault() {
                None => partition.settle(&request),
                Some(Fault::Refuse(error)) => v1::SettleResponse {
                    correlation_id: request.correlation_id,
                    results: request.items.iter().map(|_| refused(&error)).collect(),
                },
                Some(Fault::HangUp) => return None,
                Some(Fault::ServeAndHangUp | Fault::ServeAndFreeze) => {
                    partition.settle(&request);
                    return None;
                }
            };
            Some(work_response::Step::Settled(settled))
        }
    }
}

fn refused(error: &WeirError) -> v1::SettleResult {
    v1::SettleResult { error: Some(error.clone().into()) }
}

fn leased(group: u32, message_id: u64) -> v1::LeasedMessage {
    let lease_id = message_id + 100;
    let token =
        LeaseToken { group: GroupId(group), message: MessageId(message_id), lease: LeaseId(lease_id) };
    v1::LeasedMessage {
        token: token.to_string(),
        message_id,
        lease_id,
        attempt: 1,
        lease_ms: 30_000,
        record: Some(v1::Record { value: Some("work".into()), ..v1::Record::default() }),
    }
}
