//! Which batches of a partition are on their way, under which ids, and what an answer means for those behind it.

use std::collections::VecDeque;

use bytes::Bytes;
use weir_types::{ErrorKind, ProducerEpoch, ProducerId, ProducerSequence, WeirError};

/// The broker's word for "an earlier batch is missing".
const OUT_OF_SEQUENCE: &str = "out-of-sequence";
/// The broker's word for "a dead letter blocks the key of a record".
const KEY_BLOCKED: &str = "key-blocked";
/// The broker's word for "the partition was split or merged, and takes in nothing any more".
pub(crate) const PARTITION_SEALED: &str = "partition-sealed";

/// Who sends: given by the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

/// The batches of one partition that were sent and are not answered.
///
/// A batch gets its sequence when it is first sent, and keeps it whatever happens, so that the cluster knows a
/// repetition. After a broken connection all of them are sent again in order, before anything new. When a batch fails for
/// good, its sequence is missing from then on (a *gap*): those behind it, which the cluster refuses as out of sequence and
/// so surely has not appended, go back to be stamped anew; nothing new is sent before all are answered and another stamp
/// is there. A sealed partition refuses all that it did not take in before, so that those too come back in order, to go
/// elsewhere. `T` is the batch, which is not looked at.
#[derive(Debug)]
pub(crate) struct Flight<T> {
    in_flight_max: usize,
    idempotent: bool,
    stamp: Option<Stamp>,
    next_sequence: u32,
    next_correlation: u64,
    /// Sent on the present connection.
    awaiting: VecDeque<Sent<T>>,
    /// Sent on an earlier one: next in turn, as they were.
    again: VecDeque<Sent<T>>,
    /// Refused because of a gap, or because the partition is sealed: next in turn, under another stamp or elsewhere.
    returned: VecDeque<T>,
    gap: bool,
    /// Nothing new goes to this partition.
    sealed: bool,
}

#[derive(Debug)]
struct Sent<T> {
    item: T,
    bytes: Bytes,
    correlation: u64,
    /// It may be appended: an answer to it was lost.
    lost: bool,
    /// It was refused, with leave to try again: surely not appended by that attempt.
    refused: bool,
}

/// What an answer means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Answered<T> {
    /// Appended: the item, base offset, whether it was a repetition.
    Delivered(T, u64, bool),
    /// Refused for good.
    Failed(T, WeirError),
    /// It may have been appended by an earlier attempt, which the cluster has forgotten.
    Unknown(T, WeirError),
    /// It will be stamped anew, or goes elsewhere.
    Returned,
    /// Not now: end the connection, and send all again.
    Again(WeirError),
    /// An answer to something else than the oldest batch: end the connection, and send all again.
    Misplaced,
}

/// A batch whose time is up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Expired<T> {
    pub(crate) item: T,
    /// Whether it may have been appended.
    pub(crate) lost: bool,
}

impl<T> Flight<T> {
    /// Without `idempotent`, one batch is in flight at a time: two would change places when the first is refused.
    pub(crate) fn new(in_flight_max: usize, idempotent: bool, stamp: Option<Stamp>) -> Self {
        Self {
            in_flight_max: if idempotent { in_flight_max } else { 1 },
            idempotent,
            stamp,
            next_sequence: 0,
            next_correlation: 1,
            awaiting: VecDeque::new(),
            again: VecDeque::new(),
            returned: VecDeque::new(),
            gap: false,
            sealed: false,
        }
    }

    /// The partition is sealed: what is on its way is answered, and nothing new is sent.
    pub(crate) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Whether nothing new is sent any more.
    pub(crate) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether the partition is sealed, and everything that was sent to it is answered.
    pub(crate) fn is_over(&self) -> bool {
        self.sealed && self.awaiting.is_empty() && self.again.is_empty()
    }

    /// Whether nothing is unanswered.
    pub(crate) fn is_empty(&self) -> bool {
        self.awaiting.is_empty() && self.again.is_empty() && self.returned.is_empty()
    }

    /// The oldest item.
    pub(crate) fn front(&self) -> Option<&T> {
        let sent = self.awaiting.front().or_else(|| self.again.front());
        sent.map(|sent| &sent.item).or_else(|| self.returned.front())
    }

    /// Whether another stamp is needed before anything more can be sent.
    pub(crate) fn needs_stamp(&self) -> bool {
        let idle = self.awaiting.is_empty() && self.again.is_empty();
        self.idempotent && !self.sealed && idle && (self.gap || self.stamp.is_none())
    }

