//! Single calls on a queue, for those who keep no session: what they lease is settled by token, from anywhere.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use weir_proto::v1;
use weir_proto::v1::queue_client::QueueClient;
use weir_types::limits::{LEASE_MESSAGES_MAX, POLL_MS_MAX};
use weir_types::{GroupId, LeaseToken, TopicKind};

use super::outputs::OutputBatches;
use super::settle::milliseconds;
use super::{LeasedMessage, Outputs, Settle};
use crate::admin::partition_of;
use crate::call::{ANSWER_BYTES_MAX, Call, Core};
use crate::routing::{PartitionRoute, Target};
use crate::{Client, Error, Result};

/// What [`Client::receive`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// 1 to 1,024. Default 1.
    pub max_messages: u32,
    /// How long to wait when there are none: at most 20 s. Default 0.
    pub wait: Duration,
    /// How long the leases run. Default: the queue's setting.
    pub lease: Option<Duration>,
    /// Only from this partition. Default: any.
    pub partition: Option<u32>,
}

impl Default for ReceiveOptions {
    fn default() -> Self {
        Self { max_messages: 1, wait: Duration::ZERO, lease: None, partition: None }
    }
}

impl ReceiveOptions {
    fn validate(&self) -> Result<()> {
        if !(1..=LEASE_MESSAGES_MAX).contains(&self.max_messages) {
            let problem = format!("is {}, allowed are 1 to {LEASE_MESSAGES_MAX}", self.max_messages);
            return Err(Error::Option { option: "max_messages", problem });
        }
        if self.wait > Duration::from_millis(POLL_MS_MAX) {
            let problem = format!("is {} ms, allowed are {POLL_MS_MAX} at most", self.wait.as_millis());
            return Err(Error::Option { option: "wait", problem });
        }
        Ok(())
    }
}

impl Client {
    /// Leases messages once. They are settled by their tokens with [`settle`](Self::settle), in time: nothing extends
    /// their leases.
    ///
    /// The partitions are asked in turn for what is ready; if nothing is, all are asked to wait, and the first answer
    /// counts. A message that another partition leases at that very moment comes back when its lease has run out.
    ///
    /// # Errors
    /// `NotFound` for the topic or partition; `Invalid` for a stream, or options out of bounds.
    pub async fn receive(&self, topic: &str, options: ReceiveOptions) -> Result<Vec<LeasedMessage>> {
        options.validate()?;
        let route = self.core.topic_of(topic, TopicKind::Queue).await?;
        let mut partitions: Vec<&PartitionRoute> = match options.partition {
            None => route.all().collect(),
            Some(index) => vec![partition_of(&route, index)?],
        };
        if let ([partition], false) = (&*partitions, options.wait.is_zero()) {
            return receive_from(&self.core, partition, options).await;
        }
        let first = self.core.options.runtime.random_u64() % partitions.len() as u64;
        partitions.rotate_left(first as usize);
        let at_once = ReceiveOptions { wait: Duration::ZERO, ..options };
        let mut last_error = None;
        for partition in &partitions {
            match receive_from(&self.core, partition, at_once).await {
                Ok(messages) if messages.is_empty() => {}
                Ok(messages) => return Ok(messages),
                // One partition without a leader does not hide the messages of the others.
                Err(error) => last_error = Some(error),
            }
        }
        if options.wait.is_zero() {
            return last_error.map_or_else(|| Ok(Vec::new()), Err);
        }
        first_of(&self.core, &partitions, options).await
    }

    /// Settles leased messages by their tokens: one result per item, in order. `Ok` and `LeaseLost` are final; only
    /// `OutcomeUnknown` leaves open whether the message was settled.
    pub async fn settle(&self, settles: &[Settle]) -> Vec<Result<()>> {
        let mut by_group: BTreeMap<GroupId, Vec<usize>> = BTreeMap::new();
        for (index, settle) in settles.iter().enumerate() {
            by_group.entry(settle.token.group).or_default().push(index);
        }
        let chunks: Vec<(GroupId, &[usize])> = by_group
            .iter()
            .flat_map(|(group, indices)| {
                indices.chunks(LEASE_MESSAGES_MAX as usize).map(|chunk| (*group, chunk))
            })
            .collect();
        let answers = chunks.into_iter().map(async |(group, indices)| {
            let items = indices.iter().map(|index| settles[*index].to_wire()).collect();
            let request = v1::SettleRequest { items, ..v1::SettleRequest::default() };
            (indices, settle_in(&self.core, group, request).await)
        });
        let mut results: Vec<Result<()>> = settles.iter().map(|_| Ok(())).collect();
        for (indices, answer) in futures::future::join_all(answers).await {
            for (place, index) in indices.iter().enumerate() {
                results[*index] = match &answer {
                    Ok(answer) => item_result(answer, place),
                    Err(error) => Err(error.clone()),
                };
            }
        }
        results
    }

