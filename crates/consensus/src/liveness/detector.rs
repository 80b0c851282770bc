//! The node's watch over the leaders of its groups.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use weir_runtime::TaskGroup;
use weir_types::{GroupId, NodeId};

use super::campaign::{CAMPAIGNS_MAX, campaign, give_up_lease};
use super::decision::{Decision, decide, is_beaten};
use super::doze::pace;
use super::pulses::Heard;
use super::quiet::{call_roll, turn};
use super::reach::{Doubt, reaches_majority};
use super::survey::{Cause, Missing, missing, other_voters, view};
use crate::context::Context;
use crate::registry::Registry;
use crate::replica::Replica;
use crate::transport::{Answer, Call, LaneKind, SurveyAnswer, SurveyQuestion};

/// Pings between two rolls of the quiet groups.
const PINGS_PER_ROLL: u32 = 10;
/// Groups asked about in one message.
const QUESTIONS_MAX: usize = 4_096;

/// Finds groups without a leader and sees to it that each gets one.
pub(crate) struct Detector {
    context: Arc<Context>,
    registry: Arc<Registry>,
    /// Since when each leaderless group is known, and when this replica last campaigned for it.
    leaderless: BTreeMap<GroupId, Spell>,
    /// The peers that were heard at the last look, and those of them whose entries came through.
    heard: Vec<Heard>,
    rounds: Rounds,
    /// Pings since the roll of the quiet groups was called.
    since_roll: u32,
    slots: Arc<Semaphore>,
    tasks: TaskGroup,
}

/// What makes the detector look before its time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rung {
    Not,
    /// A connection broke.
    Alarm,
    /// A replica misses its leader.
    Doubt,
}

/// Whose turn it is: every group once in so many pings.
#[derive(Default)]
struct Rounds {
    turn: u32,
    each: usize,
    last: Option<GroupId>,
}

impl Rounds {
    fn next(&mut self, registry: &Registry, turns: u32) -> Vec<Arc<Replica>> {
        if self.turn == 0 {
            self.each = registry.len().div_ceil(turns as usize);
            self.last = None;
        }
        self.turn = (self.turn + 1) % turns;
        let next = registry.after(self.last, self.each);
        self.last = next.last().map_or(self.last, |replica| Some(replica.spec.group));
        next
    }
}

/// One spell without a leader.
struct Spell {
    since: Instant,
    campaigned: Option<Instant>,
    /// The second attempt that does not wait for its turn was made.
    hurried: bool,
}

type Lost = Vec<(Arc<Replica>, Missing)>;
type Answers = BTreeMap<GroupId, Vec<SurveyAnswer>>;

impl Detector {
    pub(crate) fn new(context: Arc<Context>, registry: Arc<Registry>) -> Self {
        Self {
            context,
            registry,
            leaderless: BTreeMap::new(),
            heard: Vec::new(),
            rounds: Rounds::default(),
            since_roll: 0,
            slots: Arc::new(Semaphore::new(CAMPAIGNS_MAX)),
            tasks: TaskGroup::new(),
        }
    }

    /// Watches until it is dropped.
    pub(crate) async fn run(mut self) {
        let mut pings = interval(self.context.timings.ping);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let turns = self.context.timings.pings_per_heartbeat();
        loop {
            let rung = tokio::select! {
                _ = pings.tick() => Rung::Not,
                () = self.context.pulses.alarm.notified() => Rung::Alarm,
                () = self.context.pulses.doubt.notified() => Rung::Doubt,
            };
            let mut seen = Vec::new();
            if rung == Rung::Not {
                self.context.pulses.drop_silent();
                self.context.pulses.own_time(self.context.runtime.clock().wall());
                seen = self.rounds.next(&self.registry, turns);
                for replica in &seen {
                    turn(replica);
                }
                self.call_roll_if_due();
            }
            if self.must_look_at_all(rung) {
                seen = self.registry.all();
            }
            let lost = self.find_lost(seen);
            if lost.is_empty() {
                continue;
            }
            let answers = self.ask(&lost).await;
            for (replica, missing) in lost {
                self.act(replica, missing, &answers).await;
            }
        }
    }

    /// A roll is answered, or given up, before the next one.
    fn call_roll_if_due(&mut self) {
        self.since_roll += 1;
        if self.since_roll < PINGS_PER_ROLL {
            return;
        }
        self.since_roll = 0;
        let patience = self.context.timings.ping * (PINGS_PER_ROLL - 1);
        self.tasks.spawn(call_roll(Arc::clone(&self.context), Arc::clone(&self.registry), patience));
    }

