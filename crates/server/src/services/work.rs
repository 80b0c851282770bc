//! A worker's stream: credit and settles come up, deliveries and outcomes go down.

use futures::StreamExt as _;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Response, Status, Streaming};
use weir_broker::api::queue::{LeaseRequest, LeasedMessage, OpenSession};
use weir_broker::api::stream::poll_deadline;
use weir_broker::{Broker, SessionEnding};
use weir_proto::error_to_status;
use weir_proto::v1::work_request::Step as Up;
use weir_proto::v1::work_response::Step as Down;
use weir_proto::v1::{self, WorkRequest, WorkResponse, WorkStart};
use weir_types::limits::{LEASE_MESSAGES_MAX, POLL_MS_MAX};
use weir_types::{GroupId, LeaseId, SessionId, WeirError};

use super::queue::{LEASE_BYTES_MAX, settle};
use super::{Answers, invalid, records, stopping};

/// Answers that wait for the connection.
const ANSWERS_MAX: usize = 16;
/// Settles of one worker that may be in flight.
const SETTLES_MAX: usize = 64;

/// Opens the session and starts its task.
pub(super) async fn start(
    broker: Broker,
    mut requests: Streaming<WorkRequest>,
    stop: CancellationToken,
) -> Result<Response<Answers<WorkResponse>>, Status> {
    let first = requests.message().await?;
    let Some(WorkRequest { step: Some(Up::Start(start)) }) = first else {
        return Err(invalid("work-without-start", "the first message of a worker is `start`"));
    };
    let (group, session) = (GroupId(start.group_id), SessionId(start.session_id));
    let (answers, stream) = mpsc::channel(ANSWERS_MAX);
    let (opened, outcome) = oneshot::channel();
    // In a task of its own from the start: a client that hangs up while its session is being opened must not leave
    // it behind.
    tokio::spawn(async move {
        match broker.open_session(group, session).await {
            Ok(open) => {
                // Where nobody waits any more, the worker finds its answers closed.
                let _ = opened.send(Ok(()));
                Worker::new(broker, open, &start, answers).run(start, requests, stop).await;
            }
            Err(error) => {
                let _ = opened.send(Err(error));
            }
        }
    });
    outcome.await.unwrap_or_else(|_| Err(stopping())).map_err(error_to_status)?;
    Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
}

type Leasing = BoxFuture<'static, Result<Vec<LeasedMessage>, WeirError>>;
type Settling = BoxFuture<'static, (u64, Result<v1::SettleResponse, WeirError>)>;

struct Worker {
    broker: Broker,
    open: OpenSession,
    lease_ms: Option<u64>,
    credit: u32,
    answers: mpsc::Sender<Result<WorkResponse, Status>>,
    /// The one lease request under way; the broker waits in it until something is ready.
    leasing: Option<Leasing>,
    settling: FuturesUnordered<Settling>,
}

impl Worker {
    fn new(
        broker: Broker,
        open: OpenSession,
        start: &WorkStart,
        answers: mpsc::Sender<Result<WorkResponse, Status>>,
    ) -> Self {
        let lease_ms = if start.lease_ms == 0 { open.lease_ms } else { start.lease_ms };
        let opened = Down::Opened(v1::WorkOpened { lease_ms });
        // There is room; and if the client has hung up, that is noticed soon.
        let _ = answers.try_send(Ok(WorkResponse { step: Some(opened) }));
        Self {
            broker,
            open,
            lease_ms: (start.lease_ms > 0).then_some(start.lease_ms),
            credit: 0,
            answers,
            leasing: None,
            settling: FuturesUnordered::new(),
        }
    }

    async fn run(mut self, start: WorkStart, mut requests: Streaming<WorkRequest>, stop: CancellationToken) {
        let outcome = tokio::select! {
            outcome = self.serve(start, &mut requests) => outcome,
            () = stop.cancelled() => Err(Some(stopping())),
        };
        let ending = match outcome {
            Ok(()) => SessionEnding::Clean,
            Err(error) => {
                if let Some(error) = error {
                    // The client may have gone: nobody is left to tell.
                    let _ = self.answers.send(Err(error_to_status(error))).await;
                }
                SessionEnding::Lost
            }
        };
        // Where this fails, another node leads now, and has declared the session lost itself.
        if let Err(error) = self.broker.close_session(self.open, ending).await {
            tracing::debug!(%error, session = %self.open.session, "session was not closed here");
        }
    }

