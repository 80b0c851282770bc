//! Settles of one partition: those that wait, and the request that is on its way.

use std::collections::VecDeque;

use tokio::time::Instant;
use weir_proto::v1;
use weir_types::limits::LEASE_MESSAGES_MAX;
use weir_types::{ErrorKind, WeirError};

use super::Settle;
use super::outputs::OutputBatches;
use super::unary::item_result;
use crate::{Error, Result};

/// Most bytes of the outputs in one request, unless those of one message alone are more.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// A settle that somebody wants. `W` tells who, and is not looked at.
#[derive(Debug)]
pub(crate) struct Wish<W> {
    pub(crate) settle: Settle,
    /// What is appended in the step that acks the message; none for a plain settle.
    pub(crate) outputs: Option<OutputBatches>,
    /// When it has been tried long enough.
    pub(crate) deadline: Instant,
    pub(crate) waiter: W,
}

/// A settle that is over.
#[derive(Debug)]
pub(crate) struct Settled<W> {
    pub(crate) settle: Settle,
    pub(crate) waiter: W,
    pub(crate) result: Result<()>,
}

/// A settle whose time is up.
#[derive(Debug)]
pub(crate) struct Overdue<W> {
    pub(crate) wish: Wish<W>,
    /// Whether it may have happened.
    pub(crate) lost: bool,
}

/// One request is on its way at a time; what is wanted meanwhile goes together in the next one. A request keeps its items
/// and its id until it is answered, over however many connections, so that the cluster gives the answer that it gave
/// before.
#[derive(Debug)]
pub(crate) struct Settles<W> {
    waiting: VecDeque<Wish<W>>,
    request: Option<Request<W>>,
}

#[derive(Debug)]
struct Request<W> {
    id: u64,
    wishes: Vec<Wish<W>>,
    /// Handed to the present connection.
    sent: bool,
    /// An answer to it may have been lost.
    lost: bool,
    /// The present connection refused it for now.
    refused: bool,
}

impl<W> Wish<W> {
    fn to_step(&self) -> Option<v1::AckAndAppend> {
        let outputs = self.outputs.as_ref()?.to_wire();
        Some(v1::AckAndAppend { tokens: vec![self.settle.token.to_string()], outputs })
    }
}

impl<W> Request<W> {
    /// Whether it is on its way, with an outcome that only its answer tells.
    fn is_open(&self) -> bool {
        self.sent && !self.refused
    }
}

/// What an answer means.
#[derive(Debug)]
pub(crate) enum Answered<W> {
    /// Each item's result.
    All(Vec<Settled<W>>),
    /// Not now: the same request is to be sent again.
    Again(WeirError),
    /// To a request that was given up.
    Late,
}

