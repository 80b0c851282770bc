//! The task that reads one partition.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weir_proto::v1;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::ErrorKind;

use super::chunk::{Chunk, Source};
use super::credit::Credit;
use super::decode::{Origin, base_offset, decode};
use crate::admin::offsets_of;
use crate::call::{ANSWER_BYTES_MAX, Attempts, Core, Failure, Route};
use crate::routing::Target;
use crate::{Error, Result, StreamRecord};

/// Grants on their way to the node; more wait, and become one.
const GRANTS_QUEUED_MAX: usize = 4;
/// The code of a position below the first retained record, or behind the last one.
const OFFSET_OUT_OF_RANGE: &str = "offset-out-of-range";

/// What a reader of a partition tells: records, or what went wrong.
pub(crate) type Event = Result<Chunk, (Source, Error)>;

/// Reads one partition from a position on, and holds that position across connections: no gap, no repetition.
pub(crate) struct PartitionReader {
    pub(crate) core: Arc<Core>,
    pub(crate) origin: Origin,
    pub(crate) source: Source,
    /// Reads as an owner in this consumer group; empty for none.
    pub(crate) consumer_group: String,
    /// Next offset to read.
    pub(crate) position: u64,
    /// Behind the last record handed on.
    pub(crate) told: Option<u64>,
    /// Where to stop, if anywhere.
    pub(crate) end: Option<u64>,
    pub(crate) credit: Arc<Credit>,
    pub(crate) stall_timeout: Duration,
    pub(crate) events: mpsc::Sender<Event>,
}

/// How reading came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Where it was to stop.
    End,
    /// Everything of a partition that is sealed was handed on.
    Sealed {
        /// Its end.
        end: u64,
        /// Behind the last record that was handed on; none when there was none.
        told: Option<u64>,
    },
    /// Nobody listens, or the partition cannot be read any more, which was told.
    Broken,
}

/// Why reading stops for good.
struct Stop;

/// Why a connection was left.
enum Left {
    /// It broke, having been open for so long.
    Failed(Failure, Duration),
    Stop,
    Sealed,
}

impl PartitionReader {
    /// Reads until the end, until nobody listens, or until an error that does not pass.
    pub(crate) async fn run(mut self) -> Ending {
        let mut route = Route::leader_of(self.source.group);
        // A fresh one after each answer; when it ends, the partition has stalled.
        let mut attempts = self.patience();
        while !self.is_done() {
            let address = route.address(&self.core);
            let (failure, open_for) = match self.fetch_at(&address, &mut route, &mut attempts).await {
                Left::Failed(failure, open_for) => (failure, open_for),
                Left::Sealed => return Ending::Sealed { end: self.position, told: self.told },
                Left::Stop => break,
            };
            // A partition that is quiet is not one that has stalled.
            if open_for >= self.stall_timeout / 2 {
                attempts = self.patience();
            }
            tracing::debug!(group = self.source.group.0, address, error = %failure.error, "reading broke");
            let deadline = attempts.deadline();
            let recovered = route.recover(&self.core, &mut attempts, &address, failure, deadline).await;
            let handled = match recovered {
                Err(error) if self.core.is_removed(&error, &self.origin.topic, self.source.group).await => {
                    return Ending::Sealed { end: self.position, told: self.told };
                }
                Err(error) => self.refused(error).await,
                Ok(()) if self.core.now() >= deadline => self.stalled(&mut attempts).await,
                Ok(()) => Ok(()),
            };
            if handled.is_err() {
                return Ending::Broken;
            }
        }
        if self.is_done() { Ending::End } else { Ending::Broken }
    }