    /// Looking at hundreds of groups ten times a second would cost more than all the rest of an idle node. So it is done
    /// only when something has happened; otherwise those are looked at whose turn it is.
    fn must_look_at_all(&mut self, rung: Rung) -> bool {
        let heard = self.context.pulses.heard_now();
        let changed = heard != self.heard;
        self.heard = heard;
        match rung {
            Rung::Alarm => true,
            Rung::Not => changed || !self.leaderless.is_empty(),
            // While some are known to be leaderless, the next ping looks at all.
            Rung::Doubt => changed || self.leaderless.is_empty(),
        }
    }

    /// Of these replicas, those that miss their leader.
    fn find_lost(&mut self, seen: Vec<Arc<Replica>>) -> Lost {
        for replica in &seen {
            pace(replica);
        }
        let lost: Lost = seen
            .into_iter()
            .filter_map(|replica| missing(&replica).map(|missing| (replica, missing)))
            .collect();
        let found: BTreeSet<GroupId> = lost.iter().map(|(replica, _)| replica.spec.group).collect();
        self.leaderless.retain(|group, spell| {
            let still = found.contains(group);
            if !still {
                let seconds = spell.since.elapsed().as_secs_f64();
                metrics::histogram!("weir_leaderless_seconds").record(seconds);
            }
            still
        });
        for (replica, _) in &lost {
            let fresh = || Spell { since: Instant::now(), campaigned: None, hurried: false };
            self.leaderless.entry(replica.spec.group).or_insert_with(fresh);
        }
        lost
    }

    /// Asks the other voters that are heard, one message per node, all at once.
    async fn ask(&self, lost: &Lost) -> Answers {
        let mut questions: BTreeMap<NodeId, Vec<SurveyQuestion>> = BTreeMap::new();
        let mut answers = Answers::new();
        for (replica, missing) in lost {
            for node in other_voters(missing, replica.spec.replica) {
                let heard = self.context.pulses.hears(node);
                let list = questions.entry(node).or_default();
                if heard && list.len() < QUESTIONS_MAX {
                    list.push(missing.question());
                }
            }
            answers.entry(replica.spec.group).or_default().extend(view(replica));
        }
        let patience = self.context.timings.suspect;
        let mut asking: FuturesUnordered<_> = questions
            .into_iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(node, list)| {
                let peers = &self.context.peers;
                timeout(patience, peers.call(node, LaneKind::Control, Call::Survey(list), Vec::new()))
            })
            .collect();
        while let Some(answered) = asking.next().await {
            let Ok(Ok(Answer::Survey(views))) = answered else { continue };
            for view in views {
                answers.entry(view.group).or_default().push(view);
            }
        }
        answers
    }

    async fn act(&mut self, replica: Arc<Replica>, missing: Missing, answers: &Answers) {
        let group = replica.spec.group;
        let views = answers.get(&group).map_or(&[][..], Vec::as_slice);
        let configs = missing.membership.get_joint_config();
        let Decision::Candidate { rank, .. } = decide(replica.spec.replica, configs, views) else {
            return;
        };
        let own = views.iter().find(|view| view.replica == replica.spec.replica);
        let Some(own) = own.copied() else { return };
        // A core too busy to hear of it keeps its lease for now.
        let _ = timeout(self.context.timings.ping, give_up_lease(&missing)).await;
        if missing.cause == Cause::DataLost && !reaches_majority(&replica, &missing.core, Doubt::Candidate) {
            // Leading instead of a leader that reaches nobody takes reaching somebody.
            return;
        }
        let patience = self.context.timings.candidate_patience;
        let Some(spell) = self.leaderless.get_mut(&group) else { return };
        // Who was first when all were asked may have had a shorter log in the end, with entries of the lost leader still
        // on their way to others. Its vote stands in the way of the next one's, in the same term; the term after is free.
        let beaten = rank == 0
            && missing.cause == Cause::Undecided
            && own.vote.replica == own.replica
            && is_beaten(own.vote, configs, views);
        let hurries = beaten && !std::mem::replace(&mut spell.hurried, true);
        // Whoever was asked for its vote may be winning right now.
        let turn = rank + u32::from(missing.cause == Cause::Undecided);
        let resting = spell.campaigned.is_some_and(|last| last.elapsed() < patience);
        if !hurries && (spell.since.elapsed() < patience * turn || resting) {
            return;
        }
        spell.campaigned = Some(Instant::now());
        self.tasks.spawn(campaign(replica, missing, own.ready, Arc::clone(&self.slots)));
    }
}