    /// The stamp in use.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.stamp
    }

    /// Goes on under another stamp, from sequence 0.
    pub(crate) fn set_stamp(&mut self, stamp: Stamp) {
        assert!(self.awaiting.is_empty() && self.again.is_empty(), "batches go under the stamp they have");
        self.stamp = Some(stamp);
        self.next_sequence = 0;
        self.gap = false;
    }

    /// Whether a batch that was never sent may be sent now.
    pub(crate) fn has_room(&self) -> bool {
        let stamped = !self.idempotent || (self.stamp.is_some() && !self.gap);
        stamped && !self.sealed && self.again.is_empty() && self.awaiting.len() < self.in_flight_max
    }

    /// The next batch to send again: its correlation id and bytes.
    pub(crate) fn send_again(&mut self) -> Option<(u64, Bytes)> {
        if self.awaiting.len() >= self.in_flight_max {
            return None;
        }
        let sent = self.again.pop_front()?;
        let request = (sent.correlation, sent.bytes.clone());
        self.awaiting.push_back(sent);
        Some(request)
    }

    /// A batch that came back, because of a gap or a seal: it goes before any other.
    pub(crate) fn take_returned(&mut self) -> Option<T> {
        self.returned.pop_front()
    }

    /// What the next new batch must be stamped with.
    pub(crate) fn next_sequence(&self) -> Option<ProducerSequence> {
        let stamp = self.stamp.filter(|_| self.idempotent)?;
        Some(ProducerSequence { id: stamp.id, epoch: stamp.epoch, base_sequence: self.next_sequence })
    }

    /// Sends a batch of `count` records, stamped with [`next_sequence`](Self::next_sequence): its correlation id.
    pub(crate) fn send(&mut self, item: T, count: u32, bytes: Bytes) -> u64 {
        assert!(self.has_room(), "a batch is sent only when there is room");
        let correlation = self.next_correlation;
        self.next_correlation += 1;
        self.next_sequence = ProducerSequence::advance(self.next_sequence, count);
        self.awaiting.push_back(Sent { item, bytes, correlation, lost: false, refused: false });
        correlation
    }

    /// An answer came.
    pub(crate) fn answered(
        &mut self,
        correlation: u64,
        answer: Result<(u64, bool), WeirError>,
    ) -> Answered<T> {
        let Some(front) = self.awaiting.front_mut().filter(|front| front.correlation == correlation) else {
            return Answered::Misplaced;
        };
        let error = match answer {
            Ok((base, duplicate)) => return Answered::Delivered(self.pop().item, base, duplicate),
            Err(error) => error,
        };
        match error.kind {
            // Somebody has to act before that changes: other keys do not wait so long behind it.
            _ if error.code == KEY_BLOCKED => {
                self.gap = self.idempotent;
                Answered::Failed(self.pop().item, error)
            }
            _ if error.code == PARTITION_SEALED => self.sealed_out(error),
            ErrorKind::Retry | ErrorKind::Redirect | ErrorKind::Throttled | ErrorKind::OutOfSpace => {
                front.refused = true;
                Answered::Again(error)
            }
            ErrorKind::OutcomeUnknown => Answered::Again(error),
            _ if error.code == OUT_OF_SEQUENCE && self.idempotent => self.out_of_sequence(error),
            _ => {
                self.gap = self.idempotent;
                Answered::Failed(self.pop().item, error)
            }
        }
    }

    /// Behind a gap that we know of, or at its first attempt, the batch surely was not appended. Otherwise the cluster
    /// may have appended it, and forgotten this producer since.
    fn out_of_sequence(&mut self, error: WeirError) -> Answered<T> {
        let sent = self.pop();
        let surely_not = self.gap || !sent.lost;
        self.gap = true;
        if !surely_not {
            return Answered::Unknown(sent.item, error);
        }
        self.returned.push_back(sent.item);
        Answered::Returned
    }

    /// A sealed partition knows what it took in, unless it is gone altogether.
    fn sealed_out(&mut self, error: WeirError) -> Answered<T> {
        self.sealed = true;
        let sent = self.pop();
        if sent.lost && error.kind == ErrorKind::NotFound {
            return Answered::Unknown(sent.item, error);
        }
        self.returned.push_back(sent.item);
        Answered::Returned
    }

    fn pop(&mut self) -> Sent<T> {
        self.awaiting.pop_front().expect("the oldest batch was just looked at")
    }

    /// The connection ended; `reached` tells whether what was sent on it may have arrived. What cannot be sent again
    /// without the risk of a double (only without `idempotent`) comes back.
    pub(crate) fn disconnected(&mut self, reached: bool) -> Vec<T> {
        let mut given_up = Vec::new();
        while let Some(mut sent) = self.awaiting.pop_back() {
            let lost = reached && !sent.refused;
            sent.lost |= lost;
            sent.refused = false;
            if lost && !self.idempotent {
                given_up.push(sent.item);
            } else {
                self.again.push_front(sent);
            }
        }
        given_up
    }

    /// Takes out the oldest items whose time is up. Call it between connections.
    pub(crate) fn expire(&mut self, is_expired: impl Fn(&T) -> bool) -> Vec<Expired<T>> {
        assert!(self.awaiting.is_empty(), "answers to batches in flight are still awaited");
        let mut expired = Vec::new();
        while let Some(sent) = self.again.pop_front_if(|sent| is_expired(&sent.item)) {
            self.gap = self.idempotent;
            expired.push(Expired { item: sent.item, lost: sent.lost });
        }
        if self.again.is_empty() {
            while let Some(item) = self.returned.pop_front_if(|item| is_expired(item)) {
                expired.push(Expired { item, lost: false });
            }
        }
        expired
    }

    /// Takes out everything, in order: nothing more can be sent.
    pub(crate) fn give_up(&mut self) -> Vec<Expired<T>> {
        self.gap = self.idempotent && self.stamp.is_some();
        let sent = self.awaiting.drain(..).chain(self.again.drain(..));
        let mut all: Vec<_> = sent.map(|sent| Expired { item: sent.item, lost: sent.lost }).collect();
        all.extend(self.returned.drain(..).map(|item| Expired { item, lost: false }));
        all
    }
}
