//! The workloads: their topics, their actors, and when everything is drained.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use weir_checker::{LivenessOptions, Options, QueueOptions};
use weir_proto::v1;

use super::actor::Actor;
use super::consume::{Receiver, WAIT_MAX};
use super::drained::{carried, delivered, empty, sent_on};
use super::flavour::Flavour;
use super::follow::Follower;
use super::group::Member;
use super::parked::Administrator;
use super::produce::{Door, Producer};
use super::read::{Reader, look_at_bounds, read_all, watch_bounds};
use super::register::Registrar;
use super::stage::{Load, Stage};

/// Deliveries before a message is parked: few, so that parking happens all the time.
const ATTEMPTS_MAX: u32 = 4;
/// The wait before a nacked message is ready again, in milliseconds.
const BACKOFF_MS: (u64, u64) = (100, 1_000);
/// How long messages last where they do not last for ever: some are taken in time, some are not.
const TTL: Duration = Duration::from_millis(1_500);
/// How many queues, and how many streams.
const QUEUES: u32 = 2;
const STREAMS: u32 = 2;
/// How many readers follow the lineage of streams whose partitions are split and merged.
const FOLLOWERS: u64 = 4;
/// Numbers of actors in the draw of chance begin here, by role.
const PRODUCER: u64 = 1_000;
const CONSUMER: u64 = 2_000;
const WATCHER: u64 = 3_000;
const LAST: u64 = 4_000;

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Workload {
    /// Messages under leases, with parking and redelivery
    Queue,
    /// Records at offsets
    Stream,
    /// Consumer groups that come and go
    Group,
    /// Positions of groups as registers
    Register,
    /// Queues, streams and groups at once
    Mixed,
    /// Messages that are acked together with a record of a stream
    #[value(name = "ackappend")]
    AckAppend,
    /// Records that are handled by a consumer group: each step commits and appends
    Operator,
    /// A stream that feeds a queue, and a queue that is forwarded to a stream
    Forward,
    /// FIFO queues with a few keys
    Fifo,
    /// Messages with a delivery time
    Delay,
    /// Messages with priorities
    Priority,
    /// Messages that are gone after a while
    Ttl,
    /// Keys of a queue and of a stream, whose partitions may be split and merged
    Elastic,
}

