//! The topics of a run, and the links between them.
//!
//! ```text
//!  without links:  producers ──► tasks ──► workers        producers ──► events ──► readers
//!  with links:     producers ──► inlet ──► tasks ──► …    producers ──► outlet ──► events ──► …
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;
use weir_metadata::{LinkKind, Routing};
use weir_types::limits::DELAY_MS_MAX;
use weir_types::{GroupId, ParkPolicy, QueuePolicy, StreamPolicy, TopicPolicy, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::{Flavour, LOOK, QUEUE, STREAM, Workload, produce};

/// The stream that feeds the queue, and the queue that is forwarded to the stream, in runs with links.
const INLET: &str = "inlet";
const OUTLET: &str = "outlet";

/// The Raft groups of the topics' partitions, by index.
pub(super) struct Partitions {
    pub(super) queue: Vec<GroupId>,
    pub(super) stream: Vec<GroupId>,
    /// Without links there are none.
    pub(super) inlet: Vec<GroupId>,
    pub(super) outlet: Vec<GroupId>,
    /// The name under which the inlet's partitions keep how far they have been sent on.
    pub(super) subscription: Option<String>,
}

impl Workload {
    /// Makes the topics and the links between them.
    pub(super) async fn create_topics(&self, control: &Client) -> Result<Partitions, WeirError> {
        let wait = Duration::from_secs(3);
        for (name, policy, partitions) in self.topics() {
            let (name, request) = (name.to_owned(), control.request());
            let question = Question::CreateTopic { name, policy, partitions, request };
            control.ask(None, &question, wait).await?;
        }
        let mut subscription = None;
        if self.options.rules.linked {
            link(control, LinkKind::Forward, OUTLET, STREAM).await?;
            let id = link(control, LinkKind::Subscription, INLET, QUEUE).await?;
            subscription = Some(format!("subscription/{id}"));
        }
        loop {
            let answer = control.ask(None, &Question::Routing, Duration::ZERO).await?;
            if let Answer::Routing { table, .. } = answer
                && self.topics().iter().all(|(name, ..)| table.topic(name).is_some())
            {
                let groups = |name| groups(&table, name);
                let (queue, stream) = (groups(QUEUE), groups(STREAM));
                let (inlet, outlet) = (groups(INLET), groups(OUTLET));
                return Ok(Partitions { queue, stream, inlet, outlet, subscription });
            }
            // The node that was asked has not heard of the topics yet.
            sleep(LOOK).await;
        }
    }

    /// Names, settings and partitions of the topics.
    fn topics(&self) -> Vec<(&'static str, TopicPolicy, u32)> {
        let rules = self.options.rules;
        let plain = QueuePolicy {
            lease_ms: self.options.lease_ms,
            attempts_max: self.options.attempts_max,
            fair_by: self.options.shared.then(|| produce::TENANT.to_owned()),
            max_inflight: rules.leases_max,
            keep_ms: rules.kept.then_some(DELAY_MS_MAX),
            ..QueuePolicy::default()
        };
        let queue = match rules.flavour {
            Flavour::Keys => QueuePolicy {
                fifo: true,
                max_inflight_per_key: rules.leases_per_key,
                park: if rules.parked_hold_key { ParkPolicy::ParkKey } else { ParkPolicy::ParkMessage },
                ..plain
            },
            _ => plain,
        };
        let (queues, streams) = (self.options.queue_partitions, self.options.stream_partitions);
        let stream = TopicPolicy::Stream(StreamPolicy::default());
        let mut topics = vec![(QUEUE, TopicPolicy::Queue(queue), queues), (STREAM, stream.clone(), streams)];
        if rules.linked {
            let outlet = TopicPolicy::Queue(QueuePolicy::default());
            topics.extend([(INLET, stream, queues), (OUTLET, outlet, streams)]);
        }
        topics
    }
}

/// Makes a link; its id.
async fn link(control: &Client, kind: LinkKind, from: &str, to: &str) -> Result<u64, WeirError> {
    let question = Question::CreateLink { kind, from: from.to_owned(), to: to.to_owned() };
    match control.ask(None, &question, Duration::from_secs(3)).await? {
        Answer::Count(id) => Ok(id),
        other => Err(produce::unexpected(&other)),
    }
}

/// The partitions of a topic, in order; none when it is not there.
fn groups(table: &Routing, topic: &str) -> Vec<GroupId> {
    let partitions = table.topic(topic).map_or(&[][..], |topic| &topic.partitions);
    let by_index = partitions.iter().map(|partition| (partition.index, partition.group));
    by_index.collect::<BTreeMap<_, _>>().into_values().collect()
}
