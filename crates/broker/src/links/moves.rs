//! Forwards and dead letters: messages leave a queue for another topic.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::{debug, warn};
use weir_metadata::{Link, LinkKind};
use weir_queue::{Command, MessageView, Move, Queue, Reply, Waiting};
use weir_types::batch::reserved_headers;
use weir_types::{BatchBuilder, BatchError, GroupId, MessageId, OutputBatch, WeirError};

use super::{STEP_BYTES_MAX, Wakes, add, destination, is_free, links_of};
use crate::api::bodies::Record;
use crate::api::queue::{describe, read_records};
use crate::broker::Broker;
use crate::partition::Partition;
use crate::replica::{State as _, unexpected};
use crate::rest::Rest;
use crate::transfers::check_order;

/// Most messages that one step takes along.
const STEP_MESSAGES_MAX: usize = 256;

/// Moves messages of one queue partition while this node leads it; ends when its replica is closed.
pub(crate) async fn run(broker: Broker, group: GroupId, mut wakes: Wakes) {
    let mut links = links_of(&broker, group);
    let mut rest = Rest::default();
    loop {
        let mut again = None;
        if wakes.leads() && !links.is_empty() && rest.until().is_none() {
            // Large, and most queues have no links: each would keep the room for it.
            match Box::pin(move_round(&broker, group, &links)).await {
                Ok(more) => {
                    rest.succeeded();
                    again = more.then(Instant::now);
                }
                Err(error) => {
                    debug!(%group, %error, "messages have to wait before they are moved");
                    rest.failed(&broker.inner().runtime);
                }
            }
        }
        match wakes.next(again.or_else(|| rest.until())).await {
            Some(true) => links = links_of(&broker, group),
            Some(false) => {}
            None => return,
        }
    }
}

/// One step for each link, so that none waits for another's backlog; answers whether there may be more to do.
async fn move_round(broker: &Broker, group: GroupId, links: &[Link]) -> Result<bool, WeirError> {
    let partition = broker.queue(group)?;
    let mut more = false;
    for link in links {
        more |= move_some(broker, group, &partition, link).await?;
    }
    Ok(more)
}

/// One step; answers whether there may be more to do.
async fn move_some(
    broker: &Broker,
    group: GroupId,
    partition: &Partition<Queue>,
    link: &Link,
) -> Result<bool, WeirError> {
    let waiting = match link.kind {
        LinkKind::Forward => Waiting::Ready,
        LinkKind::DeadLetter => Waiting::Parked,
        LinkKind::Subscription => return Ok(false),
    };
    let views = partition.read(|replica| match waiting {
        Waiting::Ready => replica.state().next_ready(STEP_MESSAGES_MAX),
        Waiting::Parked => replica.state().parked(None, MessageId(0), STEP_MESSAGES_MAX),
    });
    if views.is_empty() {
        return Ok(false);
    }
    broker.check_room()?;
    let origin = broker.registry(|registry| {
        let partition = registry.partition(group)?;
        Some(format!("{}/{}", registry.topic(partition.topic)?.name, partition.index))
    });
    let places = views.iter().map(|view| (view.message, (view.pointer, view.record)));
    let records = read_records(partition, places).await?;
    let mut step = Step::new(waiting, origin.unwrap_or_default());
    for view in &views {
        // One that was acked meanwhile has no record any more.
        let Some(record) = records.get(&view.message) else { continue };
        let to = destination(broker, link.to, record.key.as_deref(), (view.message.0, true))?;
        if !step.add(to, view, record) {
            break;
        }
    }
    let Some((step, bodies)) = step.finish() else { return Ok(false) };
    check_order(broker, partition, &step.outputs)?;
    let (_, answer) = partition.admit(Command::Move(step), bodies).await?.answer().await?;
    match answer.map_err(|rejection| Queue::error(&rejection))? {
        Reply::Moved { count } => {
            let link = link.kind.to_string();
            metrics::counter!("weir_moved_messages_total", "link" => link).increment(count.into());
            Ok(true)
        }
        other => Err(unexpected(&other)),
    }
}

/// A step in the making.
struct Step {
    waiting: Waiting,
    /// Topic and partition.
    origin: String,
    messages: Vec<MessageId>,
    batches: BTreeMap<GroupId, BatchBuilder>,
}

impl Step {
    fn new(waiting: Waiting, origin: String) -> Self {
        Self { waiting, origin, messages: Vec::new(), batches: BTreeMap::new() }
    }

    /// Takes a message along; no more are wanted when the answer is no. One that is too large with its new headers
    /// stays where it is.
    fn add(&mut self, to: GroupId, view: &MessageView, record: &Record) -> bool {
        let batch = self.batches.entry(to).or_default();
        let added = match self.waiting {
            Waiting::Ready => add(batch, record, keeps_when_forwarded, &[]),
            Waiting::Parked => add_dead_letter(batch, record, view, &self.origin),
        };
        match added {
            Ok(()) => self.messages.push(view.message),
            Err(error) => {
                warn!(message = %view.message, origin = self.origin, %error, "a message cannot be moved");
            }
        }
        self.batches.values().map(BatchBuilder::bytes).sum::<usize>() < STEP_BYTES_MAX
    }

    fn finish(self) -> Option<(Move, Bytes)> {
        let (mut outputs, mut bodies) = (Vec::new(), BytesMut::new());
        for (destination, batch) in self.batches.into_iter().filter(|(_, batch)| !batch.is_empty()) {
            let batch = batch.build(None).expect("a batch with records and without a producer can be built");
            let (position, length) = (bodies.len() as u32, batch.len() as u32);
            outputs.push(OutputBatch { destination, position, length });
            bodies.extend_from_slice(&batch);
        }
        let (waiting, messages) = (self.waiting, self.messages);
        let step = Move { waiting, messages, outputs };
        (!bodies.is_empty()).then(|| (step, bodies.freeze()))
    }
}

/// A delay is over by then, and a time to live would begin anew.
fn keeps_when_forwarded(name: &str) -> bool {
    name != reserved_headers::DELIVER_AT && name != reserved_headers::TTL
}

/// A dead letter is kept whatever its message asked for, and says what it died of.
fn add_dead_letter(
    batch: &mut BatchBuilder,
    record: &Record,
    view: &MessageView,
    origin: &str,
) -> Result<(), BatchError> {
    let reason = match &view.state {
        weir_queue::MessageState::Parked { reason, .. } => describe(reason),
        _ => String::new(),
    };
    let (attempts, origin) = (view.attempts.to_string(), format!("{origin}/{}", view.message));
    let more = [
        (reserved_headers::DEAD_LETTER_REASON, reason.as_bytes()),
        (reserved_headers::DEAD_LETTER_ATTEMPTS, attempts.as_bytes()),
        (reserved_headers::DEAD_LETTER_ORIGIN, origin.as_bytes()),
    ];
    add(batch, record, is_free, &more)
}