impl<W> Settles<W> {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), request: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.request.is_none()
    }

    pub(crate) fn push(&mut self, wish: Wish<W>) {
        self.waiting.push_back(wish);
    }

    /// The request to send now, if any: the one that is not answered yet, if this connection has not got it, or else one
    /// of what waits. `new_id` draws an id.
    pub(crate) fn next_request(&mut self, new_id: impl FnOnce() -> u64) -> Option<v1::SettleRequest> {
        if self.request.is_none() && !self.waiting.is_empty() {
            let mut wishes: Vec<_> = self.waiting.drain(..self.fitting()).collect();
            // Results come in this order.
            wishes.sort_by_key(|wish| wish.outputs.is_some());
            self.request = Some(Request { id: new_id(), wishes, sent: false, lost: false, refused: false });
        }
        let request = self.request.as_mut().filter(|request| !request.sent)?;
        request.sent = true;
        let plain = request.wishes.iter().filter(|wish| wish.outputs.is_none());
        Some(v1::SettleRequest {
            correlation_id: request.id,
            items: plain.map(|wish| wish.settle.to_wire()).collect(),
            request_id: request.id,
            ack_and_appends: request.wishes.iter().filter_map(Wish::to_step).collect(),
        })
    }

    /// How many of what waits go into one request.
    fn fitting(&self) -> usize {
        let mut bytes = 0;
        let fits = |wish: &&Wish<W>| {
            bytes += wish.outputs.as_ref().map_or(0, OutputBatches::bytes);
            bytes <= REQUEST_BYTES_MAX
        };
        let count = self.waiting.iter().take_while(fits).count();
        count.clamp(1, LEASE_MESSAGES_MAX as usize)
    }

    /// An answer came. One item that is to be tried again makes the whole request so: under its id, or the answer to an
    /// item that did succeed would be lost.
    pub(crate) fn answered(&mut self, answer: &v1::SettleResponse) -> Answered<W> {
        let Some(request) = self.request.take_if(|request| request.id == answer.correlation_id) else {
            return Answered::Late;
        };
        let again = answer.results.iter().filter_map(|result| result.error.clone()).map(WeirError::from);
        if let Some(error) = again.into_iter().find(|error| is_to_be_tried_again(error.kind)) {
            let lost = request.lost || error.kind == ErrorKind::OutcomeUnknown;
            self.request = Some(Request { lost, refused: true, ..request });
            return Answered::Again(error);
        }
        let settled = request.wishes.into_iter().enumerate().map(|(place, wish)| Settled {
            settle: wish.settle,
            waiter: wish.waiter,
            result: item_result(answer, place),
        });
        Answered::All(settled.collect())
    }

    /// The request is to be sent again on the present connection.
    pub(crate) fn send_again(&mut self) {
        if let Some(request) = &mut self.request {
            request.sent = false;
            request.refused = false;
        }
    }

    /// The connection ended; `reached` tells whether what was sent on it may have arrived.
    pub(crate) fn disconnected(&mut self, reached: bool) {
        if let Some(request) = &mut self.request {
            request.lost |= request.is_open() && reached;
            request.sent = false;
            request.refused = false;
        }
    }

    /// When the first settle's time is up.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let sent = self.request.iter().flat_map(|request| &request.wishes);
        sent.chain(&self.waiting).map(|wish| wish.deadline).min()
    }

    /// Takes out what has been tried long enough. A request goes whole: part of it would be another request.
    pub(crate) fn expire(&mut self, now: Instant) -> Vec<Overdue<W>> {
        let is_due = |wish: &Wish<W>| wish.deadline <= now;
        let request = self.request.take_if(|request| request.wishes.iter().any(is_due));
        let mut overdue: Vec<_> = request.map_or_else(Vec::new, |request| {
            let lost = request.lost || request.is_open();
            request.wishes.into_iter().map(|wish| Overdue { wish, lost }).collect()
        });
        let (due, waiting) = self.waiting.drain(..).partition(is_due);
        self.waiting = waiting;
        let due: VecDeque<Wish<W>> = due;
        overdue.extend(due.into_iter().map(|wish| Overdue { wish, lost: false }));
        overdue
    }

    /// Takes out everything: nothing more can be sent.
    pub(crate) fn give_up(&mut self) -> Vec<Overdue<W>> {
        let mut all = Vec::new();
        if let Some(request) = self.request.take() {
            let lost = request.lost || request.is_open();
            all.extend(request.wishes.into_iter().map(|wish| Overdue { wish, lost }));
        }
        all.extend(self.waiting.drain(..).map(|wish| Overdue { wish, lost: false }));
        all
    }
}

impl<W> Overdue<W> {
    /// The settle with the error that its waiter gets.
    pub(crate) fn into_settled(self, now: Instant, started: Instant, last: &str) -> Settled<W> {
        let (doing, waited) = ("settle the message".to_owned(), now.saturating_duration_since(started));
        let last = last.to_owned();
        let error = if self.lost {
            Error::OutcomeUnknown { doing, waited, last }
        } else {
            Error::Timeout { doing, waited, last }
        };
        Settled { settle: self.wish.settle, waiter: self.wish.waiter, result: Err(error) }
    }
}

