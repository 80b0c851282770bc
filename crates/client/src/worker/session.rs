//! The task that works at one partition: takes deliveries, extends their leases, brings settles.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Streaming};
use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_proto::v1::{work_request, work_response};
use weir_types::{ErrorKind, GroupId};

use super::closing::Closing;
use super::credit::Credit;
use super::held::Held;
use super::message::{Ask, Hands};
use super::outputs::OutputBatches;
use super::sessions::Deliveries;
use super::settle::milliseconds;
use super::settles::{Answered, Overdue, Settled, Settles, Wish};
use super::{LeasedMessage, Message, Settle, SettleAction, WorkerOptions};
use crate::call::{ANSWER_BYTES_MAX, Attempts, Core, Failure, Pauses, Route};
use crate::routing::Target;
use crate::{Error, Result};

/// Requests on their way to the node: one settle request, and grants.
const REQUESTS_QUEUED_MAX: usize = 16;
/// How long a node may take to confirm the end of a session, and how long another one is looked for that does.
const GOODBYE_MAX: Duration = Duration::from_secs(5);

/// The code of a session that was lost for longer than its grace.
const SESSION_NOT_OPEN: &str = "session-not-open";

/// Who waits for a settle.
pub(crate) enum Waiter {
    /// A handler, or nobody any more.
    Handler(Option<oneshot::Sender<Result<()>>>),
    /// This session, for an extension that it asked for itself.
    Session,
}

/// One partition's session.
pub(crate) struct Session {
    pub(crate) core: Arc<Core>,
    pub(crate) topic: Arc<str>,
    pub(crate) partition: u32,
    pub(crate) group: GroupId,
    /// Kept over reconnects, as long as the session's grace lasts.
    pub(crate) id: u64,
    pub(crate) options: WorkerOptions,
    pub(crate) hands: Hands,
    pub(crate) closing: Closing,
    pub(crate) settles_asked: mpsc::Receiver<Ask>,
    pub(crate) extensions_asked: mpsc::Receiver<Ask>,
    pub(crate) deliveries: Deliveries,
    pub(crate) held: Held,
    pub(crate) settles: Settles<Waiter>,
    pub(crate) credit: Credit,
    /// When a request that was refused for now is sent again, and the pauses so far.
    pub(crate) settle_again_at: Option<Instant>,
    pub(crate) settle_pauses: Pauses,
    /// What the last failure said.
    pub(crate) last: String,
}

/// Why a connection was left.
enum Left {
    /// It broke, having been open for so long.
    Failed(Failure, Duration),
    /// The session is over, in good order.
    Ended,
}

/// What happens inside this process.
enum Event {
    Asked(Ask),
    Due,
    Closing,
}

impl Session {
    /// Works until the worker is closed, or the partition refuses for good.
    ///
    /// # Errors
    /// When the session could not be ended in good order: its leases return when its grace is over.
    pub(crate) async fn run(mut self) -> Result<()> {
        let mut route = Route::leader_of(self.group);
        let mut attempts = self.patience();
        let mut leave_by = None;
        loop {
            let address = route.address(&self.core);
            let (mut failure, open_for) = match self.work_at(&address, &mut route, &mut attempts).await {
                Left::Ended => return Ok(()),
                Left::Failed(failure, open_for) => (failure, open_for),
            };
            // A partition that is quiet is not one that has stalled.
            if open_for >= self.options.stall_timeout / 2 {
                attempts = self.patience();
            }
            if failure.error.code == SESSION_NOT_OPEN {
                // Its grace is over, its leases have returned; each hears of it by its next extension or settle.
                self.id = self.core.random_id();
                failure.error.kind = ErrorKind::Retry;
            }
            self.last = format!("{address}: {}", failure.error);
            tracing::debug!(group = self.group.0, error = self.last, "working broke");
            self.settles.disconnected(!failure.is_of_connecting());
            if self.is_finished() {
                // The partition may just have moved: the next leader is told the end of the session, for a bounded time.
                let now = self.core.now();
                if now >= *leave_by.get_or_insert_with(|| now + GOODBYE_MAX) {
                    return Err(Error::Broker(failure.error));
                }
            }
            let dues = [Some(attempts.deadline()), self.next_due(), leave_by];
            let until = dues.into_iter().flatten().min().expect("attempts have a deadline");
            if let Err(error) = route.recover(&self.core, &mut attempts, &address, failure, until).await {
                return self.refused(error).await;
            }
            self.fire();
            if self.core.now() >= attempts.deadline() {
                self.stalled(&mut attempts);
            }
        }
    }

    /// Whether the worker is closed, and everything that was asked before is answered.
    fn is_finished(&mut self) -> bool {
        if !self.closing.is_asked() {
            return false;
        }
        while let Ok(ask) = self.settles_asked.try_recv() {
            self.asked(ask);
        }
        self.settles.is_empty()
    }

    fn patience(&self) -> Attempts {
        Attempts::new(self.core.now(), self.options.stall_timeout)
    }

