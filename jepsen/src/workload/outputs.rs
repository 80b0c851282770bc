//! Records that are appended in the step that acks or commits what they come of.

use weir_checker::Value;
use weir_proto::v1;
use weir_types::BatchBuilder;

use super::actor::Actor;
use super::payload;
use super::produce::now_ms;

/// Makes them, each a new value.
pub(super) struct Outputs {
    streams: Vec<String>,
    /// Under which number they are in the history, and the place of the next one.
    produces: (u32, u64),
}

/// One of them.
pub(super) struct Output {
    pub(super) stream: String,
    pub(super) value: Value,
    pub(super) batches: Vec<v1::OutputBatch>,
}

impl Outputs {
    /// Records for some streams, at least one.
    pub(super) fn new(actor: &Actor, streams: Vec<String>) -> Self {
        Self { streams, produces: (actor.stage.history.producer(), 0) }
    }

    /// A new record for some partition of some stream; none when the run ends before one is known.
    pub(super) async fn next(&mut self, actor: &mut Actor) -> Option<Output> {
        let stream = actor.dice.pick(&self.streams).clone();
        let partitions = actor.stage.owners(&stream).await;
        if partitions.is_empty() {
            return None;
        }
        let group_id = actor.dice.pick(&partitions).group;
        let (producer, sequence) = self.produces;
        self.produces.1 += 1;
        let value = Value { producer, sequence };
        let mut builder = BatchBuilder::new();
        builder.push(None, Some(&payload::body(value)), &[], now_ms()).ok()?;
        let batch = builder.build(None).ok()?;
        Some(Output { stream, value, batches: vec![v1::OutputBatch { group_id, batch }] })
    }
}