    /// Until the client ends its half (Ok), hangs up (Err without an error) or something fails.
    async fn serve(
        &mut self,
        start: WorkStart,
        requests: &mut Streaming<WorkRequest>,
    ) -> Result<(), Option<WeirError>> {
        self.redeliver(&start).await?;
        let (broker, open) = (self.broker.clone(), self.open);
        let mut moved = std::pin::pin!(broker.session_moved(&open));
        loop {
            self.lease_if_wanted();
            tokio::select! {
                request = requests.message(), if self.settling.len() < SETTLES_MAX => match request {
                    Ok(Some(request)) => self.take(request)?,
                    Ok(None) => return self.finish().await,
                    Err(_) => return Err(None),
                },
                leased = leased(&mut self.leasing), if self.leasing.is_some() => {
                    self.leasing = None;
                    self.deliver(leased?).await?;
                }
                Some((correlation_id, settled)) = self.settling.next(), if !self.settling.is_empty() => {
                    self.answer(correlation_id, settled).await?;
                }
                error = &mut moved => return Err(Some(error)),
                () = self.answers.closed() => return Err(None),
            }
        }
    }

    /// What was on its way when the connection broke is delivered again under its lease.
    async fn redeliver(&mut self, start: &WorkStart) -> Result<(), Option<WeirError>> {
        let known: Vec<LeaseId> = start.held_lease_ids.iter().copied().map(LeaseId).collect();
        let lost = self.broker.undelivered(self.open.group, self.open.session, &known).await?;
        self.deliver(lost).await
    }

    fn take(&mut self, request: WorkRequest) -> Result<(), Option<WeirError>> {
        match request.step {
            Some(Up::Credit(more)) => self.credit = self.credit.saturating_add(more),
            Some(Up::Settle(request)) => {
                let (broker, correlation_id) = (self.broker.clone(), request.correlation_id);
                self.settling.push(Box::pin(async move { (correlation_id, settle(&broker, request).await) }));
            }
            Some(Up::Start(_)) | None => {
                let message = "a worker's stream has one `start`, then credit and settles";
                return Err(Some(WeirError::new(
                    weir_types::ErrorKind::Invalid,
                    "unexpected-work-step",
                    message,
                )));
            }
        }
        Ok(())
    }

    fn lease_if_wanted(&mut self) {
        if self.leasing.is_some() || self.credit == 0 {
            return;
        }
        let request = LeaseRequest {
            request: self.broker.fresh_request(),
            session: Some(self.open.session),
            max_messages: self.credit.min(LEASE_MESSAGES_MAX),
            max_bytes: LEASE_BYTES_MAX,
            lease_ms: self.lease_ms,
        };
        let (broker, group) = (self.broker.clone(), self.open.group);
        self.leasing =
            Some(Box::pin(async move { broker.lease(group, request, poll_deadline(POLL_MS_MAX)).await }));
    }

    async fn deliver(&mut self, leased: Vec<LeasedMessage>) -> Result<(), Option<WeirError>> {
        if leased.is_empty() {
            return Ok(());
        }
        self.credit = self.credit.saturating_sub(leased.len() as u32);
        let messages = leased.into_iter().map(|message| records::leased(self.open.group, message)).collect();
        self.send(Down::Delivery(v1::Delivery { messages })).await
    }

    async fn answer(
        &mut self,
        correlation_id: u64,
        settled: Result<v1::SettleResponse, WeirError>,
    ) -> Result<(), Option<WeirError>> {
        match settled {
            Ok(settled) => self.send(Down::Settled(settled)).await,
            Err(error) => {
                tracing::debug!(correlation_id, %error, "settle failed");
                Err(Some(error))
            }
        }
    }

    async fn send(&mut self, step: Down) -> Result<(), Option<WeirError>> {
        self.answers.send(Ok(WorkResponse { step: Some(step) })).await.map_err(|_| None)
    }

    /// The client has said goodbye: what it has settled is still answered.
    async fn finish(&mut self) -> Result<(), Option<WeirError>> {
        while let Some((correlation_id, settled)) = self.settling.next().await {
            self.answer(correlation_id, settled).await?;
        }
        Ok(())
    }
}

/// The outcome of the lease request under way; never without one.
async fn leased(leasing: &mut Option<Leasing>) -> Result<Vec<LeasedMessage>, WeirError> {
    match leasing {
        Some(leasing) => leasing.await,
        None => std::future::pending().await,
    }
}
