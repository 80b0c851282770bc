//! A partition without replication: one producer's sequences, a log of batches, one queue of leased messages.

use std::collections::VecDeque;

use bytes::Bytes;
use weir_proto::v1;
use weir_types::batch::restamp;
use weir_types::{BatchHeader, ErrorKind, Offset, ProducerSequence, Term, WeirError};

/// What a node does with the next request instead of serving it.
#[derive(Clone, Debug)]
pub(crate) enum Fault {
    /// Answers so.
    Refuse(WeirError),
    /// Serves it, and ends the connection before the answer.
    ServeAndHangUp,
    /// Ends the connection.
    HangUp,
    /// Serves it, and never answers, as a node that froze.
    ServeAndFreeze,
}

/// The state that the nodes of a test share.
#[derive(Debug, Default)]
pub(crate) struct Partition {
    /// What happens to the next requests, in order; then all are served.
    pub(crate) faults: VecDeque<Fault>,
    /// How the next sessions are refused, in order; then all are opened.
    pub(crate) refusals: VecDeque<WeirError>,
    /// What happens to all requests when there are no more of the above.
    pub(crate) always: Option<Fault>,
    /// Stamp, base offset and bytes of each batch.
    pub(crate) log: Vec<(Option<ProducerSequence>, u64, Bytes)>,
    pub(crate) end: u64,
    /// Its ends when older producers were shut out.
    pub(crate) fenced_at: Vec<u64>,
    /// What it says to be the first offset at or after any time.
    pub(crate) at_time: u64,
    /// Takes in nothing new.
    pub(crate) sealed: bool,
    /// Below, batches may be missing.
    pub(crate) compacted_to: u64,
    /// Offsets that fetches began at.
    pub(crate) fetched_from: Vec<u64>,
    /// Messages to lease, by id; the lease id is the same plus 100.
    pub(crate) ready: VecDeque<u64>,
    /// Every start of a worker's session.
    pub(crate) sessions: Vec<v1::WorkStart>,
    /// Settles that were carried out: request id and answer.
    pub(crate) settled: Vec<(u64, v1::SettleRequest)>,
}

impl Partition {
    pub(crate) fn next_fault(&mut self) -> Option<Fault> {
        self.faults.pop_front().or_else(|| self.always.clone())
    }

    /// As a real partition: dense sequences per stamp, repetitions get the original offset.
    pub(crate) fn append(&mut self, batch: &Bytes) -> Result<(u64, bool), WeirError> {
        let header = BatchHeader::verify(batch).unwrap();
        let stamp = header.producer;
        if let Some((_, base, _)) = self.log.iter().find(|(known, ..)| stamp.is_some() && *known == stamp) {
            return Ok((*base, true));
        }
        if self.sealed {
            return Err(WeirError::new(ErrorKind::Retry, "partition-sealed", "its end is final"));
        }
        if let Some(stamp) = stamp {
            let own = self.log.iter().filter_map(|(known, _, batch)| Some((known.as_ref()?, batch)));
            let last = own.filter(|(known, _)| (known.id, known.epoch) == (stamp.id, stamp.epoch)).last();
            let expected = last.map_or(0, |(known, batch)| {
                ProducerSequence::advance(known.base_sequence, BatchHeader::parse(batch).unwrap().count)
            });
            if stamp.base_sequence != expected {
                let text = format!("{expected} expected, {} came", stamp.base_sequence);
                return Err(WeirError::new(ErrorKind::Invalid, "out-of-sequence", text));
            }
        }
        let base = self.end;
        let (prefix, rest) = restamp(batch, Offset(base), Term(1)).unwrap();
        self.log.push((stamp, base, [&prefix[..], &rest].concat().into()));
        self.end += u64::from(header.count);
        Ok((base, false))
    }

    /// Batches that hold records from `offset` on.
    pub(crate) fn batches_from(&self, offset: u64) -> Vec<Bytes> {
        let behind = self.log.iter().skip_while(|(_, base, batch)| {
            base + u64::from(BatchHeader::parse(batch).unwrap().count) <= offset
        });
        behind.map(|(.., batch)| batch.clone()).collect()
    }

    /// Carries out a settle; a repetition gets the same answer, another settle of the same lease is too late.
    pub(crate) fn settle(&mut self, request: &v1::SettleRequest) -> v1::SettleResponse {
        let repeated = self.settled.iter().any(|(id, _)| *id == request.request_id);
        let is_over = |token: &str| {
            let done = self.settled.iter().flat_map(|(_, request)| &request.items);
            done.clone().any(|item| item.token == token && item.action() != v1::SettleAction::Extend)
        };
        let result = |item: &v1::SettleItem| {
            let lost = WeirError::new(ErrorKind::LeaseLost, "lease-lost", "the lease is over");
            v1::SettleResult { error: (!repeated && is_over(&item.token)).then(|| lost.into()) }
        };
        let results = request.items.iter().map(result).collect();
        if !repeated {
            self.settled.push((request.request_id, request.clone()));
        }
        v1::SettleResponse { correlation_id: request.correlation_id, results }
    }
}