    /// Acks messages of one partition by their tokens and appends what came out of them, in one step: all or nothing.
    ///
    /// # Errors
    /// `LeaseLost` when one of the messages is not under its lease any more, and then none was acked and nothing
    /// appended; `Invalid` for tokens of several partitions; `NotFound` for a topic.
    pub async fn ack_and_append(&self, tokens: &[LeaseToken], outputs: Outputs) -> Result<()> {
        let Some(first) = tokens.first() else {
            let problem = "is empty: there is nothing to ack".to_owned();
            return Err(Error::Option { option: "tokens", problem });
        };
        let outputs = OutputBatches::of(&self.core, outputs).await?.to_wire();
        let tokens = tokens.iter().map(ToString::to_string).collect();
        let ack_and_appends = vec![v1::AckAndAppend { tokens, outputs }];
        let request = v1::SettleRequest { ack_and_appends, ..v1::SettleRequest::default() };
        item_result(&settle_in(&self.core, first.group, request).await?, 0)
    }
}

/// The first partition with messages; an error only if no partition could be asked.
async fn first_of(
    core: &Core,
    partitions: &[&PartitionRoute],
    options: ReceiveOptions,
) -> Result<Vec<LeasedMessage>> {
    let mut waiting: FuturesUnordered<_> =
        partitions.iter().map(|partition| receive_from(core, partition, options)).collect();
    let (mut answered, mut last_error) = (false, None);
    while let Some(result) = waiting.next().await {
        match result {
            Ok(messages) if messages.is_empty() => answered = true,
            Ok(messages) => return Ok(messages),
            Err(error) => last_error = Some(error),
        }
    }
    match last_error {
        Some(error) if !answered => Err(error),
        _ => Ok(Vec::new()),
    }
}

async fn receive_from(
    core: &Core,
    partition: &PartitionRoute,
    options: ReceiveOptions,
) -> Result<Vec<LeasedMessage>> {
    let request = v1::ReceiveRequest {
        group_id: partition.group.0,
        max_messages: options.max_messages,
        wait_ms: milliseconds(options.wait),
        lease_ms: options.lease.map_or(0, milliseconds),
        request_id: core.random_id(),
    };
    let call = core.operation(Target::Leader(partition.group), "receive messages");
    let call = Call {
        timeout: call.timeout + options.wait,
        attempt_timeout: call.attempt_timeout + options.wait,
        ..call
    };
    let answer = core
        .call(call, |channel| async move {
            QueueClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX).receive(request).await
        })
        .await?;
    answer
        .messages
        .into_iter()
        .map(|message| LeasedMessage::from_wire(partition.partition, message))
        .collect()
}

async fn settle_in(core: &Core, group: GroupId, request: v1::SettleRequest) -> Result<v1::SettleResponse> {
    let request = v1::SettleRequest { request_id: core.random_id(), ..request };
    core.call(core.operation(Target::Leader(group), "settle messages"), |channel| {
        let request = request.clone();
        async move { QueueClient::new(channel).settle(request).await }
    })
    .await
}

/// The result of one item. An answer that is too short says nothing about those it lacks.
pub(super) fn item_result(answer: &v1::SettleResponse, place: usize) -> Result<()> {
    match answer.results.get(place) {
        Some(v1::SettleResult { error: None }) => Ok(()),
        Some(v1::SettleResult { error: Some(error) }) => Err(Error::Broker(error.clone().into())),
        None => Err(Error::OutcomeUnknown {
            doing: "settle".to_owned(),
            waited: Duration::ZERO,
            last: format!("the answer has {} results, that of item {place} is missing", answer.results.len()),
        }),
    }
}
