//! Checks of consumer groups: their committed positions, where a new owner goes on, and what is
//! appended together with a commit. Promises P11, P14 and P15.
//!
//! | check | anomaly | what is wrong | file |
//! |---|---|---|---|
//! | G1 | `zombie-commit` | a commit succeeds though a newer owner had taken over before it began | `register.rs` |
//! | G1 | `commit-regress` | a commit or a position is behind one that was known before it began, or a newer owner's | `register.rs` |
//! | G1 | `phantom-position` | a position that nobody had committed by then | `register.rs` |
//! | G1 | `unexplained-position` | no order of the operations explains what they were told | `search.rs` |
//! | G2 | `stale-resume` | a new owner begins behind what an older one had committed | `resume.rs` |
//! | G2 | `skipped-messages` | an owner begins, or goes on, beyond what the group can have worked off | `resume.rs` |
//! | G2 | `zombie-poll` | an owner goes on reading though a newer one had taken over before it began (see [`GroupOptions`]) | `resume.rs` |
//! | G3 | `torn-step` | a commit-and-append happened, and the record is not there | `steps.rs` |
//! | G3 | `overlapping-steps` | two of them handled the same records, and both of their records are there | `steps.rs` |
//! | G4 | `child-before-parent` | an owner is given records of a partition, and the group has not handled all of those that it came of | `lineage.rs` |
//!
//! The position of a group in a partition is a register of its own: an epoch and an offset, which only rise. An ok
//! [`Op::Assign`] says that the epoch has been fenced in when it was over: from then on lower ones are refused. When exactly
//! it was is unknown, so that a fence is no excuse for an error and no proof of anything before its end.

mod lineage;
mod options;
mod register;
mod resume;
mod search;
mod steps;

use std::collections::BTreeMap;

pub use options::GroupOptions;

use lineage::Lines;
use register::{Act, Deed, Register};
use resume::{Resume, Retained};
use steps::Steps;

use crate::appended::Appended;
use crate::checks::Fold;
use crate::{Anomaly, Checked, Event, Findings, Micros, Op, Options, Outcome};

/// Check and anomaly.
type Name = (&'static str, &'static str);

const ZOMBIE_COMMIT: Name = ("G1", "zombie-commit");
const COMMIT_REGRESS: Name = ("G1", "commit-regress");
const PHANTOM_POSITION: Name = ("G1", "phantom-position");
const UNEXPLAINED_POSITION: Name = ("G1", "unexplained-position");
const STALE_RESUME: Name = ("G2", "stale-resume");
const SKIPPED_MESSAGES: Name = ("G2", "skipped-messages");
const ZOMBIE_POLL: Name = ("G2", "zombie-poll");
const TORN_STEP: Name = ("G3", "torn-step");
const OVERLAPPING_STEPS: Name = ("G3", "overlapping-steps");
const CHILD_BEFORE_PARENT: Name = ("G4", "child-before-parent");

/// The anomalies of groups, each in a check.
pub const ANOMALIES: &[(&str, &str)] = &[
    ZOMBIE_COMMIT,
    COMMIT_REGRESS,
    PHANTOM_POSITION,
    UNEXPLAINED_POSITION,
    STALE_RESUME,
    SKIPPED_MESSAGES,
    ZOMBIE_POLL,
    TORN_STEP,
    OVERLAPPING_STEPS,
    CHILD_BEFORE_PARENT,
];

/// The code with which a poll is refused whose offset is not retained any more, or not there yet.
const OFFSET_OUT_OF_RANGE: &str = "offset-out-of-range";

/// One group in one partition.
#[derive(Default)]
struct Ownership {
    register: Register,
    resume: Resume,
    steps: Steps,
}

/// All checks of groups, in one fold.
pub(crate) struct Groups {
    states_max: usize,
    options: GroupOptions,
    /// By group, topic and partition.
    ownerships: BTreeMap<String, BTreeMap<String, BTreeMap<u32, Ownership>>>,
    /// What was seen to be retained, by topic and partition.
    retained: BTreeMap<String, BTreeMap<u32, Retained>>,
    /// Records that go with a commit.
    appended: Appended<Act>,
    /// Which partition came of which, and who read them.
    lines: Lines,
}

