//! Produce, fetch and offsets.

use std::sync::{Arc, Mutex};

use futures::StreamExt as _;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::error_to_status;
use weir_proto::v1;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::stream_server::Stream;

use crate::node::{Answers, Services, not_faked};
use crate::partition::{Fault, Partition};

#[tonic::async_trait]
impl Stream for Services {
    type ProduceStream = Answers<v1::ProduceResponse>;

    async fn produce(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStream>, Status> {
        Ok(Response::new(produce(self.partition.clone(), request.into_inner())))
    }

    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(
        &self,
        request: Request<Streaming<v1::FetchRequest>>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let mut requests = request.into_inner();
        let start = requests.message().await?.unwrap().start.unwrap();
        let mut partition = self.partition.lock().unwrap();
        partition.fetched_from.push(start.offset);
        let compacted_offset = partition.compacted_to;
        let answer = move |batches, end_offset| v1::FetchResponse {
            batches,
            end_offset,
            compacted_offset,
            ..v1::FetchResponse::default()
        };
        let batches = partition.batches_from(start.offset);
        let answers = match partition.next_fault() {
            Some(Fault::Refuse(error)) => return Err(error_to_status(error)),
            Some(Fault::HangUp) => Vec::new(),
            Some(Fault::ServeAndHangUp) => vec![Ok(answer(batches[..1].to_vec(), partition.end))],
            None | Some(Fault::ServeAndFreeze) => {
                let all = [Ok(answer(batches, partition.end))];
                // The requests are kept, or the call would be over.
                let open = futures::stream::once(async move {
                    while let Ok(Some(_)) = requests.message().await {}
                    Ok(answer(Vec::new(), 0))
                });
                return Ok(Response::new(Box::pin(futures::stream::iter(all).chain(open))));
            }
        };
        Ok(Response::new(Box::pin(futures::stream::iter(answers))))
    }

    async fn offsets(&self, _: Request<v1::OffsetsRequest>) -> Result<Response<v1::OffsetsResponse>, Status> {
        let end_offset = self.partition.lock().unwrap().end;
        Ok(Response::new(v1::OffsetsResponse { end_offset, ..v1::OffsetsResponse::default() }))
    }

    async fn append(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        not_faked()
    }

    async fn read(&self, _: Request<v1::ReadRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        not_faked()
    }

    async fn commit_offset(
        &self,
        _: Request<v1::CommitOffsetRequest>,
    ) -> Result<Response<v1::CommitOffsetResponse>, Status> {
        not_faked()
    }

    async fn fence_producer(
        &self,
        _: Request<v1::FenceProducerRequest>,
    ) -> Result<Response<v1::OffsetsResponse>, Status> {
        not_faked()
    }

    async fn commit_and_append(
        &self,
        _: Request<v1::CommitAndAppendRequest>,
    ) -> Result<Response<v1::CommitOffsetResponse>, Status> {
        not_faked()
    }

    async fn committed_offset(
        &self,
        _: Request<v1::CommittedOffsetRequest>,
    ) -> Result<Response<v1::CommittedOffsetResponse>, Status> {
        not_faked()
    }

    async fn fence_group(
        &self,
        _: Request<v1::FenceGroupRequest>,
    ) -> Result<Response<v1::FenceGroupResponse>, Status> {
        not_faked()
    }
}

/// Appends what comes, with the faults that the test ordered.
pub(crate) fn produce(
    partition: Arc<Mutex<Partition>>,
    requests: Streaming<v1::ProduceRequest>,
) -> Answers<v1::ProduceResponse> {
    let answers = requests.then(move |request| {
        let served =
            request.map_or(Served::HangUp, |request| serve(&mut partition.lock().unwrap(), &request));
        async move {
            match served {
                Served::Answer(answer) => Some(answer),
                Served::HangUp => None,
                Served::Freeze => std::future::pending().await,
            }
        }
    });
    // The first request that is not answered ends the call.
    Box::pin(
        answers
            .take_while(|answer| std::future::ready(answer.is_some()))
            .filter_map(async |answer| answer.map(Ok)),
    )
}

enum Served {
    Answer(v1::ProduceResponse),
    HangUp,
    Freeze,
}

fn serve(partition: &mut Partition, request: &v1::ProduceRequest) -> Served {
    let outcome = match partition.next_fault() {
        None => partition.append(&request.batch),
        Some(Fault::Refuse(error)) => Err(error),
        Some(Fault::HangUp) => return Served::HangUp,
        Some(Fault::ServeAndHangUp) => {
            partition.append(&request.batch).unwrap();
            return Served::HangUp;
        }
        Some(Fault::ServeAndFreeze) => {
            partition.append(&request.batch).unwrap();
            return Served::Freeze;
        }
    };
    let duplicate = outcome.as_ref().is_ok_and(|(_, duplicate)| *duplicate);
    let outcome = match outcome {
        Ok((base, _)) => Outcome::BaseOffset(base),
        Err(error) => Outcome::Error(error.into()),
    };
    let correlation_id = request.correlation_id;
    Served::Answer(v1::ProduceResponse { correlation_id, duplicate, outcome: Some(outcome) })
}
