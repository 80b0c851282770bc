//! Readers of a stream without a group, and the last look at everything in it.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Response, Status};
use weir_checker::{Consumer, Op};
use weir_proto::v1;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::{BatchView, ErrorKind};

use super::actor::Actor;
use super::payload;
use super::stage::Stage;
use crate::wire::{Route, Trouble};

/// How long a node is asked to wait for records.
const WAIT: Duration = Duration::from_millis(800);
/// Of a hundred reads, so many jump back to an earlier offset.
const JUMP_PERCENT: u64 = 3;
/// Between two looks at the bounds.
const BOUNDS_PAUSE: Duration = Duration::from_millis(700);
/// Largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Bytes asked for at once.
const BYTES: u64 = 512 << 10;

/// What a read brought.
pub(super) struct Chunk {
    /// Offset and payload.
    pub(super) records: Vec<(u64, Option<weir_checker::Value>)>,
    /// The next offset to be written.
    pub(super) end: u64,
    /// The partition was sealed: that is its end for good.
    pub(super) sealed: bool,
}

impl Chunk {
    /// Where to go on, after having asked for `offset`.
    pub(super) fn next(&self, offset: u64) -> u64 {
        self.records.last().map_or(offset, |(last, _)| last + 1)
    }
}

/// Who asks for records.
#[derive(Clone, Debug)]
pub(super) struct Polling {
    pub(super) consumer: Consumer,
    pub(super) group: Option<(String, u64)>,
}

/// Asks once for the records of a partition from an offset on, at its leader or at `address`. A member of a group asks as
/// the owner that it believes to be: only such a fetch is refused to one that was fenced.
pub(super) async fn poll(
    actor: &mut Actor,
    route: &Route,
    polling: &Polling,
    offset: u64,
    wait: Duration,
    address: Option<String>,
) -> Result<Chunk, Trouble> {
    let (group_id, owner) = (route.group, polling.group.clone());
    let ask = |channel| async move {
        match owner {
            Some((group, epoch)) => fetch(channel, group_id, offset, group, epoch, wait).await,
            None => read(channel, group_id, offset, wait).await,
        }
    };
    let asked = match address {
        Some(address) => actor.ask_at(Some(address), wait, ask).await,
        None => actor.ask(route.group, wait, ask).await,
    };
    if let Ok(None) = asked.answer {
        // Nothing came in time: that says nothing about what there is.
        return Ok(Chunk { records: Vec::new(), end: offset, sealed: false });
    }
    let answer = asked.answer.as_ref().ok().and_then(Option::as_ref);
    let records = answer.map_or_else(Vec::new, |answer| records(answer, offset));
    let op = Op::Poll {
        topic: route.topic.clone(),
        consumer: polling.consumer,
        group: polling.group.clone(),
        partition: route.partition,
        offset,
        records: records.clone(),
    };
    actor.note(&asked, op, asked.end_of_read());
    let end = answer.map_or(offset, |answer| answer.end_offset);
    let sealed = answer.is_some_and(|answer| answer.sealed);
    asked.answer.map(|_| Chunk { records, end, sealed })
}

async fn read(
    channel: Channel,
    group_id: u32,
    offset: u64,
    wait: Duration,
) -> Result<Response<Option<v1::FetchResponse>>, Status> {
    let request = v1::ReadRequest { group_id, offset, bytes_max: BYTES, wait_ms: wait.as_millis() as u64 };
    let mut client = StreamClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    Ok(Response::new(Some(client.read(request).await?.into_inner())))
}

/// The first answer of a fetch as the owner in a group; none when there was none in time.
async fn fetch(
    channel: Channel,
    group_id: u32,
    offset: u64,
    consumer_group: String,
    epoch: u64,
    wait: Duration,
) -> Result<Response<Option<v1::FetchResponse>>, Status> {
    let start = v1::FetchStart { group_id, offset, consumer_group, epoch };
    let first = v1::FetchRequest { start: Some(start), credit_bytes: BYTES };
    // The call goes on until the client hangs up.
    let requests = stream::iter([first]).chain(stream::pending());
    let mut client = StreamClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
    let mut answers = client.fetch(requests).await?.into_inner();
    match timeout(wait, answers.message()).await {
        Ok(Ok(Some(answer))) => Ok(Response::new(Some(answer))),
        Ok(Ok(None)) => Err(Status::unavailable("the fetch ended without an answer")),
        Ok(Err(status)) => Err(status),
        Err(_) => Ok(Response::new(None)),
    }
}