impl Groups {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            states_max: options.states_max,
            options: options.groups.clone(),
            ownerships: BTreeMap::new(),
            retained: BTreeMap::new(),
            appended: Appended::default(),
            lines: Lines::default(),
        }
    }

    fn at(&mut self, group: &str, topic: &str, partition: u32) -> &mut Ownership {
        if !self.ownerships.contains_key(group) {
            self.ownerships.insert(group.to_owned(), BTreeMap::new());
        }
        let topics = self.ownerships.get_mut(group).expect("it was put there just now");
        if !topics.contains_key(topic) {
            topics.insert(topic.to_owned(), BTreeMap::new());
        }
        topics.get_mut(topic).expect("it was put there just now").entry(partition).or_default()
    }

    fn retains(&mut self, topic: &str, partition: u32, offset: u64, from: Micros) {
        if !self.retained.contains_key(topic) {
            self.retained.insert(topic.to_owned(), BTreeMap::new());
        }
        let partitions = self.retained.get_mut(topic).expect("it was put there just now");
        partitions.entry(partition).or_default().sees(offset, from);
    }

    fn polled(&mut self, event: &Event, act: Act) {
        let Op::Poll { topic, consumer, group, partition, offset, records } = &event.op else { return };
        if let Some((first, _)) = records.first() {
            self.retains(topic, *partition, *first, event.from);
        }
        let Some((group, epoch)) = group else { return };
        let next = records.iter().map(|(offset, _)| offset + 1).max();
        let trimmed = event.error.as_deref().is_some_and(|error| error.starts_with(OFFSET_OUT_OF_RANGE));
        let poll = resume::Poll { consumer: *consumer, epoch: *epoch, asked: *offset, next, trimmed };
        self.at(group, topic, *partition).resume.polled(poll, act, event.outcome == Outcome::Ok);
    }
}

impl Fold for Groups {
    fn observe(&mut self, line: u64, event: &Event) {
        let act = |deed| Act { line, from: event.from, to: event.end(), deed };
        let happened = event.outcome == Outcome::Ok;
        self.appended.observe(act(Deed::Poll), event.from, happened, &event.op);
        self.lines.observe(event, act(Deed::Poll));
        match &event.op {
            Op::Assign { group, topic, epoch, partitions, .. } if happened => {
                for partition in partitions {
                    self.at(group, topic, *partition).register.note(act(Deed::Fence(*epoch)));
                }
            }
            Op::Commit { group, topic, epoch, partition, offset, .. } if event.outcome != Outcome::Fail => {
                let commit = Deed::Commit { epoch: *epoch, offset: *offset, certain: happened };
                self.at(group, topic, *partition).register.note(act(commit));
            }
            Op::CommitAndAppend { group, topic, epoch, partition, from, offset, stream, value, .. } => {
                self.appended.expect(stream, *value);
                let commit = act(Deed::Commit { epoch: *epoch, offset: *offset, certain: happened });
                let ownership = self.at(group, topic, *partition);
                if event.outcome != Outcome::Fail {
                    ownership.register.note(commit);
                }
                ownership.steps.note(*value, stream, (*from, *offset), (commit, event.outcome));
            }
            Op::Position { group, topic, partition, offset } if happened => {
                self.at(group, topic, *partition).register.note(act(Deed::Position(*offset)));
            }
            Op::Poll { .. } => self.polled(event, act(Deed::Poll)),
            Op::Bounds { topic, partition, start, end } if happened && start < end => {
                self.retains(topic, *partition, *start, event.from);
            }
            _ => {}
        }
    }

    fn finish(self: Box<Self>) -> Vec<Checked> {
        let Self { states_max, options, ownerships, retained, appended, lines } = *self;
        let mut registers = Findings::default();
        let mut resumes = Findings::default();
        let mut steps = Findings::default();
        let mut descent = Findings::default();
        for (group, topics) in ownerships {
            for (topic, partitions) in topics {
                lines.judge((&group, &topic), &partitions, &mut descent);
                for (partition, ownership) in partitions {
                    let subject = format!("group {group}, partition {partition}");
                    let about = (topic.as_str(), subject.as_str());
                    let retained = retained.get(&topic).and_then(|partitions| partitions.get(&partition));
                    let acts = ownership.register.acts();
                    if options.polls_are_fenced {
                        ownership.resume.zombies(acts, about, &mut resumes);
                    }
                    ownership.resume.judge(acts, retained, about, &mut resumes);
                    ownership.steps.judge(acts, &appended, about, &mut steps);
                    ownership.register.judge(states_max, about, &mut registers);
                }
            }
        }
        vec![
            Checked { name: "G1 group-offset".to_owned(), findings: registers },
            Checked { name: "G2 group-resume".to_owned(), findings: resumes },
            Checked { name: "G3 commit-and-append".to_owned(), findings: steps },
            Checked { name: "G4 group-lineage".to_owned(), findings: descent },
        ]
    }
}

/// A violation that these operations prove. `about` is the topic, and what of it in words.
fn anomaly((check, name): Name, (topic, subject): (&str, &str), text: String, evidence: &[&Act]) -> Anomaly {
    let mut lines: Vec<u64> = evidence.iter().map(|act| act.line).collect();
    lines.sort_unstable();
    lines.dedup();
    let known = |act: &&Act| if act.to == u64::MAX { act.from } else { act.to };
    Anomaly {
        check: check.to_owned(),
        name: name.to_owned(),
        at: evidence.iter().map(known).max().unwrap_or(0),
        topic: topic.to_owned(),
        subject: subject.to_owned(),
        text,
        evidence: lines,
    }
}
