//! Members of consumer groups: they come and go, take partitions over, read, and commit.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_checker::{Consumer, Op};
use weir_proto::v1;
use weir_proto::v1::group_client::GroupClient;
use weir_proto::v1::stream_client::StreamClient;
use weir_types::ErrorKind;

use super::actor::Actor;
use super::outputs::Outputs;
use super::read::{Chunk, Polling, poll};
use super::stage::Stage;
use crate::wire::{Route, Trouble};

/// After so long without a heartbeat a member is out.
const SESSION: Duration = Duration::from_secs(5);
/// Between two heartbeats.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a node is asked to wait for records.
const WAIT: Duration = Duration::from_millis(200);
/// Between two rounds of reads, whatever there is to read: after the heal members neither dawdle nor crash, and would load the
/// nodes more than they did when it was measured what is normal.
const PACE: Duration = Duration::from_millis(100);
/// Of a thousand rounds, a member leaves in so many, crashes in so many, is too slow for its session in so many, and
/// hears nothing of the group any more, but reads on, in so many.
const LEAVE_PERMILLE: u64 = 10;
const CRASH_PERMILLE: u64 = 10;
const STALL_PERMILLE: u64 = 4;
const DEAF_PERMILLE: u64 = 4;
/// Of a hundred reads, so many are followed by a commit.
const COMMIT_PERCENT: u64 = 60;
/// Of a hundred steps of which nobody knows, so many are asked again, and how often at most.
const REPEATED_PERCENT: u64 = 50;
const REPEATS_MAX: u32 = 4;

/// A partition that a member owns.
struct Owned {
    route: Route,
    epoch: u64,
    /// The next offset to read.
    next: u64,
    /// Up to where it needs no commit.
    done: u64,
    /// Where the group stands, as far as this member knows.
    committed: Option<u64>,
    /// Where it ends for good, when it was sealed.
    sealed_end: Option<u64>,
}

impl Owned {
    /// What was read ends at the next offset to read, for good.
    fn notice_end(&mut self, chunk: &Chunk) {
        self.sealed_end = Some(chunk.end).filter(|end| chunk.sealed && self.next >= *end);
    }

    /// Nothing comes any more, and the group has handled all of it: it may have the children.
    fn is_finished(&self) -> bool {
        self.sealed_end.is_some() && self.sealed_end == self.committed
    }
}

/// A member of a group.
pub(super) struct Member {
    actor: Actor,
    group: String,
    topic: String,
    consumer: Consumer,
    id: String,
    owned: BTreeMap<u32, Owned>,
    /// What it appends in the step that commits; none for plain commits.
    outputs: Option<Outputs>,
}

impl Member {
    /// A member that appends a record of some stream with every commit, if there are any.
    pub(super) fn new(stage: Stage, number: u64, group: String, topic: String, outputs: Vec<String>) -> Self {
        let consumer = stage.history.consumer();
        let mut actor = Actor::new(stage, number);
        let id = format!("member-{:016x}", actor.dice.number());
        let outputs = (!outputs.is_empty()).then(|| Outputs::new(&actor, outputs));
        Self { actor, group, topic, consumer, id, owned: BTreeMap::new(), outputs }
    }

    /// Is a member, again and again, until the run is over.
    pub(super) async fn run(mut self) {
        if self.actor.stage.partitions(&self.topic).await.is_empty() {
            return;
        }
        let mut beaten = None;
        while !self.actor.stage.stop.is_cancelled() {
            let now = self.actor.stage.history.now();
            let due = beaten.is_none_or(|last| now - last >= HEARTBEAT.as_micros() as u64);
            if due && self.heartbeat().await {
                beaten = Some(now);
            }
            self.work().await;
            if !self.actor.stage.drains() {
                self.actor.stage.sleep(PACE).await;
            }
            if self.actor.stage.careless() && self.misbehave().await {
                beaten = None;
            }
        }
        self.leave().await;
    }

    /// Tells the coordinator that the member lives, and takes over what it is given; false when nobody answered.
    async fn heartbeat(&mut self) -> bool {
        let owned = self.owned.iter();
        let owned = owned.map(|(group, owned)| v1::OwnedPartition {
            group_id: *group,
            epoch: owned.epoch,
            finished: owned.is_finished(),
        });
        let mut owned: Vec<_> = owned.collect();
        // The coordinator holds a call whose `owned` is the assignment; an empty list is answered at once, and would
        // give everything up. A partition that is none is owned by nobody and differs from every assignment.
        owned.push(v1::OwnedPartition { group_id: u32::MAX, ..v1::OwnedPartition::default() });
        let request = v1::GroupHeartbeatRequest {
            group: self.group.clone(),
            member_id: self.id.clone(),
            topics: vec![self.topic.clone()],
            session_timeout_ms: SESSION.as_millis() as u64,
            owned,
        };
        let asked =
            self.actor
                .ask_any(Duration::ZERO, |channel| async move {
                    GroupClient::new(channel).heartbeat(request).await
                })
                .await;
        match asked.answer {
            Ok(answer) => {
                self.take(answer.assigned).await;
                true
            }
            Err(trouble) => {
                self.actor.rest(&trouble).await;
                false
            }
        }
    }

