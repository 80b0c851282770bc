//! A lane: one connection to a peer that carries the requests of all groups, many to a frame.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use weir_runtime::Runtime;
use weir_types::NodeId;

use super::frame::{FrameReader, FrameWriter, Item};
use super::hello::{Connected, Identity, LaneKind, dial};
use super::{Answer, Call};
use crate::liveness::{Pulses, Way};
use crate::{PeerAddress, Timings};

/// Requests queued per lane.
const QUEUE_ITEMS_MAX: usize = 1_024;
/// Bytes after which a frame takes no further request.
const FRAME_BYTES_FULL: usize = 1 << 20;
/// Requests in one frame.
const FRAME_ITEMS_MAX: usize = 256;
/// The pause between attempts to connect grows to this many times the first.
const RECONNECT_GROWTH_MAX: u32 = 8;

/// The peer could not be asked, or did not answer; whether it acted is unknown.
#[derive(Clone, Debug, thiserror::Error)]
#[error("peer is unreachable: {0}")]
pub(crate) struct Unreachable(pub(crate) String);

/// The sending end of a lane. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Lane {
    queue: mpsc::Sender<Queued>,
    bytes: Arc<Semaphore>,
    bytes_max: usize,
}

struct Queued {
    call: Call,
    payloads: Vec<Bytes>,
    answer: oneshot::Sender<Result<Answer, Unreachable>>,
    _bytes: OwnedSemaphorePermit,
}

/// Everything a lane's task needs to know.
pub(crate) struct LaneContext {
    pub(crate) us: Identity,
    pub(crate) peer: NodeId,
    pub(crate) kind: LaneKind,
    /// Where the peer is; a change cuts the connection.
    pub(crate) address: watch::Receiver<PeerAddress>,
    pub(crate) timings: Timings,
    pub(crate) runtime: Runtime,
    pub(crate) pulses: Arc<Pulses>,
}

impl LaneContext {
    fn way(&self) -> Way {
        match self.kind {
            LaneKind::Control => Way::Control,
            LaneKind::Data | LaneKind::Snapshot => Way::DataOut,
        }
    }
}

type Waiting = Mutex<BTreeMap<u64, Waiter>>;

struct Waiter {
    since: Instant,
    answer: oneshot::Sender<Result<Answer, Unreachable>>,
}

impl Lane {
    /// A lane and the receiving end that [`run`] serves.
    pub(crate) fn new(bytes_max: usize) -> (Self, LaneQueue) {
        let (queue, receiver) = mpsc::channel(QUEUE_ITEMS_MAX);
        let lane = Self { queue, bytes: Arc::new(Semaphore::new(bytes_max)), bytes_max };
        (lane, LaneQueue(receiver))
    }

    /// Sends a request and waits for its answer. Waits for room when the lane is full.
    pub(crate) async fn call(&self, call: Call, payloads: Vec<Bytes>) -> Result<Answer, Unreachable> {
        let gone = |_| Unreachable("lane is closed".to_owned());
        let size = payloads.iter().map(Bytes::len).sum::<usize>() + 256;
        let permits = size.min(self.bytes_max) as u32;
        let bytes = Arc::clone(&self.bytes)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| Unreachable("lane is closed".to_owned()))?;
        let (answer, answered) = oneshot::channel();
        let queued = Queued { call, payloads, answer, _bytes: bytes };
        self.queue.send(queued).await.map_err(|_| Unreachable("lane is closed".to_owned()))?;
        answered.await.map_err(gone)?
    }
}

/// The receiving end of a lane.
pub(crate) struct LaneQueue(mpsc::Receiver<Queued>);

/// Keeps a lane connected until it is dropped: connects, serves, and after a failure pauses with jitter.
/// Requests that come while there is no connection fail at once.
pub(crate) async fn run(mut context: LaneContext, mut queue: LaneQueue) {
    let mut failures = 0;
    loop {
        let address = context.address.borrow_and_update().clone();
        let network = context.runtime.network_shared();
        let attempt = dial(&*network, context.us, context.peer, &address, context.kind);
        let outcome = refuse_while(&mut queue, attempt).await;
        let error = match outcome {
            None => return,
            Some(Ok(connected)) => {
                failures = 0;
                context.pulses.heard(context.peer, context.way());
                tracing::debug!(peer = %context.peer, lane = context.kind.name(), "connected");
                let error = serve(&mut context, &mut queue, connected).await;
                context.pulses.cut(context.peer, context.kind);
                error
            }
            Some(Err(error)) => error,
        };
        if queue.0.is_closed() {
            return;
        }
        tracing::debug!(peer = %context.peer, lane = context.kind.name(), %error, "not connected");
        let growth = 1 << failures.min(RECONNECT_GROWTH_MAX.ilog2());
        failures += 1;
        let pause = context.runtime.jittered(context.timings.reconnect * growth);
        if refuse_while(&mut queue, sleep(pause)).await.is_none() {
            return;
        }
    }
}

