//! Streams: produce, fetch, offsets.

use futures::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use weir_broker::Broker;
use weir_broker::api::outputs::Handled;
use weir_broker::api::stream::{Appended, Commit, Fetched, Offsets, PendingAppend, poll_deadline};
use weir_proto::error_to_status;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::stream_server::Stream;
use weir_proto::v1::{self, ProduceRequest, ProduceResponse};
use weir_types::{GroupId, Offset, ProducerEpoch, ProducerId, WallClock, WeirError};

use super::{Answers, Services, invalid, stopping};

/// Appends of one call that may be in flight.
pub(super) const PRODUCE_INFLIGHT_MAX: usize = 1_024;
/// Most bytes in one answer of a fetch.
const FETCH_BYTES_MAX: u64 = 1 << 20;
/// Answers of a fetch that wait for the connection.
const FETCH_ANSWERS_MAX: usize = 2;
/// A fetch at the end looks again after this long, to notice a fenced owner.
const FETCH_WAIT: Duration = Duration::from_secs(20);

#[tonic::async_trait]
impl Stream for Services {
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

    async fn append(&self, request: Request<ProduceRequest>) -> Result<Response<ProduceResponse>, Status> {
        let request = request.into_inner();
        let pending =
            self.broker()?.append(GroupId(request.group_id), request.batch).await.map_err(error_to_status)?;
        let appended = pending.answer().await.map_err(error_to_status)?;
        Ok(Response::new(produced(request.correlation_id, Ok(appended))))
    }

    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(
        &self,
        request: Request<Streaming<v1::FetchRequest>>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        let Some(v1::FetchRequest { start: Some(start), credit_bytes }) = first else {
            return Err(invalid("fetch-without-start", "the first message of a fetch sets `start`"));
        };
        let (answers, stream) = mpsc::channel(FETCH_ANSWERS_MAX);
        let fetch = Fetch { broker: self.broker()?, start, credit: credit_bytes, requests, answers };
        let stop = self.stop.clone();
        let last = fetch.answers.clone();
        tokio::spawn(async move {
            if stop.run_until_cancelled(fetch.run()).await.is_none() {
                // A client that is behind with reading sees the stream end, and comes back all the same.
                let _ = last.try_send(Err(error_to_status(stopping())));
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn read(&self, request: Request<v1::ReadRequest>) -> Result<Response<v1::FetchResponse>, Status> {
        let request = request.into_inner();
        let (group, offset) = (GroupId(request.group_id), Offset(request.offset));
        let bytes_max = request.bytes_max.min(FETCH_BYTES_MAX);
        let broker = self.broker()?;
        let mut fetched = broker.fetch(group, offset, bytes_max).await.map_err(error_to_status)?;
        if fetched.batches.is_empty() && !fetched.sealed {
            let deadline = poll_deadline(request.wait_ms);
            let waited = self.stop.run_until_cancelled(broker.wait_for_record(group, offset, deadline)).await;
            waited.unwrap_or_else(|| Err(stopping())).map_err(error_to_status)?;
            fetched = broker.fetch_or_end(group, offset, bytes_max).await.map_err(error_to_status)?;
        }
        Ok(Response::new(fetch_response(fetched)))
    }

    async fn offsets(
        &self,
        request: Request<v1::OffsetsRequest>,
    ) -> Result<Response<v1::OffsetsResponse>, Status> {
        let request = request.into_inner();
        let (group, time) = (GroupId(request.group_id), request.time_ms.map(WallClock));
        let broker = self.broker()?;
        let mut left = None;
        if request.outbox_wait_ms > 0 {
            let (to, deadline) = (request.outbox_to.map(GroupId), poll_deadline(request.outbox_wait_ms));
            let waited = self.stop.run_until_cancelled(broker.wait_for_outputs(group, to, deadline)).await;
            left = Some(waited.unwrap_or_else(|| Err(stopping())).map_err(error_to_status)?);
        }
        let offsets = broker.offsets(group, time).await.map_err(error_to_status)?;
        let outbox_batches = left.unwrap_or(offsets.outbox_batches);
        Ok(Response::new(v1::OffsetsResponse { outbox_batches, ..offsets_response(offsets) }))
    }

    async fn fence_producer(
        &self,
        request: Request<v1::FenceProducerRequest>,
    ) -> Result<Response<v1::OffsetsResponse>, Status> {
        let v1::FenceProducerRequest { group_id, producer_id, epoch } = request.into_inner();
        let (id, epoch) = (ProducerId(producer_id), ProducerEpoch(epoch));
        let fenced = self.broker()?.fence_producer(GroupId(group_id), id, epoch).await;
        Ok(Response::new(offsets_response(fenced.map_err(error_to_status)?)))
    }

    async fn commit_offset(
        &self,
        request: Request<v1::CommitOffsetRequest>,
    ) -> Result<Response<v1::CommitOffsetResponse>, Status> {
        let request = request.into_inner();
        let commit = Commit {
            consumer_group: request.consumer_group,
            epoch: request.epoch,
            offset: Offset(request.offset),
            metadata: request.metadata,
            reset: request.reset,
        };
        let offset =
            self.broker()?.commit_offset(GroupId(request.group_id), commit).await.map_err(error_to_status)?;
        Ok(Response::new(v1::CommitOffsetResponse { offset: offset.0 }))
    }

    async fn commit_and_append(
        &self,
        request: Request<v1::CommitAndAppendRequest>,
    ) -> Result<Response<v1::CommitOffsetResponse>, Status> {
        let request = request.into_inner();
        let outputs = request.outputs.into_iter().map(|output| (GroupId(output.group_id), output.batch));
        let handled = Handled {
            consumer_group: request.consumer_group,
            epoch: request.epoch,
            from: request.from.map(Offset),
            offset: Offset(request.offset),
            metadata: request.metadata,
            outputs: outputs.collect(),
        };
        let group = GroupId(request.group_id);
        let offset = self.broker()?.commit_and_append(group, handled).await.map_err(error_to_status)?;
        Ok(Response::new(v1::CommitOffsetResponse { offset: offset.0 }))
    }

    async fn committed_offset(
        &self,
        request: Request<v1::CommittedOffsetRequest>,
    ) -> Result<Response<v1::CommittedOffsetResponse>, Status> {
        let request = request.into_inner();
        let position = self
            .broker()?
            .position(GroupId(request.group_id), &request.consumer_group)
            .await
            .map_err(error_to_status)?;
        Ok(Response::new(v1::CommittedOffsetResponse {
            offset: position.committed.map(|offset| offset.0),
            metadata: position.metadata,
            epoch: position.epoch,
            start_offset: position.start.0,
            end_offset: position.end.0,
        }))
    }

    async fn fence_group(
        &self,
        request: Request<v1::FenceGroupRequest>,
    ) -> Result<Response<v1::FenceGroupResponse>, Status> {
        let request = request.into_inner();
        let position = self
            .broker()?
            .fence(GroupId(request.group_id), request.consumer_group, request.epoch)
            .await
            .map_err(error_to_status)?;
        Ok(Response::new(v1::FenceGroupResponse {
            committed_offset: position.committed.map(|offset| offset.0),
            start_offset: position.start.0,
            end_offset: position.end.0,
        }))
    }
}

/// Takes one batch of a produce call in; the place of the answer is kept either way.
async fn admit(
    broker: Broker,
    request: Result<ProduceRequest, Status>,
) -> Result<(u64, Result<PendingAppend, WeirError>), Status> {
    let request = request?;
    Ok((request.correlation_id, broker.append(GroupId(request.group_id), request.batch).await))
}

async fn answer(
    admitted: Result<(u64, Result<PendingAppend, WeirError>), Status>,
) -> Result<ProduceResponse, Status> {
    let (correlation_id, pending) = admitted?;
    let outcome = match pending {
        Ok(pending) => pending.answer().await,
        Err(error) => Err(error),
    };
    Ok(produced(correlation_id, outcome))
}

/// The answer to one batch.
pub(super) fn produced(correlation_id: u64, outcome: Result<Appended, WeirError>) -> ProduceResponse {
    let duplicate = outcome.as_ref().is_ok_and(|appended| appended.duplicate);
    let outcome = match outcome {
        Ok(appended) => Outcome::BaseOffset(appended.base),
        Err(error) => Outcome::Error(error.into()),
    };
    ProduceResponse { correlation_id, duplicate, outcome: Some(outcome) }
}

fn offsets_response(offsets: Offsets) -> v1::OffsetsResponse {
    v1::OffsetsResponse {
        start_offset: offsets.start.0,
        end_offset: offsets.end.0,
        time_offset: offsets.at_time.map(|offset| offset.0),
        outbox_batches: offsets.outbox_batches,
    }
}

fn fetch_response(fetched: Fetched) -> v1::FetchResponse {
    v1::FetchResponse {
        batches: fetched.batches,
        end_offset: fetched.end.0,
        start_offset: fetched.start.0,
        next_offset: fetched.next.0,
        compacted_offset: fetched.compacted_to.0,
        sealed: fetched.sealed,
    }
}

/// One fetch call: sends what there is, within the client's credit, for as long as the client stays.
struct Fetch {
    broker: Broker,
    start: v1::FetchStart,
    credit: u64,
    requests: Streaming<v1::FetchRequest>,
    answers: mpsc::Sender<Result<v1::FetchResponse, Status>>,
}

impl Fetch {
    async fn run(mut self) {
        let group = GroupId(self.start.group_id);
        let mut next = Offset(self.start.offset);
        // The first answer comes at once, so that the client learns the bounds.
        let (mut told, mut told_sealed) = (false, false);
        loop {
            while self.credit == 0 {
                if !self.take_credit().await {
                    return;
                }
            }
            let fetched = match self.fetch(group, next, told).await {
                Ok(fetched) => fetched,
                Err(error) => {
                    // The client may have gone: nobody is left to tell.
                    let _ = self.answers.send(Err(error_to_status(error))).await;
                    return;
                }
            };
            let is_news = fetched.sealed && !told_sealed;
            if fetched.batches.is_empty() && told && !is_news {
                if !self.wait(group, next, told_sealed).await {
                    return;
                }
                continue;
            }
            (told, told_sealed) = (true, fetched.sealed);
            next = fetched.next;
            let bytes: usize = fetched.batches.iter().map(bytes::Bytes::len).sum();
            self.credit = self.credit.saturating_sub(bytes as u64);
            if self.answers.send(Ok(fetch_response(fetched))).await.is_err() {
                return;
            }
        }
    }

    async fn fetch(&self, group: GroupId, next: Offset, told: bool) -> Result<Fetched, WeirError> {
        if !self.start.consumer_group.is_empty() {
            self.broker.check_owner(group, &self.start.consumer_group, self.start.epoch)?;
        }
        let bytes_max = self.credit.min(FETCH_BYTES_MAX);
        if told {
            self.broker.fetch(group, next, bytes_max).await
        } else {
            self.broker.fetch_or_end(group, next, bytes_max).await
        }
    }

    /// Takes more credit; whether the client is still there.
    async fn take_credit(&mut self) -> bool {
        match self.requests.message().await {
            Ok(Some(request)) => {
                self.credit = self.credit.saturating_add(request.credit_bytes);
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Waits at the end for a record, or for the client to leave when it knows that none comes; whether to go on.
    async fn wait(&mut self, group: GroupId, next: Offset, is_over: bool) -> bool {
        let deadline = Instant::now() + FETCH_WAIT;
        let broker = self.broker.clone();
        let waiting = async move {
            if is_over {
                sleep_until(deadline).await;
                return Ok(());
            }
            broker.wait_for_record(group, next, deadline).await
        };
        tokio::select! {
            waited = waiting => match waited {
                Ok(()) => true,
                Err(error) => {
                    let _ = self.answers.send(Err(error_to_status(error))).await;
                    false
                }
            },
            request = self.requests.message() => match request {
                Ok(Some(request)) => {
                    self.credit = self.credit.saturating_add(request.credit_bytes);
                    true
                }
                Ok(None) | Err(_) => false,
            },
            () = self.answers.closed() => false,
        }
    }
}