    /// Works over one connection until something ends it.
    async fn work_at(&mut self, address: &str, route: &mut Route, attempts: &mut Attempts) -> Left {
        let core = Arc::clone(&self.core);
        let moved = core.moved(Target::Leader(self.group), address);
        tokio::pin!(moved);
        let (requests, queue) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let opened = tokio::select! {
            opened = self.open(address, &requests, queue) => opened,
            failure = &mut moved => Err(failure),
        };
        let mut answers = match opened {
            Ok(answers) => answers,
            Err(failure) => return Left::Failed(failure, Duration::ZERO),
        };
        self.credit.reconnected();
        let since = self.core.now();
        let mut opened = false;
        loop {
            if self.is_finished() {
                return self.say_goodbye(requests, answers, since).await;
            }
            if opened {
                self.send_what_is_due(&requests);
            }
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(v1::WorkResponse { step: Some(step) })) => {
                        *attempts = self.patience();
                        route.succeeded();
                        opened |= matches!(step, work_response::Step::Opened(_));
                        if let Err(failure) = self.take(step) {
                            return Left::Failed(failure, self.core.now() - since);
                        }
                    }
                    Ok(Some(v1::WorkResponse { step: None })) => {}
                    Ok(None) => return Left::Failed(Failure::stream_ended(), self.core.now() - since),
                    Err(status) => return Left::Failed(Failure::from_status(&status), self.core.now() - since),
                },
                failure = &mut moved => return Left::Failed(failure, self.core.now() - since),
                event = self.event() => self.handle(event),
            }
        }
    }

    /// Opens the session at a node, going on with everything else meanwhile.
    async fn open(
        &mut self,
        address: &str,
        requests: &mpsc::Sender<v1::WorkRequest>,
        queue: mpsc::Receiver<v1::WorkRequest>,
    ) -> Result<Streaming<v1::WorkResponse>, Failure> {
        let channel = self.core.pool.channel(address).map_err(Failure::answered)?;
        let start = v1::WorkStart {
            group_id: self.group.0,
            session_id: self.id,
            lease_ms: self.options.lease.map_or(0, milliseconds),
            consumer_name: self.options.consumer_name.clone(),
            held_lease_ids: self.held.ids(),
        };
        let start = v1::WorkRequest { step: Some(work_request::Step::Start(start)) };
        requests.try_send(start).expect("the queue is empty and has room");
        let mut client = QueueClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        let opening = client.work(ReceiverStream::new(queue));
        tokio::pin!(opening);
        let until = self.core.now() + self.core.options.attempt_timeout;
        loop {
            tokio::select! {
                opened = &mut opening => {
                    return opened.map(Response::into_inner).map_err(|status| Failure::from_status(&status));
                }
                event = self.event() => self.handle(event),
                () = tokio::time::sleep_until(until) => return Err(Failure::no_answer(address)),
            }
        }
    }

    /// The next thing that happens inside this process. Cancel safe.
    async fn event(&mut self) -> Event {
        let due = self.next_due();
        tokio::select! {
            Some(ask) = self.settles_asked.recv() => Event::Asked(ask),
            Some(ask) = self.extensions_asked.recv() => Event::Asked(ask),
            () = self.closing.news() => Event::Closing,
            () = until(due) => Event::Due,
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let dues = [self.held.next_due(), self.settles.deadline(), self.settle_again_at];
        dues.into_iter().flatten().min()
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Asked(ask) => self.asked(ask),
            Event::Due => self.fire(),
            // Looked at by the loops around.
            Event::Closing => {}
        }
    }

    fn asked(&mut self, ask: Ask) {
        if !matches!(ask.settle.action, SettleAction::Extend { .. }) {
            self.held.settling(ask.settle.token.lease);
        }
        self.wish(ask.settle, ask.outputs, Waiter::Handler(ask.answer));
    }

    fn wish(&mut self, settle: Settle, outputs: Option<OutputBatches>, waiter: Waiter) {
        let deadline = self.core.now() + self.options.settle_timeout;
        self.settles.push(Wish { settle, outputs, deadline, waiter });
    }

    /// Does what is due by now.
    fn fire(&mut self) {
        let now = self.core.now();
        for (token, length) in self.held.take_due(now) {
            let action = SettleAction::Extend { lease: Some(length) };
            self.wish(Settle { token, action }, None, Waiter::Session);
        }
        self.held.cancel_overdue(now);
        for overdue in self.settles.expire(now) {
            self.out_of_time(overdue);
        }
        if self.settle_again_at.is_some_and(|at| at <= now) {
            self.settle_again_at = None;
            self.settles.send_again();
        }
    }

    fn out_of_time(&mut self, overdue: Overdue<Waiter>) {
        let started = overdue.wish.deadline - self.options.settle_timeout;
        let settled = overdue.into_settled(self.core.now(), started, &self.last);
        self.settled(settled);
    }

    fn send_what_is_due(&mut self, requests: &mpsc::Sender<v1::WorkRequest>) {
        // Without a place in the queue the node is behind; what is due stays so, and goes after the next event.
        if let Ok(place) = requests.try_reserve()
            && let Some(settle) = self.settles.next_request(|| self.core.random_id())
        {
            place.send(v1::WorkRequest { step: Some(work_request::Step::Settle(settle)) });
        }
        if self.closing.is_asked() {
            return;
        }
        if let Some(credit) = self.credit.worth_granting(self.held.len())
            && let Ok(place) = requests.try_reserve()
        {
            place.send(v1::WorkRequest { step: Some(work_request::Step::Credit(credit)) });
            self.credit.granted(credit);
        }
    }

    /// Takes one answer. An error ends the connection.
    fn take(&mut self, step: work_response::Step) -> Result<(), Failure> {
        match step {
            work_response::Step::Opened(_) => self.held.ask_all(self.core.now()),
            work_response::Step::Delivery(delivery) => {
                delivery.messages.into_iter().for_each(|message| self.delivered(message));
            }
            work_response::Step::Settled(answer) => match self.settles.answered(&answer) {
                Answered::All(all) => {
                    self.settle_pauses = Pauses::default();
                    for settled in all {
                        self.settled(settled);
                    }
                }
                // This node does not lead any more.
                Answered::Again(error) if error.kind == ErrorKind::Redirect => {
                    return Err(Failure::answered(error));
                }
                Answered::Again(error) => {
                    self.last = error.to_string();
                    let pause = self.core.options.runtime.jittered(self.settle_pauses.next());
                    self.settle_again_at = Some(self.core.now() + pause);
                }
                Answered::Late => {}
            },
        }
        Ok(())
    }

    fn delivered(&mut self, message: v1::LeasedMessage) {
        let leased = match LeasedMessage::from_wire(self.partition, message) {
            Ok(leased) => leased,
            Err(error) => return self.report(error),
        };
        let token = leased.token;
        if self.held.contains(token.lease) || self.closing.is_asked() {
            return;
        }
        self.credit.used();
        if self.held.len() >= self.options.credit as usize {
            // More than was asked for: somebody else may be free.
            return self.wish(Settle { token, action: SettleAction::Release }, None, Waiter::Handler(None));
        }
        let total_max = self.options.lease_total_max;
        let cancelled = self.held.add(self.core.now(), token, leased.lease, total_max);
        let message = Message::new(leased, cancelled, self.hands.clone());
        self.deliveries.message(message);
    }

    /// A settle is over: the books, and whoever waits.
    fn settled(&mut self, settled: Settled<Waiter>) {
        let Settled { settle, waiter, result } = settled;
        let lease = settle.token.lease;
        let lost = result.as_ref().is_err_and(|error| error.kind() == ErrorKind::LeaseLost);
        if lost {
            self.held.lose(lease);
        }
        match settle.action {
            SettleAction::Extend { lease: length } if result.is_ok() => {
                self.held.extended(self.core.now(), lease, length.unwrap_or_default());
            }
            SettleAction::Extend { .. } if !lost => self.held.not_extended(self.core.now(), lease),
            SettleAction::Extend { .. } => {}
            _ => self.held.remove(lease),
        }
        if let Waiter::Handler(Some(answer)) = waiter {
            // A handler that does not wait any more does not want to know.
            let _ = answer.send(result);
        }
    }

    /// Ends the session: the node returns its leases at once.
    async fn say_goodbye(
        &mut self,
        requests: mpsc::Sender<v1::WorkRequest>,
        mut answers: Streaming<v1::WorkResponse>,
        since: Instant,
    ) -> Left {
        drop(requests);
        let ended = async { while let Ok(Some(_)) = answers.message().await {} };
        let heard = tokio::time::timeout(GOODBYE_MAX, ended).await;
        self.held.lose_all();
        match heard {
            Ok(()) => Left::Ended,
            Err(_) => Left::Failed(Failure::stream_ended(), self.core.now() - since),
        }
    }

    /// Nothing was heard for the stall timeout: told once, and tried on.
    fn stalled(&mut self, attempts: &mut Attempts) {
        let doing = format!("work on partition {} of `{}`", self.partition, self.topic);
        let error = match attempts.timed_out(self.core.now(), &doing) {
            // A delivery that did not arrive is given again or returns: nothing is left open.
            Error::OutcomeUnknown { doing, waited, last } => Error::Timeout { doing, waited, last },
            error => error,
        };
        *attempts = self.patience();
        self.report(error);
    }

    /// The partition is closed to this client, or gone: in good order if that is what becomes of one that was split or merged
    /// once it holds nothing.
    async fn refused(&mut self, error: Error) -> Result<()> {
        for overdue in self.settles.give_up() {
            self.out_of_time(overdue);
        }
        self.held.lose_all();
        if self.core.is_removed(&error, &self.topic, self.group).await {
            return Ok(());
        }
        self.report(error.clone());
        Err(error)
    }

    fn report(&self, error: Error) {
        tracing::warn!(topic = &*self.topic, partition = self.partition, %error, "work is disturbed");
        self.deliveries.error(error);
    }
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
