//! The task that carries the batches of one partition to its leader.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};
use weir_proto::v1;
use weir_proto::v1::produce_response::Outcome;
use weir_proto::v1::queue_client::QueueClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::{ErrorKind, GroupId, TopicKind, WeirError};

use super::batch::Batch;
use super::delivery::Delivery;
use super::flight::{Answered, Expired, Flight, PARTITION_SEALED};
use super::intake::Intake;
use super::lanes::Lanes;
use super::stamps::Stamps;
use crate::call::{Attempts, Core, Failure, Route};
use crate::routing::{PartitionRoute, RoutingTable, Target, TopicRoute};
use crate::{Error, ProducerOptions, Result};

/// A lane's attempts never end by themselves: each batch has its own deadline.
const FOREVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Everything one lane needs.
pub(crate) struct Lane {
    core: Arc<Core>,
    topic: Arc<TopicRoute>,
    partition: u32,
    group: GroupId,
    intake: Arc<Intake>,
    stamps: Arc<Stamps>,
    options: ProducerOptions,
    flight: Flight<Batch>,
    /// Who takes over when the partition is split or merged. They hold this lane, so that it does not hold them.
    lanes: Weak<Lanes>,
    tables: watch::Receiver<Arc<RoutingTable>>,
    /// Older producers are to be shut out before anything is sent.
    to_fence: bool,
    /// A newer producer has shut this one out.
    fenced: bool,
    /// What the last failed attempt said.
    last: String,
    /// Its refusal, if it was one over a limit.
    over_limit: Option<WeirError>,
}

/// Why a connection was left.
enum Left {
    /// It broke, or the node refused with leave to try again.
    Failed(Failure),
    /// The oldest batch's time is up.
    Expired,
    /// Nothing more can be sent under this stamp.
    NeedsStamp,
    /// The partition is sealed, and has answered everything.
    Over,
}

impl Lane {
    pub(crate) fn new(
        core: &Arc<Core>,
        topic: &Arc<TopicRoute>,
        partition: &PartitionRoute,
        stamps: &Arc<Stamps>,
        options: &ProducerOptions,
        (lanes, to_fence): (Weak<Lanes>, bool),
    ) -> Self {
        Self {
            core: Arc::clone(core),
            topic: Arc::clone(topic),
            partition: partition.partition,
            group: partition.group,
            intake: Arc::new(Intake::new(options)),
            stamps: Arc::clone(stamps),
            options: options.clone(),
            flight: Flight::new(options.in_flight_max, options.idempotent, None),
            lanes,
            tables: core.router.watch(),
            to_fence,
            fenced: false,
            last: "nothing was sent yet".to_owned(),
            over_limit: None,
        }
    }

    /// Where records are put in.
    pub(crate) fn intake(&self) -> Arc<Intake> {
        Arc::clone(&self.intake)
    }

    /// Sends what comes in, until it is aborted, or its partition is sealed and others have taken over.
    pub(crate) async fn run(mut self) {
        let mut route = Route::leader_of(self.group);
        let mut attempts = Attempts::new(self.core.now(), FOREVER);
        loop {
            self.expire();
            if self.flight.is_over() && !self.fenced {
                if self.hand_over() {
                    return;
                }
                self.table_or_record().await;
                continue;
            }
            if self.to_fence {
                self.fence().await;
                continue;
            }
            let Some(deadline) = self.deadline() else {
                self.record_or_seal().await;
                continue;
            };
            if self.flight.needs_stamp() {
                self.renew_stamp(deadline).await;
                continue;
            }
            let address = route.address(&self.core);
            match self.converse(&address, &mut route, &mut attempts).await {
                Left::NeedsStamp | Left::Over => self.disconnected(false),
                Left::Expired => self.disconnected(true),
                Left::Failed(failure) => {
                    self.last = format!("{address}: {}", failure.error);
                    self.over_limit = failure.over_limit();
                    tracing::debug!(group = self.group.0, error = self.last, "producing broke");
                    self.disconnected(!failure.is_of_connecting());
                    let recovered =
                        route.recover(&self.core, &mut attempts, &address, failure, deadline).await;
                    if let Err(error) = recovered {
                        self.give_up(&error);
                    }
                }
            }
        }
    }