/// The records of an answer at `from` or behind; a batch that does not decode is damage at its first offset.
fn records(answer: &v1::FetchResponse, from: u64) -> Vec<(u64, Option<weir_checker::Value>)> {
    let mut found = Vec::new();
    let mut next = from;
    for batch in &answer.batches {
        let Ok(view) = BatchView::verify_stored(batch) else {
            found.push((next, None));
            continue;
        };
        // The base offset stands first in a batch; see the layout at `weir_types::batch`.
        let base = batch.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        for record in view.records(view.section()) {
            let offset = record.as_ref().map_or(next, |record| base + u64::from(record.offset_delta));
            if offset >= from {
                let value = record.ok().and_then(|record| payload::value(record.value));
                found.push((offset, value));
            }
            next = offset + 1;
        }
    }
    found
}

/// A reader: it follows one partition, and now and then goes back.
pub(super) struct Reader {
    actor: Actor,
    topic: String,
    seat: usize,
}

impl Reader {
    pub(super) fn new(stage: Stage, number: u64, topic: String, seat: usize) -> Self {
        Self { actor: Actor::new(stage, number), topic, seat }
    }

    /// Reads until the run is over.
    pub(super) async fn run(mut self) {
        let partitions = self.actor.stage.partitions(&self.topic).await;
        let Some(route) = partitions.get(self.seat % partitions.len().max(1)).cloned() else { return };
        let mut polling = self.polling();
        let mut next = 0;
        while !self.actor.stage.stop.is_cancelled() {
            match poll(&mut self.actor, &route, &polling, next, WAIT, None).await {
                Ok(chunk) => next = chunk.next(next),
                Err(trouble) => self.actor.rest(&trouble).await,
            }
            if next > 0 && self.actor.stage.careless() && self.actor.dice.percent(JUMP_PERCENT) {
                // Whoever jumps begins anew: another consumer.
                polling = self.polling();
                next = self.actor.dice.below(next);
            }
        }
    }

    fn polling(&self) -> Polling {
        Polling { consumer: self.actor.stage.history.consumer(), group: None }
    }
}

/// Looks at the first and next offsets of a stream all the time.
pub(super) async fn watch_bounds(stage: Stage, number: u64, topic: String) {
    let mut actor = Actor::new(stage, number);
    while actor.stage.sleep(BOUNDS_PAUSE).await {
        look_at_bounds(&mut actor, &topic).await;
    }
}

/// Asks once for the first and next offsets of each partition.
pub(super) async fn look_at_bounds(actor: &mut Actor, topic: &str) {
    for route in actor.stage.partitions(topic).await {
        let request = v1::OffsetsRequest { group_id: route.group, ..v1::OffsetsRequest::default() };
        let asked = actor
            .ask(route.group, Duration::ZERO, |channel| async move {
                StreamClient::new(channel).offsets(request).await
            })
            .await;
        let (start, end) =
            asked.answer.as_ref().map_or((0, 0), |answer| (answer.start_offset, answer.end_offset));
        let op = Op::Bounds { topic: route.topic, partition: route.partition, start, end };
        actor.note(&asked, op, asked.end_of_read());
    }
}

/// Reads the whole stream once more, asking every node in turn; a node that does not lead is left to its refusal,
/// and the leader asked instead. Ends when everything was read, or with `stop`.
pub(super) async fn read_all(stage: Stage, number: u64, topic: String) {
    let mut actor = Actor::new(stage, number);
    let addresses = actor.stage.routes.borrow().addresses();
    for route in actor.stage.partitions(&topic).await {
        for address in &addresses {
            let polling = Polling { consumer: actor.stage.history.consumer(), group: None };
            let (mut next, mut at) = (0, Some(address.clone()));
            while !actor.stage.stop.is_cancelled() {
                match poll(&mut actor, &route, &polling, next, Duration::ZERO, at.clone()).await {
                    Ok(chunk) => {
                        next = chunk.next(next);
                        if next >= chunk.end {
                            break;
                        }
                    }
                    // The leader is asked in its turn.
                    Err(trouble) if trouble.kind == ErrorKind::Redirect && at.is_some() => break,
                    Err(trouble) => {
                        at = None;
                        actor.rest(&trouble).await;
                    }
                }
            }
        }
    }
}