    async fn take(&mut self, assigned: Vec<v1::AssignedPartition>) {
        let epochs: BTreeMap<_, _> = assigned.iter().map(|given| (given.group_id, given.epoch)).collect();
        self.owned.retain(|group, owned| epochs.get(group) == Some(&owned.epoch));
        for given in assigned {
            if !self.owned.contains_key(&given.group_id) {
                self.fence(&given).await;
            }
        }
    }

    /// Fences older owners of a partition. What is assigned counts from then on.
    async fn fence(&mut self, given: &v1::AssignedPartition) {
        let route = self.actor.stage.routes.borrow().group(given.group_id).cloned();
        let Some(route) = route else { return };
        let request = v1::FenceGroupRequest {
            group_id: given.group_id,
            consumer_group: self.group.clone(),
            epoch: given.epoch,
        };
        let asked = self
            .actor
            .ask(given.group_id, Duration::ZERO, |channel| async move {
                StreamClient::new(channel).fence_group(request).await
            })
            .await;
        let op = Op::Assign {
            group: self.group.clone(),
            topic: self.topic.clone(),
            consumer: self.consumer,
            epoch: given.epoch,
            partitions: vec![given.partition],
        };
        self.actor.note(&asked, op, asked.end());
        match asked.answer {
            Ok(answer) => {
                // The answer is a read of the position too.
                let next = answer.committed_offset.unwrap_or(answer.start_offset);
                let committed = answer.committed_offset;
                let epoch = given.epoch;
                let owned = Owned { route, epoch, next, done: next, committed, sealed_end: None };
                self.owned.insert(given.group_id, owned);
            }
            Err(trouble) => self.actor.rest(&trouble).await,
        }
    }

    /// Reads each partition once, and commits most of it.
    async fn work(&mut self) {
        if self.owned.is_empty() {
            self.actor.stage.sleep(WAIT).await;
            return;
        }
        for group in self.owned.keys().copied().collect::<Vec<_>>() {
            let commits = self.actor.stage.drains() || self.actor.dice.percent(COMMIT_PERCENT);
            if self.read(group, true).await && commits {
                self.conclude(group).await;
            }
        }
    }

    /// Reads a partition once, as its owner or like anybody; false when it could not be read.
    async fn read(&mut self, group: u32, as_owner: bool) -> bool {
        let Some(owned) = self.owned.get_mut(&group) else { return false };
        let owner = as_owner.then(|| (self.group.clone(), owned.epoch));
        // Who reads like anybody reads a part of the topic: each time it is another who does.
        let consumer = if as_owner { self.consumer } else { self.actor.stage.history.consumer() };
        let polling = Polling { consumer, group: owner };
        match poll(&mut self.actor, &owned.route, &polling, owned.next, WAIT, None).await {
            Ok(chunk) => {
                owned.next = chunk.next(owned.next);
                owned.notice_end(&chunk);
                let is_silent = chunk.records.is_empty() && owned.sealed_end.is_none();
                if is_silent {
                    self.ask_for_end(group).await;
                }
                true
            }
            Err(trouble) => {
                self.actor.rest(&trouble).await;
                false
            }
        }
    }

    /// A fetch that brings nothing in time does not say that nothing will come: of a partition that was sealed a read does.
    async fn ask_for_end(&mut self, group: u32) {
        let sealed = self.actor.stage.routes.borrow().group(group).is_some_and(|route| route.sealed);
        let Some(owned) = self.owned.get_mut(&group).filter(|_| sealed) else { return };
        let polling = Polling { consumer: self.actor.stage.history.consumer(), group: None };
        let read = poll(&mut self.actor, &owned.route, &polling, owned.next, Duration::ZERO, None).await;
        if let Ok(chunk) = read {
            owned.notice_end(&chunk);
        }
    }

    /// Commits what was read of a partition and needs it.
    async fn conclude(&mut self, group: u32) {
        let Some(owned) = self.owned.get(&group) else { return };
        let has_more = owned.next > owned.done;
        // The end of a sealed partition is committed even if nothing came of it: only then is it handled.
        if !has_more && (owned.sealed_end.is_none() || owned.is_finished()) {
            return;
        }
        let (route, epoch, next) = (owned.route.clone(), owned.epoch, owned.next);
        if self.outputs.is_some() && has_more {
            self.step(group, &route, epoch, next).await;
        } else {
            self.commit(group, &route, epoch, next).await;
        }
    }