fn is_to_be_tried_again(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Retry
            | ErrorKind::Redirect
            | ErrorKind::Throttled
            | ErrorKind::OutOfSpace
            | ErrorKind::OutcomeUnknown
    )
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::time::Duration;

    use weir_types::{GroupId, LeaseId, LeaseToken, MessageId};

    use super::*;
    use crate::SettleAction;

    fn wish(n: u64, deadline: Instant) -> Wish<u64> {
        let token = LeaseToken { group: GroupId(1), message: MessageId(n), lease: LeaseId(n) };
        Wish { settle: Settle { token, action: SettleAction::Ack }, outputs: None, deadline, waiter: n }
    }

    fn settles(count: u64) -> Settles<u64> {
        let mut settles = Settles::new();
        let later = Instant::now() + Duration::from_mins(1);
        (0..count).for_each(|n| settles.push(wish(n, later)));
        settles
    }

    fn answer(id: u64, results: Vec<Option<ErrorKind>>) -> v1::SettleResponse {
        let result = |kind: Option<ErrorKind>| v1::SettleResult {
            error: kind.map(|kind| WeirError::new(kind, "code", "text").into()),
        };
        v1::SettleResponse { correlation_id: id, results: results.into_iter().map(result).collect() }
    }

    #[test]
    fn settles_gather_while_one_request_is_on_its_way() {
        let mut settles = settles(1);
        assert_eq!(settles.next_request(|| 70).unwrap().items.len(), 1);
        let later = Instant::now() + Duration::from_mins(1);
        settles.push(wish(8, later));
        settles.push(wish(9, later));
        assert!(settles.next_request(|| 71).is_none());
        assert!(matches!(settles.answered(&answer(70, vec![None])), Answered::All(all) if all.len() == 1));
        assert_eq!(settles.next_request(|| 72).unwrap().items.len(), 2);
    }

    #[test]
    fn a_broken_connection_sends_the_same_items_under_the_same_id() {
        let mut settles = settles(2);
        let first = settles.next_request(|| 70).unwrap();
        settles.disconnected(true);
        settles.push(wish(9, Instant::now() + Duration::from_mins(1)));
        assert_eq!(settles.next_request(|| 71).unwrap(), first);
    }

    #[test]
    fn each_item_gets_its_own_result() {
        let mut settles = settles(2);
        let _ = settles.next_request(|| 70);
        let Answered::All(all) = settles.answered(&answer(70, vec![None, Some(ErrorKind::LeaseLost)])) else {
            panic!("all items are answered");
        };
        assert!(all[0].result.is_ok());
        assert_eq!(all[1].result.as_ref().unwrap_err().kind(), ErrorKind::LeaseLost);
    }

    #[test]
    fn a_request_that_is_to_be_tried_again_stays_whole() {
        let mut settles = settles(2);
        let first = settles.next_request(|| 70).unwrap();
        let answered = settles.answered(&answer(70, vec![None, Some(ErrorKind::Retry)]));
        assert!(matches!(answered, Answered::Again(_)));
        assert!(settles.next_request(|| 71).is_none());
        settles.send_again();
        assert_eq!(settles.next_request(|| 72).unwrap(), first);
    }

    #[test]
    fn only_what_was_sent_without_an_answer_may_have_happened() {
        let now = Instant::now();
        let mut settles = Settles::new();
        settles.push(wish(1, now));
        let _ = settles.next_request(|| 70);
        settles.push(wish(2, now));
        settles.push(wish(3, now + Duration::from_mins(1)));
        let overdue: Vec<_> =
            settles.expire(now).into_iter().map(|overdue| (overdue.wish.waiter, overdue.lost)).collect();
        assert_eq!(overdue, [(1, true), (2, false)]);
        assert!(matches!(settles.answered(&answer(70, vec![None])), Answered::Late));
        assert_eq!(settles.next_request(|| 71).unwrap().items.len(), 1);
    }

    #[test]
    fn a_request_that_was_refused_for_now_and_never_lost_did_not_happen() {
        let now = Instant::now();
        let mut settles = Settles::new();
        settles.push(wish(1, now));
        let _ = settles.next_request(|| 70);
        let _ = settles.answered(&answer(70, vec![Some(ErrorKind::Retry)]));
        settles.send_again();
        assert!(!settles.expire(now)[0].lost);
    }

    #[test]
    fn an_answer_that_is_too_short_leaves_the_rest_unknown() {
        let mut settles = settles(2);
        let _ = settles.next_request(|| 70);
        let Answered::All(all) = settles.answered(&answer(70, vec![None])) else {
            panic!("all items are answered");
        };
        assert_eq!(all[1].result.as_ref().unwrap_err().kind(), ErrorKind::OutcomeUnknown);
    }
}