    /// Sends batches over one connection and takes their answers, until something ends it.
    async fn converse(&mut self, address: &str, route: &mut Route, attempts: &mut Attempts) -> Left {
        let channel = match self.core.pool.channel(address) {
            Ok(channel) => channel,
            Err(error) => return Left::Failed(Failure::answered(error)),
        };
        let core = Arc::clone(&self.core);
        let moved = core.moved(Target::Leader(self.group), address);
        let topic = Arc::clone(&self.topic);
        let sealed = core.router.sealed(&topic.name, self.group);
        tokio::pin!(moved, sealed);
        // Without ids, what may be appended already cannot be sent to the next leader: its answer is worth waiting for.
        let repeats = self.options.idempotent;
        let (requests, queue) = mpsc::channel(self.options.in_flight_max);
        self.fill(&requests);
        let mut answers = tokio::select! {
            opened = open(self.topic.kind, channel, queue) => match opened {
                Ok(answers) => answers,
                Err(status) => return Left::Failed(Failure::from_status(&status)),
            },
            () = until(self.deadline()) => return Left::Expired,
            failure = &mut moved, if repeats => return Left::Failed(failure),
        };
        loop {
            if self.flight.is_over() {
                return Left::Over;
            }
            if self.flight.needs_stamp() {
                return Left::NeedsStamp;
            }
            self.fill(&requests);
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        if let Err(failure) = self.take(answer) {
                            return Left::Failed(failure);
                        }
                        attempts.succeeded();
                        route.succeeded();
                    }
                    Ok(None) => return Left::Failed(Failure::stream_ended()),
                    Err(status) => return Left::Failed(Failure::from_status(&status)),
                },
                failure = &mut moved, if repeats => return Left::Failed(failure),
                () = self.intake.arrived(), if self.flight.has_room() => {}
                () = &mut sealed, if !self.flight.is_sealed() => self.flight.seal(),
                () = until(self.deadline()) => return Left::Expired,
            }
        }
    }

    /// Hands to the connection what it is ready for.
    fn fill(&mut self, requests: &mpsc::Sender<v1::ProduceRequest>) {
        let group_id = self.group.0;
        let send = |(correlation_id, batch)| {
            let request = v1::ProduceRequest { correlation_id, group_id, batch };
            // The channel holds as many as may be in flight. When its other end is gone, so is the connection.
            let _ = requests.try_send(request);
        };
        while let Some(request) = self.flight.send_again() {
            send(request);
        }
        while self.flight.has_room() {
            let Some(batch) = self.flight.take_returned().or_else(|| self.intake.take()) else { break };
            match batch.encode(self.flight.next_sequence(), self.options.codec) {
                Ok(bytes) => {
                    let count = batch.count();
                    send((self.flight.send(batch, count, bytes.clone()), bytes));
                }
                Err(error) => batch.answer(Err(Error::Record(error))),
            }
        }
    }

    /// Takes one answer. An error ends the connection.
    fn take(&mut self, answer: v1::ProduceResponse) -> Result<(), Failure> {
        let outcome = match answer.outcome {
            Some(Outcome::BaseOffset(base)) => Ok((base, answer.duplicate)),
            Some(Outcome::Error(error)) => Err(self.as_sealed(error.into())),
            None => Err(WeirError::new(ErrorKind::OutcomeUnknown, "answer-empty", "the answer is empty")),
        };
        match self.flight.answered(answer.correlation_id, outcome) {
            Answered::Delivered(batch, offset, duplicate) => {
                batch.answer(Ok(Delivery { partition: self.partition, offset, duplicate }));
            }
            Answered::Failed(batch, error) => {
                let fenced = error.kind == ErrorKind::Fenced;
                let error = Error::Broker(error);
                batch.answer(Err(error.clone()));
                if fenced {
                    self.fenced = true;
                    self.intake.refuse(error.clone());
                    self.give_up(&error);
                }
            }
            Answered::Unknown(batch, error) => self.outcome_unknown(batch, error.to_string()),
            Answered::Returned => {}
            Answered::Again(error) => return Err(Failure::answered(error)),
            Answered::Misplaced => return Err(Failure::stream_ended()),
        }
        Ok(())
    }

    /// A partition that is gone while its topic is there was sealed, long ago.
    fn as_sealed(&self, mut error: WeirError) -> WeirError {
        let table = self.core.router.table();
        let now = table.topic(&self.topic.name).filter(|now| now.id == self.topic.id);
        if error.kind == ErrorKind::NotFound && now.is_some_and(|now| !now.has(self.group)) {
            PARTITION_SEALED.clone_into(&mut error.code);
        }
        error
    }

    /// Gives what is left to the lanes of those that own the keys now: whether that is done.
    fn hand_over(&mut self) -> bool {
        "its partition was split or merged, and who owns its keys is not known yet"
            .clone_into(&mut self.last);
        // Before the look, so that a table that comes after it is waited for.
        self.tables.mark_unchanged();
        let Self { lanes, flight, group, .. } = self;
        // Without them the producer is gone, and this task with it.
        lanes.upgrade().is_none_or(|lanes| lanes.hand_over(*group, || flight.take_returned()))
    }

    /// Waits until it may be time to hand over, or to give up on a batch.
    async fn table_or_record(&mut self) {
        let deadline = self.deadline();
        tokio::select! {
            _ = self.tables.changed() => {}
            () = self.intake.arrived(), if deadline.is_none() => {}
            () = until(deadline) => {}
        }
    }

    /// Waits until there is something to send, or the partition is sealed.
    async fn record_or_seal(&mut self) {
        tokio::select! {
            () = self.intake.arrived() => {}
            () = self.core.router.sealed(&self.topic.name, self.group), if !self.flight.is_sealed() => {
                self.flight.seal();
            }
        }
    }

    /// Shuts older producers out, at once, so that they append nothing more whenever this one does.
    async fn fence(&mut self) {
        let deadline = self.deadline();
        let longest = self.core.options.request_timeout;
        let timeout = deadline
            .map_or(longest, |deadline| longest.min(deadline.saturating_duration_since(self.core.now())));
        let stamps = Arc::clone(&self.stamps);
        let fenced = tokio::select! {
            fenced = stamps.fence(self.group, timeout) => fenced,
            // It has a deadline of its own.
            () = self.intake.arrived(), if deadline.is_none() => return,
        };
        match fenced {
            Ok(()) => self.to_fence = false,
            Err(error @ (Error::Timeout { .. } | Error::OutcomeUnknown { .. })) => {
                self.last = error.to_string();
            }
            Err(error) => {
                // Whatever refuses that refuses what is sent too, with its own word for it.
                self.to_fence = false;
                self.last = error.to_string();
            }
        }
    }

    async fn renew_stamp(&mut self, deadline: Instant) {
        let patience = deadline.saturating_duration_since(self.core.now());
        let timeout = patience.min(self.core.options.request_timeout);
        match self.stamps.other_than(self.flight.stamp(), timeout).await {
            Ok(stamp) => self.flight.set_stamp(stamp),
            Err(error @ (Error::Timeout { .. } | Error::OutcomeUnknown { .. })) => {
                self.last = error.to_string();
            }
            Err(error) => self.give_up(&error),
        }
    }

    fn disconnected(&mut self, reached: bool) {
        for batch in self.flight.disconnected(reached) {
            self.outcome_unknown(batch, self.last.clone());
        }
    }

    /// When the oldest batch's time is up; none when there is no batch.
    fn deadline(&self) -> Option<Instant> {
        self.flight.front().map(Batch::deadline).or_else(|| self.intake.deadline())
    }

    /// Fails what has been tried long enough. Called between connections.
    fn expire(&mut self) {
        let now = self.core.now();
        for Expired { item: batch, lost } in self.flight.expire(|batch| batch.deadline() <= now) {
            self.out_of_time(batch, lost);
        }
        while self.flight.is_empty()
            && let Some(batch) = self.intake.take_expired(now)
        {
            self.out_of_time(batch, false);
        }
    }

    fn out_of_time(&self, batch: Batch, lost: bool) {
        if lost {
            return self.outcome_unknown(batch, self.last.clone());
        }
        batch.answer(Err(match &self.over_limit {
            Some(refusal) => Error::Broker(refusal.clone()),
            None => Error::Timeout {
                doing: self.doing(),
                waited: self.options.delivery_timeout,
                last: self.last.clone(),
            },
        }));
    }

    fn outcome_unknown(&self, batch: Batch, last: String) {
        let started = batch.deadline() - self.options.delivery_timeout;
        let waited = self.core.now().saturating_duration_since(started);
        batch.answer(Err(Error::OutcomeUnknown { doing: self.doing(), waited, last }));
    }

    /// Fails everything with an answer that is final for this partition.
    fn give_up(&mut self, error: &Error) {
        for Expired { item: batch, lost } in self.flight.give_up() {
            if lost && error.kind() != ErrorKind::Fenced {
                self.outcome_unknown(batch, error.to_string());
            } else {
                batch.answer(Err(error.clone()));
            }
        }
        while let Some(batch) = self.intake.take() {
            batch.answer(Err(error.clone()));
        }
    }

    fn doing(&self) -> String {
        format!("append to partition {}", self.partition)
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

async fn open(
    kind: TopicKind,
    channel: Channel,
    queue: mpsc::Receiver<v1::ProduceRequest>,
) -> Result<Streaming<v1::ProduceResponse>, Status> {
    let requests = ReceiverStream::new(queue);
    let answers = match kind {
        TopicKind::Stream => StreamClient::new(channel).produce(requests).await,
        TopicKind::Queue => QueueClient::new(channel).produce(requests).await,
    };
    answers.map(tonic::Response::into_inner)
}