    async fn commit(&mut self, group: u32, route: &Route, epoch: u64, offset: u64) {
        let request = v1::CommitOffsetRequest {
            group_id: group,
            consumer_group: self.group.clone(),
            epoch,
            offset,
            metadata: String::new(),
            reset: false,
        };
        let asked = self
            .actor
            .ask(group, Duration::ZERO, |channel| async move {
                StreamClient::new(channel).commit_offset(request).await
            })
            .await;
        let op = Op::Commit {
            group: self.group.clone(),
            topic: self.topic.clone(),
            consumer: self.consumer,
            epoch,
            partition: route.partition,
            offset,
        };
        self.actor.note(&asked, op, asked.end());
        self.committed(group, offset, asked.answer.map(drop)).await;
    }

    /// Commits, and appends what came of the records, in one step. What nobody knows may be asked again as it was.
    async fn step(&mut self, group: u32, route: &Route, epoch: u64, offset: u64) {
        let Some(outputs) = &mut self.outputs else { return };
        let Some(output) = outputs.next(&mut self.actor).await else { return };
        let from = self.owned.get(&group).and_then(|owned| owned.committed);
        let request = v1::CommitAndAppendRequest {
            group_id: group,
            consumer_group: self.group.clone(),
            epoch,
            from,
            offset,
            metadata: String::new(),
            outputs: output.batches,
        };
        for _ in 0..=REPEATS_MAX {
            let request = request.clone();
            let asked = self
                .actor
                .ask(group, Duration::ZERO, |channel| async move {
                    StreamClient::new(channel).commit_and_append(request).await
                })
                .await;
            let op = Op::CommitAndAppend {
                group: self.group.clone(),
                topic: self.topic.clone(),
                consumer: self.consumer,
                epoch,
                partition: route.partition,
                from,
                offset,
                stream: output.stream.clone(),
                value: output.value,
            };
            self.actor.note(&asked, op, asked.end());
            let unknown = asked.answer.as_ref().is_err_and(|trouble| trouble.unknown);
            self.committed(group, offset, asked.answer.map(drop)).await;
            if !unknown || !self.actor.dice.percent(REPEATED_PERCENT) {
                return;
            }
        }
    }

    async fn committed(&mut self, group: u32, offset: u64, answer: Result<(), Trouble>) {
        match answer {
            Ok(()) => {
                if let Some(owned) = self.owned.get_mut(&group) {
                    owned.done = offset;
                    owned.committed = Some(offset);
                }
            }
            Err(trouble) if trouble.kind == ErrorKind::Fenced => {
                self.owned.remove(&group);
            }
            Err(trouble) => self.actor.rest(&trouble).await,
        }
    }

    /// Now and then a member leaves, crashes, or falls asleep; true when it did.
    async fn misbehave(&mut self) -> bool {
        match self.actor.dice.below(1_000) {
            draw if draw < LEAVE_PERMILLE => {
                self.leave().await;
                self.begin_anew();
                true
            }
            draw if draw < LEAVE_PERMILLE + CRASH_PERMILLE => {
                self.begin_anew();
                true
            }
            draw if draw < LEAVE_PERMILLE + CRASH_PERMILLE + STALL_PERMILLE => {
                // It comes back and still believes that everything is its own.
                self.actor.stage.sleep(SESSION * 3 / 2).await;
                self.work().await;
                true
            }
            draw if draw < LEAVE_PERMILLE + CRASH_PERMILLE + STALL_PERMILLE + DEAF_PERMILLE => {
                self.outlive_its_session().await;
                self.begin_anew();
                true
            }
            _ => false,
        }
    }

    /// Reads on when its session is over, and then commits. Nobody fences who reads like anybody, so that it may well be
    /// ahead of whoever owns the partitions by then.
    async fn outlive_its_session(&mut self) {
        let history = self.actor.stage.history.clone();
        let until = history.now() + (SESSION * 3 / 2).as_micros() as u64;
        while history.now() < until && !self.actor.stage.stop.is_cancelled() {
            for group in self.owned.keys().copied().collect::<Vec<_>>() {
                self.read(group, false).await;
            }
            self.actor.stage.sleep(PACE).await;
        }
        for group in self.owned.keys().copied().collect::<Vec<_>>() {
            self.conclude(group).await;
        }
    }

    async fn leave(&mut self) {
        let request = v1::GroupLeaveRequest { group: self.group.clone(), member_id: self.id.clone() };
        // A leave that is lost is a crash: the session runs out.
        let _ = self
            .actor
            .ask_any(Duration::ZERO, |channel| async move { GroupClient::new(channel).leave(request).await })
            .await;
    }

    /// Another member, who knows nothing.
    fn begin_anew(&mut self) {
        self.consumer = self.actor.stage.history.consumer();
        self.id = format!("member-{:016x}", self.actor.dice.number());
        self.owned.clear();
    }
}
