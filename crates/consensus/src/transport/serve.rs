//! The answering end of a peer's lane.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::timeout;
use weir_runtime::{BoxFuture, TaskGroup};

use super::frame::{FrameReader, FrameWriter, Item};
use super::hello::{Connected, Identity, LaneKind};
use super::{Answer, Call};

/// Requests of one connection that are being worked on at once; the next frame waits beyond that.
const REQUESTS_MAX: usize = 1_024;
/// How often a lane that has to wait is said to.
const HELD_SIGN: Duration = Duration::from_millis(100);
/// The id of an answer to no request; those of requests start at 1.
const UNASKED: u64 = 0;
/// Answers in one frame.
const FRAME_ITEMS_MAX: usize = 256;

/// Whoever answers the requests of peers.
pub(crate) trait Handler: Send + Sync + 'static {
    /// Answers one request. `payloads` are those of its entries.
    fn call(&self, from: Identity, call: Call, payloads: Vec<Bytes>) -> BoxFuture<'static, Answer>;
    /// Anything was received from a peer's lane.
    fn heard(&self, from: Identity, lane: LaneKind);
    /// A peer's data lane has to wait until requests that came before are answered.
    fn held(&self, from: Identity);
    /// A peer's lane has closed.
    fn cut(&self, from: Identity, lane: LaneKind);
    /// Takes a snapshot connection in.
    fn snapshot(&self, connected: Connected) -> BoxFuture<'static, ()>;
}

/// Serves a peer's lane until it closes.
pub(crate) async fn serve(handler: Arc<dyn Handler>, connected: Connected) -> io::Error {
    let Connected { peer, lane, mut reader, mut writer } = connected;
    let (answers, queue) = mpsc::channel(REQUESTS_MAX);
    let error = tokio::select! {
        error = read(&handler, peer, lane, &mut reader, answers) => error,
        error = write(&mut writer, queue) => error,
    };
    handler.cut(peer, lane);
    error
}

async fn read(
    handler: &Arc<dyn Handler>,
    peer: Identity,
    lane: LaneKind,
    reader: &mut FrameReader,
    answers: mpsc::Sender<(u64, Answer)>,
) -> io::Error {
    let running = Arc::new(Semaphore::new(REQUESTS_MAX));
    let mut tasks = TaskGroup::new();
    loop {
        let (items, mut payload) = match reader.read_items(|| handler.heard(peer, lane)).await {
            Ok(frame) => frame,
            Err(error) => return error,
        };
        for item in items {
            let Item::Call { id, call } = item else { return malformed("an answer to no request") };
            let Some(payloads) = cut_payloads(&call, &mut payload) else {
                return malformed("payloads are cut short");
            };
            let permit = admitted(handler, (peer, lane), &running, &answers).await;
            let answer = handler.call(peer, call, payloads);
            tasks.spawn(respond(id, answer, answers.clone(), permit));
        }
        if !payload.is_empty() {
            return malformed("bytes that belong to no entry");
        }
    }
}

/// Waits for a place among the requests that are worked on. While there is none, it is not the peer that is silent, and
/// its pings, which wait as well, are answered before they are read: the lane is slow, not dead.
async fn admitted(
    handler: &Arc<dyn Handler>,
    (peer, lane): (Identity, LaneKind),
    running: &Arc<Semaphore>,
    answers: &mpsc::Sender<(u64, Answer)>,
) -> OwnedSemaphorePermit {
    let place = Arc::clone(running).acquire_owned();
    tokio::pin!(place);
    loop {
        if let Ok(permit) = timeout(HELD_SIGN, &mut place).await {
            return permit.expect("the semaphore is never closed");
        }
        if lane == LaneKind::Data {
            handler.held(peer);
            let pong = handler.call(peer, Call::Ping, Vec::new()).await;
            // Where there is no room, answers are under way that say as much.
            let _ = answers.try_send((UNASKED, pong));
        }
    }
}

async fn respond(
    id: u64,
    answer: BoxFuture<'static, Answer>,
    answers: mpsc::Sender<(u64, Answer)>,
    _permit: OwnedSemaphorePermit,
) {
    let answer = answer.await;
    // The connection may be gone by now; then nobody waits.
    let _ = answers.send((id, answer)).await;
}

/// Takes the payloads of a call's entries off the front of `payload`, without copying.
fn cut_payloads(call: &Call, payload: &mut Bytes) -> Option<Vec<Bytes>> {
    let Call::Append(append) = call else { return Some(Vec::new()) };
    append
        .entries
        .iter()
        .map(|entry| {
            let length = entry.length as usize;
            (length <= payload.len()).then(|| payload.split_to(length))
        })
        .collect()
}

async fn write(writer: &mut FrameWriter, mut queue: mpsc::Receiver<(u64, Answer)>) -> io::Error {
    let mut ready = Vec::new();
    loop {
        if queue.recv_many(&mut ready, FRAME_ITEMS_MAX).await == 0 {
            return io::Error::other("lane is closed");
        }
        let items: Vec<Item> = ready.drain(..).map(|(id, answer)| Item::Answer { id, answer }).collect();
        if let Err(error) = writer.write_items(&items, Vec::new()).await {
            return error;
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
