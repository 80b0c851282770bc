//! The clients of a run whose partitions are split and merged: everything has a key, and each client sees the whole of a topic.
//!
//! ```text
//!  producers ──by key──► tasks (FIFO) ──► workers ──ack-and-append──┐
//!  producers ──by key──► events ◄────────────────────────────────────┘──► a follower along the lineage, members of a group
//!                 a shaper for each of the two splits, merges and scales
//! ```

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use weir_types::{GroupId, WeirError};

use super::super::client::Client;
use super::super::wire::{Answer, Question};
use super::super::world::Ended;
use super::atlas::{Atlas, Region};
use super::{
    Flavour, LOOK, QUEUE, STREAM, Workload, count, join, member, parked, produce, read, shaper, watch, work,
};

/// Producers of each topic, for each that a run has elsewhere.
const PRODUCERS: u32 = 2;
/// Longest pause of a queue's producer, at least, for each that there is: only so many messages of few keys come out in time.
const PACE_MS_MIN: u64 = 300;
/// Consumers of the queue, each of all its partitions.
const WORKERS: u32 = 6;
/// Members of the group.
const MEMBERS: u32 = 3;
/// The first of them in the history.
const FIRST_MEMBER: u32 = 1_000;
/// Who looks at the stream's partitions.
const WATCHERS: u64 = 2;

type Tasks = JoinSet<Result<(), WeirError>>;

/// How tasks are told to end.
struct Ends {
    /// The queue is empty, and everything was read.
    drained: CancellationToken,
    /// The group has committed everything.
    committed: CancellationToken,
}

impl Workload {
    /// Everything from the first record until all is drained; the partitions of the stream then, parents before children.
    pub(super) async fn load_reshaped(&self, control: &Client) -> Ended<Vec<(u32, GroupId)>> {
        let atlas = Atlas::new(self.journal.clone());
        while atlas.owners(QUEUE).is_empty() || atlas.owners(STREAM).is_empty() {
            atlas.refresh(control).await?;
            sleep(LOOK).await;
        }
        let ends = Ends { drained: CancellationToken::new(), committed: CancellationToken::new() };
        let (mut producers, mut shapers) = (JoinSet::new(), JoinSet::new());
        let (mut consumers, mut members) = (JoinSet::new(), JoinSet::new());
        self.send_by_key(control, &atlas, &mut producers).await?;
        self.shape(&atlas, &mut shapers);
        self.consume_all(&atlas, &ends, &mut consumers);
        self.join_group(&atlas, &ends, &mut members);
        let healed = self.last_writes(&mut producers).await?;
        join(&mut shapers).await?;
        atlas.refresh(control).await?;
        self.drain_all(control, &atlas).await?;
        ends.committed.cancel();
        join(&mut members).await?;
        self.trace.note(format_args!("drained after {:?}", healed.elapsed()));
        ends.drained.cancel();
        join(&mut consumers).await?;
        Ok(atlas.all(STREAM).iter().map(Region::place).collect())
    }

    async fn send_by_key(&self, control: &Client, atlas: &Atlas, tasks: &mut Tasks) -> Result<(), WeirError> {
        let doors = [produce::Door::Queue(Flavour::Keys), produce::Door::Stream];
        let count = self.options.producers * PRODUCERS;
        let pace = self.options.pace_ms_max;
        let queue_pace = pace.max(PACE_MS_MIN * u64::from(count));
        let each = doors.into_iter().flat_map(|door| (0..count).map(move |_| door));
        for (number, door) in (0..).zip(each) {
            let lane = produce::Lane {
                client: self.client(&format!("producer {number}"), 1_000 + u64::from(number)),
                journal: self.journal.clone(),
                door,
                // Each record has its own.
                partition: (0, GroupId::METADATA),
                producer: self.producer(control).await?,
                number,
                next: Arc::new(AtomicU64::new(0)),
                pace_ms_max: if door == produce::Door::Stream { pace } else { queue_pace },
                keyed: true,
            };
            // Producers hear of a split at different times.
            let (quiet, healed) = (self.signals.quiet.clone(), self.signals.healed.clone());
            tasks.spawn(lane.run_by_key(atlas.own(), quiet, healed));
        }
        Ok(())
    }

