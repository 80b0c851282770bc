//! Produce, fetch and offsets.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::time::timeout;
use tonic::{Request, Response, Status, Streaming};
use weir_proto::error_to_status;
use weir_proto::v1;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::stream_server::Stream;

use crate::node::{Answers, Services, not_faked};
use crate::partition::{Fault, Partition};

/// How often an open fetch looks whether its partition is sealed.
const PACE: Duration = Duration::from_millis(5);

#[tonic::async_trait]
impl Stream for Services {
    type ProduceStream = Answers<v1::ProduceResponse>;

    async fn produce(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStream>, Status> {
        Ok(Response::new(produce(self.clone(), request.into_inner())))
    }

    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(
        &self,
        request: Request<Streaming<v1::FetchRequest>>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let mut requests = request.into_inner();
        let start = requests.message().await?.unwrap().start.unwrap();
        let shared = self.partition_of(start.group_id);
        let again = Arc::clone(&shared);
        let mut partition = shared.lock().unwrap();
        partition.fetched_from.push(start.offset);
        let (sealed, compacted_offset) = (partition.sealed, partition.compacted_to);
        let answer = move |batches, end_offset, sealed| v1::FetchResponse {
            batches,
            end_offset,
            compacted_offset,
            sealed,
            ..v1::FetchResponse::default()
        };
        let batches = partition.batches_from(start.offset);
        let answers = match partition.next_fault() {
            Some(Fault::Refuse(error)) => return Err(error_to_status(error)),
            Some(Fault::HangUp) => Vec::new(),
            Some(Fault::ServeAndHangUp) => vec![Ok(answer(batches[..1].to_vec(), partition.end, sealed))],
            None | Some(Fault::ServeAndFreeze) => {
                let all = [Ok(answer(batches, partition.end, sealed))];
                // The requests are kept, or the call would be over.
                let open = futures::stream::once(async move {
                    let sealed_now = || again.lock().unwrap().sealed && !sealed;
                    while !sealed_now()
                        && !matches!(timeout(PACE, requests.message()).await, Ok(Ok(None) | Err(_)))
                    {
                    }
                    let end = again.lock().unwrap().end;
                    Ok(answer(Vec::new(), end, sealed_now()))
                });
                return Ok(Response::new(Box::pin(futures::stream::iter(all).chain(open))));
            }
        };
        Ok(Response::new(Box::pin(futures::stream::iter(answers))))
    }

    async fn offsets(
        &self,
        request: Request<v1::OffsetsRequest>,
    ) -> Result<Response<v1::OffsetsResponse>, Status> {
        let v1::OffsetsRequest { group_id, time_ms, .. } = request.into_inner();
        let shared = self.partition_of(group_id);
        let partition = shared.lock().unwrap();
        Ok(Response::new(v1::OffsetsResponse {
            end_offset: partition.end,
            time_offset: time_ms.map(|_| partition.at_time),
            ..v1::OffsetsResponse::default()
        }))
    }

    async fn append(&self, _: Request<v1::ProduceRequest>) -> Result<Response<v1::ProduceResponse>, Status> {
        not_faked()
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let shared = self.partition_of(request.get_ref().group_id);
        let partition = shared.lock().unwrap();
        let (end_offset, sealed) = (partition.end, partition.sealed);
        Ok(Response::new(v1::FetchResponse { end_offset, sealed, ..v1::FetchResponse::default() }))
    }

    async fn commit_offset(
        &self,
        request: Request<v1::CommitOffsetRequest>,
    ) -> Result<Response<v1::CommitOffsetResponse>, Status> {
        let v1::CommitOffsetRequest { group_id, offset, .. } = request.into_inner();
        self.positions.lock().unwrap().committed.insert(group_id, offset);
        Ok(Response::new(v1::CommitOffsetResponse { offset }))
    }

    async fn fence_producer(
        &self,
        request: Request<v1::FenceProducerRequest>,
    ) -> Result<Response<v1::OffsetsResponse>, Status> {
        let shared = self.partition_of(request.get_ref().group_id);
        let mut partition = shared.lock().unwrap();
        let end_offset = partition.end;
        partition.fenced_at.push(end_offset);
        Ok(Response::new(v1::OffsetsResponse { end_offset, ..v1::OffsetsResponse::default() }))
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
        request: Request<v1::FenceGroupRequest>,
    ) -> Result<Response<v1::FenceGroupResponse>, Status> {
        let group = request.get_ref().group_id;
        let committed_offset = self.positions.lock().unwrap().committed.get(&group).copied();
        let end_offset = self.partition_of(group).lock().unwrap().end;
        Ok(Response::new(v1::FenceGroupResponse { committed_offset, start_offset: 0, end_offset }))
    }
}

/// Appends what comes, with the faults that the test ordered.
pub(crate) fn produce(
    services: Services,
    requests: Streaming<v1::ProduceRequest>,
) -> Answers<v1::ProduceResponse> {
    let answers = requests.then(move |request| {
        let served = request.map_or(Served::HangUp, |request| {
            let partition = services.partition_of(request.group_id);
            serve(&mut partition.lock().unwrap(), &request)
        });
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