/// Runs `future` while refusing every request. None when the lane was dropped.
async fn refuse_while<F: Future>(queue: &mut LaneQueue, future: F) -> Option<F::Output> {
    tokio::pin!(future);
    loop {
        tokio::select! {
            biased;
            output = &mut future => return Some(output),
            queued = queue.0.recv() => {
                let refused = Err(Unreachable("not connected".to_owned()));
                let _ = queued?.answer.send(refused);
            }
        }
    }
}

/// Serves one connection until it ends, and says why it did.
async fn serve(context: &mut LaneContext, queue: &mut LaneQueue, connected: Connected) -> io::Error {
    let waiting = Waiting::default();
    let Connected { mut reader, mut writer, .. } = connected;
    let mut address = context.address.clone();
    let silence = context.pulses.silence(context.peer, context.kind);
    let error = tokio::select! {
        error = write(context, queue, &mut writer, &waiting) => error,
        error = read(context, &mut reader, &waiting) => error,
        error = stalled(context, &waiting) => error,
        _ = address.changed() => io::Error::other("the address book changed"),
        () = silence => io::Error::other("the peer is silent"),
    };
    for (_, waiter) in std::mem::take(&mut *waiting.lock()) {
        let _ = waiter.answer.send(Err(Unreachable(error.to_string())));
    }
    error
}

/// Sends what is queued: no frame waits for more, but one that is being written lets the next gather.
async fn write(
    context: &LaneContext,
    queue: &mut LaneQueue,
    writer: &mut FrameWriter,
    waiting: &Waiting,
) -> io::Error {
    let mut pings = interval(context.timings.ping);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_id = 0;
    loop {
        let mut frame = Frame { items: Vec::new(), payloads: Vec::new(), bytes: 0 };
        tokio::select! {
            queued = queue.0.recv() => match queued {
                Some(queued) => frame.push(queued, &mut next_id, waiting),
                None => return io::Error::other("lane is closed"),
            },
            _ = pings.tick() => {
                next_id += 1;
                frame.items.push(Item::Call { id: next_id, call: Call::Ping });
            }
        }
        while frame.has_room() {
            match queue.0.try_recv() {
                Ok(queued) => frame.push(queued, &mut next_id, waiting),
                Err(_) => break,
            }
        }
        frame.count(context.kind);
        let write = writer.write_items(&frame.items, frame.payloads);
        match timeout(context.timings.stall, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return error,
            Err(_) => return io::ErrorKind::TimedOut.into(),
        }
    }
}

struct Frame {
    items: Vec<Item>,
    payloads: Vec<Bytes>,
    bytes: usize,
}

impl Frame {
    fn push(&mut self, queued: Queued, next_id: &mut u64, waiting: &Waiting) {
        *next_id += 1;
        waiting.lock().insert(*next_id, Waiter { since: Instant::now(), answer: queued.answer });
        self.bytes += queued.payloads.iter().map(Bytes::len).sum::<usize>();
        self.items.push(Item::Call { id: *next_id, call: queued.call });
        self.payloads.extend(queued.payloads);
    }

    fn has_room(&self) -> bool {
        self.bytes < FRAME_BYTES_FULL && self.items.len() < FRAME_ITEMS_MAX
    }

    fn count(&self, kind: LaneKind) {
        metrics::counter!("weir_peer_frames_sent_total", "lane" => kind.name()).increment(1);
        metrics::counter!("weir_peer_calls_sent_total", "lane" => kind.name())
            .increment(self.items.len() as u64);
        metrics::counter!("weir_peer_payload_bytes_sent_total", "lane" => kind.name())
            .increment(self.bytes as u64);
    }
}

/// Hands answers to whoever waits for them.
async fn read(context: &LaneContext, reader: &mut FrameReader, waiting: &Waiting) -> io::Error {
    loop {
        let heard = || context.pulses.heard(context.peer, context.way());
        let items = match reader.read_items(heard).await {
            Ok((items, _)) => items,
            Err(error) => return error,
        };
        for item in items {
            let Item::Answer { id, answer } = item else {
                return io::Error::new(io::ErrorKind::InvalidData, "a call where answers are due");
            };
            if let Answer::Pong { wall } = answer {
                context.pulses.told_time(context.peer, wall);
            }
            let waiter = waiting.lock().remove(&id);
            if let Some(waiter) = waiter {
                let _ = waiter.answer.send(Ok(answer));
            }
        }
    }
}

/// Ends when a request has waited for its answer for the stall timeout.
async fn stalled(context: &LaneContext, waiting: &Waiting) -> io::Error {
    loop {
        sleep(context.timings.stall / 2).await;
        // Ids rise, so the first is the one that waits longest.
        let oldest = waiting.lock().first_key_value().map(|(_, waiter)| waiter.since);
        if oldest.is_some_and(|since| since.elapsed() >= context.timings.stall) {
            return io::Error::new(io::ErrorKind::TimedOut, "the peer owes an answer for too long");
        }
    }
}