    fn shape(&self, atlas: &Atlas, tasks: &mut Tasks) {
        for (number, topic) in (0..).zip([QUEUE, STREAM]) {
            let shaper = shaper::Shaper {
                client: self.client(&format!("shaper of {topic}"), 700 + number),
                journal: self.journal.clone(),
                atlas: atlas.clone(),
                topic,
                load: self.options.load,
            };
            tasks.spawn(shaper.run(self.signals.healed.clone()));
        }
    }

    fn consume_all(&self, atlas: &Atlas, ends: &Ends, tasks: &mut Tasks) {
        let journal = || self.journal.clone();
        let (atlas, drained) = (|| atlas.clone(), || ends.drained.clone());
        tasks.spawn(atlas().survey(self.client("surveyor", 800), drained()));
        for number in 0..WORKERS {
            let worker = work::Worker {
                client: self.client(&format!("worker {number}"), 200 + u64::from(number)),
                journal: journal(),
                number,
                partition: (0, GroupId::METADATA),
                lease_ms: self.options.lease_ms,
                wait_ms: 0,
                outputs: self.options.ack_and_append.then(|| outputs(&atlas(), 1_000 + number)),
                careful: self.signals.healed.clone(),
            };
            tasks.spawn(worker.roam(atlas(), drained()));
        }
        let undertaker = parked::Undertaker {
            client: self.client("undertaker", 400),
            journal: journal(),
            partition: (0, GroupId::METADATA),
            discards: self.options.discards,
            careful: self.signals.healed.clone(),
        };
        tasks.spawn(undertaker.run_everywhere(atlas(), drained()));
        tasks.spawn(read::follow_lines(self.client("follower", 300), journal(), atlas(), drained()));
        for number in 0..WATCHERS {
            let client = self.client(&format!("watcher {number}"), 500 + number);
            tasks.spawn(watch::watch_any(client, journal(), atlas(), self.options.pace_ms_max, drained()));
        }
    }

    fn join_group(&self, atlas: &Atlas, ends: &Ends, tasks: &mut Tasks) {
        let next = Arc::new(AtomicU32::new(FIRST_MEMBER));
        for number in 0..MEMBERS {
            let outputs = self.options.commit_and_append.then(|| outputs(atlas, 2_000 + number));
            let member = member::Member {
                client: self.client(&format!("member {number}"), 600 + u64::from(number)),
                journal: self.journal.clone(),
                next: Arc::clone(&next),
                pause_ms_max: self.options.pace_ms_max,
                outputs,
            };
            tasks.spawn(member.run(self.signals.healed.clone(), ends.committed.clone()));
        }
    }

    /// Waits until the queue is empty, all records have arrived, and follower and group have come to the end of all
    /// partitions. No shaper is at work any more.
    async fn drain_all(&self, control: &Client, atlas: &Atlas) -> Result<(), WeirError> {
        for region in atlas.all(QUEUE) {
            let question = Question::Left { group: region.group };
            while count(control, region.group, &question).await? > 0 {
                sleep(LOOK).await;
            }
        }
        self.trace.note("the queue is empty");
        for region in atlas.all(STREAM) {
            let question = Question::Outbox { group: region.group };
            while count(control, region.group, &question).await? > 0 {
                sleep(LOOK).await;
            }
        }
        for region in atlas.all(STREAM) {
            let (index, group) = region.place();
            let end = count(control, group, &Question::End { group }).await?;
            while read::next_of(&self.journal, index) < end || committed(control, group).await? < end {
                sleep(LOOK).await;
            }
        }
        Ok(())
    }
}

/// Where records go that come of others.
fn outputs(atlas: &Atlas, producer: u32) -> work::Outputs {
    let to = work::Destination::Owner(atlas.clone());
    work::Outputs { to, producer, next: AtomicU64::new(0) }
}

/// Where the group stands in a partition.
async fn committed(control: &Client, group: GroupId) -> Result<u64, WeirError> {
    let question = Question::Position { group, consumers: super::GROUP.to_owned() };
    match control.ask(Some(group), &question, Duration::ZERO).await? {
        Answer::Position { committed } => Ok(committed.unwrap_or_default()),
        other => Err(produce::unexpected(&other)),
    }
}