    fn patience(&self) -> Attempts {
        Attempts::new(self.core.now(), self.stall_timeout)
    }

    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }

    /// Reads over one connection until something ends it.
    async fn fetch_at(&mut self, address: &str, route: &mut Route, attempts: &mut Attempts) -> Left {
        let (grants, queue) = mpsc::channel(GRANTS_QUEUED_MAX);
        let core = Arc::clone(&self.core);
        let moved = core.moved(Target::Leader(self.source.group), address);
        tokio::pin!(moved);
        let until = attempts.deadline().min(self.core.now() + self.core.options.attempt_timeout);
        let opened = tokio::select! {
            opened = self.open(address, &grants, queue) => opened,
            () = tokio::time::sleep_until(until) => Err(Failure::no_answer(address)),
            failure = &mut moved => Err(failure),
        };
        let mut answers = match opened {
            Ok(answers) => answers,
            Err(failure) => return Left::Failed(failure, Duration::ZERO),
        };
        let opened = self.core.now();
        let credit = Arc::clone(&self.credit);
        loop {
            tokio::select! {
                answer = answers.message() => match answer {
                    Ok(Some(answer)) => {
                        *attempts = self.patience();
                        route.succeeded();
                        let (sealed, end) = (answer.sealed, answer.end_offset);
                        if self.take(answer).await.is_err() || self.is_done() {
                            return Left::Stop;
                        }
                        if sealed && self.position >= end {
                            return Left::Sealed;
                        }
                    }
                    Ok(None) => return Left::Failed(Failure::stream_ended(), self.core.now() - opened),
                    Err(status) => {
                        return Left::Failed(Failure::from_status(&status), self.core.now() - opened);
                    }
                },
                failure = &mut moved => return Left::Failed(failure, self.core.now() - opened),
                credit_bytes = credit.to_grant() => {
                    // When the other end is gone, so is the connection: the answers say why.
                    let _ = grants.send(v1::FetchRequest { start: None, credit_bytes }).await;
                }
            }
        }
    }

    async fn open(
        &self,
        address: &str,
        grants: &mpsc::Sender<v1::FetchRequest>,
        queue: mpsc::Receiver<v1::FetchRequest>,
    ) -> Result<Streaming<v1::FetchResponse>, Failure> {
        let channel = self.core.pool.channel(address).map_err(Failure::answered)?;
        let start = v1::FetchStart {
            group_id: self.source.group.0,
            offset: self.position,
            consumer_group: self.consumer_group.clone(),
            epoch: self.source.epoch,
        };
        let first = v1::FetchRequest { start: Some(start), credit_bytes: self.credit.for_connection() };
        grants.try_send(first).expect("the queue is empty and has room");
        let mut client = StreamClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        match client.fetch(ReceiverStream::new(queue)).await {
            Ok(answers) => Ok(answers.into_inner()),
            Err(status) => Err(Failure::from_status(&status)),
        }
    }

    /// Hands on the records of an answer.
    async fn take(&mut self, answer: v1::FetchResponse) -> Result<(), Stop> {
        let bytes = answer.batches.iter().map(|batch| batch.len() as u64).sum();
        let mut records = VecDeque::new();
        let mut damage = None;
        for batch in &answer.batches {
            let bounds = (answer.start_offset, answer.compacted_offset);
            if let Err(error) = self.read(batch, bounds, &mut records).await? {
                damage = Some(error);
                break;
            }
        }
        if let Some(end) = self.end {
            records.truncate(records.partition_point(|record| record.offset < end));
        }
        let chunk = Chunk::new(self.source, records, bytes, &self.credit);
        if let Some(last) = chunk.records.back() {
            self.told = Some(last.offset + 1);
            self.tell(Ok(chunk)).await?;
        }
        match damage {
            None => {
                self.position = self.position.max(answer.next_offset);
                Ok(())
            }
            Some(reason) => {
                self.tell(Err((self.source, self.unreadable(reason)))).await?;
                Err(Stop)
            }
        }
    }

    /// Reads one batch. What lies between the position and the batch was taken out by compaction, or retired by retention
    /// in the meantime, which is told before the records behind it; if neither did it, the partition is damaged.
    async fn read(
        &mut self,
        batch: &Bytes,
        (start_offset, compacted_offset): (u64, u64),
        records: &mut VecDeque<StreamRecord>,
    ) -> Result<Result<(), String>, Stop> {
        let base = match base_offset(batch) {
            Ok(base) => base,
            Err(reason) => return Ok(Err(reason)),
        };
        if base > self.position && (base > compacted_offset || start_offset > self.position) {
            if start_offset <= self.position {
                return Ok(Err(format!("the next batch begins at {base}, records are missing")));
            }
            let text = format!(
                "offsets {} to {} of `{}` partition {} are no longer retained",
                self.position,
                base - 1,
                self.origin.topic,
                self.origin.partition
            );
            let gone = Error::new(ErrorKind::Invalid, OFFSET_OUT_OF_RANGE, text);
            self.tell(Err((self.source, gone))).await?;
            self.position = base;
        }
        let decoded = decode(&self.origin, batch, self.position, records);
        if let Some(last) = records.back() {
            self.position = self.position.max(last.offset + 1);
        }
        Ok(decoded)
    }

    /// An answer that is final for the position, or for the partition.
    async fn refused(&mut self, error: Error) -> Result<(), Stop> {
        let out_of_range = error.code() == OFFSET_OUT_OF_RANGE;
        self.tell(Err((self.source, error))).await?;
        if !out_of_range {
            return Err(Stop);
        }
        match offsets_of(&self.core, self.source.group, None).await {
            Ok(offsets) => {
                self.position = self.position.clamp(offsets.start_offset, offsets.end_offset);
                Ok(())
            }
            Err(error) => {
                self.tell(Err((self.source, error))).await?;
                Err(Stop)
            }
        }
    }

    /// Nothing was heard for the stall timeout: told once, and tried on.
    async fn stalled(&self, attempts: &mut Attempts) -> Result<(), Stop> {
        let doing = format!("read partition {} of `{}`", self.origin.partition, self.origin.topic);
        // Reading changes nothing, so that nothing can have happened.
        let error = match attempts.timed_out(self.core.now(), &doing) {
            Error::OutcomeUnknown { doing, waited, last } => Error::Timeout { doing, waited, last },
            error => error,
        };
        *attempts = self.patience();
        self.tell(Err((self.source, error))).await
    }

    fn unreadable(&self, reason: String) -> Error {
        Error::Unreadable {
            topic: self.origin.topic.to_string(),
            partition: self.origin.partition,
            offset: self.position,
            reason,
        }
    }

    async fn tell(&self, event: Event) -> Result<(), Stop> {
        self.events.send(event).await.map_err(|_| Stop)
    }
}