impl Workload {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Queue,
        Self::Stream,
        Self::Group,
        Self::Register,
        Self::Mixed,
        Self::AckAppend,
        Self::Operator,
        Self::Forward,
        Self::Fifo,
        Self::Delay,
        Self::Priority,
        Self::Ttl,
        Self::Elastic,
    ];

    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Stream => "stream",
            Self::Group => "group",
            Self::Register => "register",
            Self::Mixed => "mixed",
            Self::AckAppend => "ackappend",
            Self::Operator => "operator",
            Self::Forward => "forward",
            Self::Fifo => "fifo",
            Self::Delay => "delay",
            Self::Priority => "priority",
            Self::Ttl => "ttl",
            Self::Elastic => "elastic",
        }
    }

    /// Whether its clients find the keys again when partitions are split and merged.
    pub fn follows_keys(self) -> bool {
        self == Self::Elastic
    }

    fn has_queues(self) -> bool {
        !matches!(self, Self::Stream | Self::Group | Self::Register | Self::Operator)
    }

    /// What the messages of its queues carry.
    fn flavour(self) -> Flavour {
        match self {
            Self::Fifo | Self::Elastic => Flavour::Keys,
            Self::Delay => Flavour::Delays,
            Self::Priority => Flavour::Priorities,
            _ => Flavour::Plain,
        }
    }

    fn queues(self) -> Vec<String> {
        let count = match self {
            Self::Elastic => 1,
            _ if self.has_queues() => QUEUES,
            _ => 0,
        };
        (0..count).map(|number| format!("queue-{number}")).collect()
    }

    fn streams(self) -> Vec<String> {
        let count = match self {
            Self::Queue | Self::Fifo | Self::Delay | Self::Priority | Self::Ttl => 0,
            Self::Stream | Self::Operator | Self::Forward | Self::Elastic => STREAMS,
            Self::Group | Self::Register | Self::Mixed | Self::AckAppend => 1,
        };
        (0..count).map(|number| format!("stream-{number}")).collect()
    }

    fn groups(self) -> Vec<String> {
        let count = match self {
            Self::Group | Self::Mixed => 2,
            Self::Register => 3,
            Self::Operator | Self::Elastic => 1,
            _ => 0,
        };
        (0..count).map(|number| format!("group-{number}")).collect()
    }

    /// The topics to make.
    pub fn topics(self, load: &Load) -> Vec<v1::CreateTopicRequest> {
        let queue = v1::QueueSettings {
            lease_ms: Some(load.lease.as_millis() as u64),
            attempts_max: Some(ATTEMPTS_MAX),
            backoff_base_ms: Some(BACKOFF_MS.0),
            backoff_max_ms: Some(BACKOFF_MS.1),
            fifo: (self.flavour() == Flavour::Keys).then_some(true),
            ttl_ms: (self == Self::Ttl).then_some(TTL.as_millis() as u64),
            ..v1::QueueSettings::default()
        };
        let topic = |name, kind: v1::TopicKind, settings| v1::CreateTopicRequest {
            name,
            kind: kind as i32,
            partitions: load.partitions,
            replicas: load.replicas,
            settings,
            request_id: 0,
            timeout_ms: 30_000,
        };
        let settings = v1::TopicSettings { kind: Some(v1::topic_settings::Kind::Queue(queue)) };
        let queues = self.queues().into_iter();
        let queues = queues.map(|name| topic(name, v1::TopicKind::Queue, Some(settings.clone())));
        let streams = self.streams().into_iter().map(|name| topic(name, v1::TopicKind::Stream, None));
        queues.chain(streams).collect()
    }

    /// The links to make between them: the first stream feeds the first queue, the second queue goes to the second stream.
    pub fn links(self) -> Vec<v1::CreateLinkRequest> {
        let (queues, streams) = (self.queues(), self.streams());
        let ([fed, forwarded], [feeding, target]) = (&queues[..], &streams[..]) else { return Vec::new() };
        if self != Self::Forward {
            return Vec::new();
        }
        let link = |kind: v1::LinkKind, from: &String, to: &String| v1::CreateLinkRequest {
            kind: kind as i32,
            from: from.clone(),
            to: to.clone(),
            start: None,
        };
        vec![link(v1::LinkKind::Subscription, feeding, fed), link(v1::LinkKind::Forward, forwarded, target)]
    }

    /// What the checks have to know.
    pub fn check_options(self, load: &Load) -> Options {
        let micros = |duration: Duration| duration.as_micros() as u64;
        let queue = QueueOptions {
            attempts_max: Some(ATTEMPTS_MAX),
            ttl: (self == Self::Ttl).then_some(micros(TTL)),
            ..QueueOptions::default()
        };
        let queues: BTreeMap<_, _> = self.queues().into_iter().map(|name| (name, queue.clone())).collect();
        let usual = LivenessOptions::default();
        let liveness = LivenessOptions {
            request_deadline: Some(micros(load.deadline + WAIT_MAX)),
            drain_max: usual.drain_max.max(micros(load.lease * 2)),
            ..usual
        };
        Options { queue, queues, liveness, ..Options::default() }
    }

    /// Starts all actors. They end with the stage's `stop`, producers when nothing new is wanted.
    pub fn start(self, stage: &Stage) -> JoinSet<()> {
        let mut actors = JoinSet::new();
        match self {
            Self::Queue | Self::Fifo | Self::Delay | Self::Priority | Self::Ttl => {
                self.start_queues(stage, &mut actors, stage.load.concurrency);
            }
            Self::Stream => self.start_streams(stage, &mut actors, stage.load.concurrency),
            Self::Group => self.start_groups(stage, &mut actors, stage.load.concurrency),
            Self::Register => self.start_registers(stage, &mut actors),
            Self::Operator => {
                self.start_operators(stage, &mut actors, stage.load.concurrency);
                self.start_readers(stage, &mut actors, stage.load.partitions);
            }
            Self::Forward => {
                self.start_links(stage, &mut actors, stage.load.concurrency);
                self.start_readers(stage, &mut actors, stage.load.partitions);
            }
            Self::AckAppend => {
                self.start_queues(stage, &mut actors, stage.load.concurrency);
                self.start_readers(stage, &mut actors, stage.load.partitions);
            }
            Self::Elastic => self.start_elastic(stage, &mut actors, stage.load.concurrency),
            Self::Mixed => {
                let share = stage.load.concurrency / 3 + 1;
                let mut third = stage.clone();
                third.load.rate = stage.load.rate / 3 + 1;
                self.start_queues(&third, &mut actors, share);
                self.start_streams(&third, &mut actors, share);
                self.start_groups(&third, &mut actors, share);
            }
        }
        actors
    }

    fn start_queues(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        let producers = (clients * 2 / 5).max(1);
        for seat in 0..producers {
            let number = PRODUCER + u64::from(seat);
            let door = Door::Queue(self.flavour());
            let producer = Producer::new(stage.clone(), number, producers, door, self.queues());
            actors.spawn(producer.run());
        }
        for seat in 0..clients.saturating_sub(producers).max(1) {
            let outputs = if self == Self::AckAppend { self.streams() } else { Vec::new() };
            let receiver = Receiver::new(stage.clone(), CONSUMER + u64::from(seat), self.queues(), outputs);
            actors.spawn(receiver.run());
        }
        actors.spawn(Administrator::new(stage.clone(), WATCHER, self.queues()).run());
    }

    fn start_streams(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        let producers = self.start_appenders(stage, actors, clients / 2);
        self.start_readers(stage, actors, clients.saturating_sub(producers).max(stage.load.partitions));
    }

    fn start_readers(self, stage: &Stage, actors: &mut JoinSet<()>, readers: u32) {
        for seat in 0..readers {
            for topic in self.streams() {
                let number = CONSUMER + 100 + u64::from(seat);
                let reader = Reader::new(stage.clone(), number, topic, seat as usize);
                actors.spawn(reader.run());
            }
        }
        for topic in self.streams() {
            actors.spawn(watch_bounds(stage.clone(), WATCHER + 100, topic));
        }
    }

    fn start_groups(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        // In a mixed run the streams have their producers already.
        let producers =
            if self == Self::Mixed { 0 } else { self.start_appenders(stage, actors, clients / 3) };
        let members = clients.saturating_sub(producers).clamp(2, 12);
        for (seat, group) in (0..members).zip(self.groups().into_iter().cycle()) {
            let number = CONSUMER + 200 + u64::from(seat);
            for topic in self.streams() {
                actors.spawn(Member::new(stage.clone(), number, group.clone(), topic, Vec::new()).run());
            }
        }
    }

    /// Producers of the first stream, and members of a group that handle its records and append to the second.
    fn start_operators(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        let [input, output] = &self.streams()[..] else { return };
        let producers = (clients / 3).max(1);
        start_producers_of(stage, actors, producers, std::slice::from_ref(input));
        for (seat, group) in
            (0..clients.saturating_sub(producers).clamp(2, 12)).zip(self.groups().into_iter().cycle())
        {
            let number = CONSUMER + 200 + u64::from(seat);
            let (input, outputs) = (input.clone(), vec![output.clone()]);
            actors.spawn(Member::new(stage.clone(), number, group, input, outputs).run());
        }
    }

    /// Producers of both beginnings, and consumers of the queue that is fed.
    fn start_links(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        let producers = (clients / 3).max(1);
        for (seat, link) in (0..2 * producers).zip(self.links().into_iter().cycle()) {
            let is_fed = link.kind == v1::LinkKind::Subscription as i32;
            let door = if is_fed { Door::Stream } else { Door::Queue(Flavour::Plain) };
            let number = PRODUCER + u64::from(seat);
            let producer = Producer::new(stage.clone(), number, 2 * producers, door, vec![link.from]);
            actors.spawn(producer.carried_to(link.to).run());
        }
        let fed: Vec<String> = self.consumed();
        for seat in 0..clients.saturating_sub(producers).max(1) {
            let receiver = Receiver::new(stage.clone(), CONSUMER + u64::from(seat), fed.clone(), Vec::new());
            actors.spawn(receiver.run());
        }
        actors.spawn(Administrator::new(stage.clone(), WATCHER, fed).run());
    }

    /// Producers of the queue and of the first stream, each record to the owner of its key; whoever handles them appends to
    /// the second stream; readers along the lineage of both.
    fn start_elastic(self, stage: &Stage, actors: &mut JoinSet<()>, clients: u32) {
        let (queues, streams) = (self.queues(), self.streams());
        let [input, output] = &streams[..] else { return };
        let producers = (clients / 5).max(1);
        for seat in 0..2 * producers {
            let (door, topic) = if seat % 2 == 0 {
                (Door::Queue(self.flavour()), queues.clone())
            } else {
                (Door::KeyedStream, vec![input.clone()])
            };
            let number = PRODUCER + u64::from(seat);
            actors.spawn(Producer::new(stage.clone(), number, 2 * producers, door, topic).by_key().run());
        }
        let left = clients.saturating_sub(2 * producers).max(3);
        for seat in 0..left / 2 {
            let (number, outputs) = (CONSUMER + u64::from(seat), vec![output.clone()]);
            actors.spawn(Receiver::new(stage.clone(), number, queues.clone(), outputs).run());
        }
        for (seat, group) in (0..(left / 2).clamp(2, 12)).zip(self.groups().into_iter().cycle()) {
            let (number, outputs) = (CONSUMER + 200 + u64::from(seat), vec![output.clone()]);
            actors.spawn(Member::new(stage.clone(), number, group, input.clone(), outputs).run());
        }
        for (topic, number) in streams.iter().cycle().zip(CONSUMER + 100..CONSUMER + 100 + FOLLOWERS) {
            actors.spawn(Follower::new(stage.clone(), number, topic.clone()).run());
        }
        for topic in streams {
            actors.spawn(watch_bounds(stage.clone(), WATCHER + 100, topic));
        }
        actors.spawn(Administrator::new(stage.clone(), WATCHER, queues).run());
    }

    /// The queues that have consumers: of those that are linked, the one that is fed.
    fn consumed(self) -> Vec<String> {
        let mut queues = self.queues();
        if self == Self::Forward {
            queues.truncate(1);
        }
        queues
    }

    fn start_registers(self, stage: &Stage, actors: &mut JoinSet<()>) {
        let producers = self.start_appenders(stage, actors, stage.load.concurrency / 4);
        for seat in 0..stage.load.concurrency.saturating_sub(producers).max(2) {
            let number = CONSUMER + 300 + u64::from(seat);
            for topic in self.streams() {
                actors.spawn(Registrar::new(stage.clone(), number, topic, self.groups()).run());
            }
        }
    }

    fn start_appenders(self, stage: &Stage, actors: &mut JoinSet<()>, wanted: u32) -> u32 {
        let producers = wanted.max(1);
        start_producers_of(stage, actors, producers, &self.streams());
        producers
    }

    /// Waits until nothing is left to be consumed, then takes the last looks that a history needs: whatever is parked,
    /// and every stream from every node.
    pub async fn drain(self, stage: &Stage) {
        // Whoever is adding something has to be done with it: that is to be consumed, too.
        drop(stage.adding.write().await);
        if self == Self::Forward {
            carried(stage, &self.links()).await;
        }
        for topic in self.queues() {
            empty(stage, &topic).await;
        }
        if matches!(self, Self::Operator | Self::Elastic) {
            for topic in self.streams() {
                delivered(stage, &topic).await;
            }
        }
        if self.has_queues() {
            Administrator::new(stage.clone(), LAST, self.consumed()).list_all().await;
        }
        for topic in self.streams() {
            read_all(stage.clone(), LAST + 1, topic).await;
        }
    }

    /// What a history needs to be looked at when all is over: whether a record that went with an ack is there can only
    /// be said then.
    pub async fn last_look(self, stage: &Stage) {
        if matches!(self, Self::AckAppend | Self::Operator | Self::Forward | Self::Elastic) {
            // What was acked or committed while the last actors ended is on its way.
            for topic in self.streams() {
                delivered(stage, &topic).await;
            }
            for topic in self.queues() {
                sent_on(stage, &topic).await;
            }
            for topic in self.streams() {
                look_at_bounds(&mut Actor::new(stage.clone(), LAST + 3), &topic).await;
                read_all(stage.clone(), LAST + 4, topic).await;
            }
        }
    }
}

fn start_producers_of(stage: &Stage, actors: &mut JoinSet<()>, producers: u32, streams: &[String]) {
    for seat in 0..producers {
        let number = PRODUCER + 100 + u64::from(seat);
        let producer = Producer::new(stage.clone(), number, producers, Door::Stream, streams.to_vec());
        actors.spawn(producer.run());
    }
}
